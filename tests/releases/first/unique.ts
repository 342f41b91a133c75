import type { Tag } from "../../../src/database/driver.ts";
import { toNumber } from "./rows.ts";

export interface Duplicate {
  id: number;
  funcName: string;
  key: string;
}

export async function findDuplicate(sql: Tag, id: number): Promise<Duplicate | undefined> {
  const [row] = await sql`
    SELECT held.task_id, held.func_name, held.key
    FROM ${sql.schema}.task
    JOIN ${sql.schema}.unique_key AS held ON held.func_name = task.func_name AND held.key = task.unique_key
    WHERE task.id = ${id} AND held.task_id <> ${id} AND (held.until IS NULL OR held.until > now())
  `;
  return row && { id: toNumber(row.task_id), funcName: row.func_name, key: row.key };
}

export function findDuplicates(sql: Tag, held: unknown): unknown {
  return sql.fragment`keyed AS MATERIALIZED (
      SELECT task.id, task.func_name, task.unique_key, task.unique_among
      FROM ${held}
      CROSS JOIN LATERAL (
        SELECT id, func_name, unique_key, unique_among FROM ${sql.schema}.task WHERE task.id = held.id OFFSET 0
      ) AS task
      WHERE task.unique_key IS NOT NULL
    ), duplicate AS MATERIALIZED (
      SELECT id FROM keyed WHERE NOT ${sql.schema}._keeps_unique_key(id, func_name, unique_key, unique_among)
    )`;
}

export function failDuplicates(sql: Tag): unknown {
  return sql.fragment`status = CASE WHEN duplicate.id IS NULL THEN task.status ELSE 'failed' END,
        failed = CASE WHEN duplicate.id IS NOT NULL THEN statement_timestamp() END,
        errors = CASE
          WHEN duplicate.id IS NULL THEN task.errors ELSE COALESCE(task.errors, '[]') || ${duplicateError(sql)}
        END`;
}

export function duplicateError(sql: Tag): unknown {
  return sql.fragment`${sql.schema}._duplicate_error(task.id, task.func_name, task.unique_key, ${attemptOf(sql)})`;
}

export function attemptOf(sql: Tag): unknown {
  return sql.raw("(COALESCE(task.retry_attempts, 0) + COALESCE(task.rescues, 0) + 1)");
}

export async function deleteExpiredKeys(sql: Tag): Promise<number> {
  const rows = await sql`
    DELETE FROM ${sql.schema}.unique_key
    WHERE ctid = ANY (ARRAY(
      SELECT ctid FROM ${sql.schema}.unique_key WHERE until < now() ORDER BY until LIMIT 1000 FOR UPDATE SKIP LOCKED
    ))
  `;
  return rows.count;
}
