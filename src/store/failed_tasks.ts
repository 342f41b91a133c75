import type { Tag } from "../database/driver.ts";
import { toNumber } from "./rows.ts";

/*
 * A failed task has a row in `failed_task`, since no index of `task` may mention its status. The statement that ends the
 * task inserts the row, under the lock of the record, and the one that retries or deletes it takes it away. Triggers see
 * to an INSERT and an UPDATE by hand. A plain DELETE leaves the row, and so do writes without triggers:
 * `repairFailedTasks` finds these. Lists join the record, and pass over a row whose task has not failed.
 */

/**
 * An INSERT into `failed_task` of the tasks that a statement has ended as failed. `from` is an item of FROM with the
 * columns id, status, failed, queue, func_name and `error`, the last of the record's errors: see {@linkcode lastError}.
 */
export function noteFailures(sql: Tag, from: unknown): unknown {
  return sql.fragment`INSERT INTO ${sql.schema}.failed_task (task_id, failed, queue, func_name, fingerprint)
      SELECT id, failed, queue, func_name,
        ${sql.schema}._fingerprint(func_name, error ->> 'name', error ->> 'message')
      FROM ${from}
      WHERE status = 'failed'
      ORDER BY id
      ON CONFLICT (task_id) DO UPDATE
      SET failed = excluded.failed, queue = excluded.queue, func_name = excluded.func_name,
        fingerprint = excluded.fingerprint`;
}

/** A column of RETURNING for {@linkcode noteFailures}: the last error of a record `task` that has failed. */
export function lastError(sql: Tag): unknown {
  return sql.raw("CASE WHEN task.status = 'failed' THEN task.errors -> -1 END AS error");
}

/** A DELETE from `failed_task` of tasks that are deleted. `ids` is a query of their ids. */
export function forgetFailures(sql: Tag, ids: unknown): unknown {
  return sql.fragment`DELETE FROM ${sql.schema}.failed_task WHERE task_id = ANY (ARRAY(${ids}))`;
}

/**
 * Compares up to 5,000 records with ids above `after` with `failed_task`, and repairs what differs: it adds failed tasks
 * that have no row, or an outdated one, and deletes rows of others. Records and rows that another transaction has locked
 * are left to the next walk. Resolves to the last id examined, or 0 at the end, and to how many rows it wrote.
 */
export async function repairFailedTasks(sql: Tag, after: number): Promise<{ last: number; repaired: number }> {
  const [row] = await sql`
    WITH seen AS MATERIALIZED (
      SELECT id, status, queue, func_name
      FROM ${sql.schema}.task
      WHERE id > ${after}
      ORDER BY id
      LIMIT 5000
    ), span AS MATERIALIZED (
      -- To the end where no record follows: rows of failed_task may.
      SELECT CASE WHEN count(*) = 5000 THEN max(id) END AS last FROM seen
    ), known AS MATERIALIZED (
      SELECT task_id, queue, func_name
      FROM ${sql.schema}.failed_task, span
      WHERE task_id > ${after} AND task_id <= COALESCE(span.last, ${Number.MAX_SAFE_INTEGER})
    ), missing AS MATERIALIZED (
      -- The status again, under the lock: a retry may have come in between.
      SELECT task.id, task.status, COALESCE(task.failed, now()) AS failed, task.queue, task.func_name,
        task.errors -> -1 AS error
      FROM ${sql.schema}.task
      WHERE task.status = 'failed' AND task.id = ANY (ARRAY(
        SELECT seen.id
        FROM seen
        WHERE seen.status = 'failed' AND NOT EXISTS (
          SELECT FROM known
          WHERE known.task_id = seen.id AND known.queue = seen.queue AND known.func_name = seen.func_name
        )
      ))
      ORDER BY task.id
      FOR NO KEY UPDATE SKIP LOCKED
    ), noted AS (
      ${noteFailures(sql, sql.raw("missing"))}
      RETURNING task_id
    ), stale AS MATERIALIZED (
      SELECT failed_task.ctid AS place
      FROM known
      JOIN ${sql.schema}.failed_task ON failed_task.task_id = known.task_id
      WHERE NOT EXISTS (SELECT FROM seen WHERE seen.id = known.task_id AND seen.status = 'failed')
      FOR UPDATE OF failed_task SKIP LOCKED
    ), deleted AS (
      DELETE FROM ${sql.schema}.failed_task WHERE ctid = ANY (ARRAY(SELECT place FROM stale)) RETURNING task_id
    )
    SELECT COALESCE(span.last, 0) AS last,
      (SELECT count(*) FROM noted)::integer + (SELECT count(*) FROM deleted)::integer AS repaired
    FROM span
  `;
  return { last: toNumber(row!.last), repaired: row!.repaired };
}
