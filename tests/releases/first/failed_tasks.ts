import type { Tag } from "../../../src/database/driver.ts";
import { toNumber } from "./rows.ts";

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

export function lastError(sql: Tag): unknown {
  return sql.raw("CASE WHEN task.status = 'failed' THEN task.errors -> -1 END AS error");
}

export function forgetFailures(sql: Tag, ids: unknown): unknown {
  return sql.fragment`DELETE FROM ${sql.schema}.failed_task WHERE task_id = ANY (ARRAY(${ids}))`;
}

export async function repairFailedTasks(sql: Tag, after: number): Promise<{ last: number; repaired: number }> {
  const [row] = await sql`
    WITH seen AS MATERIALIZED (
      SELECT id, status, queue, func_name
      FROM ${sql.schema}.task
      WHERE id > ${after}
      ORDER BY id
      LIMIT 5000
    ), span AS MATERIALIZED (
      SELECT CASE WHEN count(*) = 5000 THEN max(id) END AS last FROM seen
    ), known AS MATERIALIZED (
      SELECT task_id, queue, func_name
      FROM ${sql.schema}.failed_task, span
      WHERE task_id > ${after} AND task_id <= COALESCE(span.last, ${Number.MAX_SAFE_INTEGER})
    ), missing AS MATERIALIZED (
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
