import type { Tag } from "../database/driver.ts";
import type { TaskFilter } from "../task/record.ts";
import { matches } from "./record_filter.ts";
import { type TaskRow, toNumber } from "./rows.ts";

/** Reads records by id; an id without a record is left out. */
export async function readRecords(sql: Tag, ids: number[]): Promise<TaskRow[]> {
  return await sql<TaskRow>`
    SELECT *
    FROM ${sql.schema}.task_record
    WHERE id = ANY (${ids}::bigint[])
  `;
}

/** A record of a list, with its fence: every change of its status, except a claim, increments `claim_seq`. */
export interface ListedRow extends TaskRow {
  claim_seq: string;
}

/** The part of a list: ids below `before`, and from `from` on. */
export interface ListedPart {
  readonly limit: number;
  readonly before: number | null;
  readonly from?: number | null;
}

/** Lists records, newest first. */
export async function listRecords(sql: Tag, filter: TaskFilter, part: ListedPart): Promise<ListedRow[]> {
  return await sql<ListedRow>`SELECT *, ${listed(sql, filter, part)}`;
}

/** Lists what a bulk operation needs of the records, newest first: arguments and errors may be large. */
export async function listFences(
  sql: Tag,
  filter: TaskFilter,
  part: ListedPart,
): Promise<Pick<ListedRow, "id" | "claim_seq">[]> {
  return await sql<Pick<ListedRow, "id" | "claim_seq">>`SELECT id, ${listed(sql, filter, part)}`;
}

function listed(sql: Tag, filter: TaskFilter, { limit, before, from = null }: ListedPart): unknown {
  return sql.fragment`(SELECT task.claim_seq FROM ${sql.schema}.task WHERE task.id = task_record.id) AS claim_seq
    FROM ${sql.schema}.task_record
    WHERE (${before}::bigint IS NULL OR id < ${before}::bigint)
      AND (${from}::bigint IS NULL OR id >= ${from}::bigint)
      AND ${matches(sql, filter)}
    ORDER BY id DESC
    LIMIT ${limit}::bigint`;
}

/** Reads the largest id below `before`; null if there is none. */
export async function newestBelow(sql: Tag, before: number | null): Promise<number | null> {
  const [row] = await sql`
    SELECT max(id) AS id FROM ${sql.schema}.task WHERE ${before}::bigint IS NULL OR id < ${before}::bigint
  `;
  return row!.id === null ? null : toNumber(row!.id);
}

/** Registers a waiter for those of these tasks that have not ended, so that settling them notifies. */
export async function registerWaiters(sql: Tag, ids: number[]): Promise<void> {
  await sql`
    INSERT INTO ${sql.schema}.result_waiter (task_id, until)
    SELECT id, now() + interval '1 hour'
    FROM ${sql.schema}.task
    WHERE id = ANY (${ids}::bigint[]) AND status = 'created'
    ORDER BY id
    ON CONFLICT (task_id) DO UPDATE SET until = excluded.until
  `;
}

/** Deletes the waiters of programs that have stopped waiting. */
export async function deleteExpiredWaiters(sql: Tag): Promise<void> {
  await sql`DELETE FROM ${sql.schema}.result_waiter WHERE until < now()`;
}
