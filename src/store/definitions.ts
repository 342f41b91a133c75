import type { Tag } from "../database/driver.ts";
import type { DefinitionRow } from "../task/limit_keys.ts";

/**
 * Stores the queues, limits and retentions of this release's tasks; the consumer that starts last decides. A task without any
 * gets no row, and a row from an earlier release is emptied. Rows are written in the order of their names, so that two
 * consumers that start at the same time cannot deadlock.
 */
export async function registerDefinitions(sql: Tag, definitions: DefinitionRow[]): Promise<void> {
  await sql`
    INSERT INTO ${sql.schema}.definition AS stored (
      func_name, queue, concurrency_limit, rate_limit, rate_per, retain_completed, retain_failed
    )
    SELECT func_name, queue, concurrency_limit, rate_limit, rate_per, retain_completed, retain_failed
    FROM json_to_recordset(${JSON.stringify(definitions)}::text::json) AS new (
      func_name text, queue text, concurrency_limit integer, rate_limit integer, rate_per double precision,
      retain_completed double precision, retain_failed double precision
    )
    WHERE num_nonnulls(queue, concurrency_limit, rate_limit, retain_completed, retain_failed) > 0
      OR EXISTS (SELECT FROM ${sql.schema}.definition WHERE definition.func_name = new.func_name)
    ORDER BY func_name
    ON CONFLICT (func_name) DO UPDATE
    SET queue = excluded.queue, concurrency_limit = excluded.concurrency_limit, rate_limit = excluded.rate_limit, rate_per = excluded.rate_per,
      retain_completed = excluded.retain_completed, retain_failed = excluded.retain_failed, defined = now()
  `;
}
