import type { Tag } from "../database/driver.ts";
import { toNumber } from "./rows.ts";

/** A task that holds the unique key that another task would need. */
export interface Duplicate {
  id: number;
  funcName: string;
  key: string;
}

/** Finds another task that holds the unique key of this one. */
export async function findDuplicate(sql: Tag, id: number): Promise<Duplicate | undefined> {
  const [row] = await sql`
    SELECT held.task_id, held.func_name, held.key
    FROM ${sql.schema}.task
    JOIN ${sql.schema}.unique_key AS held ON held.func_name = task.func_name AND held.key = task.unique_key
    WHERE task.id = ${id} AND held.task_id <> ${id} AND (held.until IS NULL OR held.until > now())
  `;
  return row && { id: toNumber(row.task_id), funcName: row.func_name, key: row.key };
}

/** Deletes up to 1,000 keys that outlasted their holders and no longer reject duplicates; resolves to how many. */
export async function deleteExpiredKeys(sql: Tag): Promise<number> {
  const rows = await sql`
    DELETE FROM ${sql.schema}.unique_key
    WHERE ctid = ANY (ARRAY(
      SELECT ctid FROM ${sql.schema}.unique_key WHERE until < now() ORDER BY until LIMIT 1000 FOR UPDATE SKIP LOCKED
    ))
  `;
  return rows.count;
}
