import type { Tag } from "../database/driver.ts";
import type { TaskState, TaskStatus } from "../task/record.ts";
import { meets, type TaskConditions } from "./task_lists.ts";
import { toNumber } from "./rows.ts";

/** A range of ids: from `from` on, below `below`. */
export interface IdRange {
  readonly from: number;
  readonly below: number;
}

/** What a walk looks for. */
export interface WalkedFor {
  /** The statuses of the table that tasks may have; null for any. */
  readonly statuses: readonly string[] | null;
  readonly conditions: TaskConditions;
}

/** Finds the newest tasks of a range of ids that match: 50,000 ids take 5 to 30 ms. */
export async function walkTasks(
  sql: Tag,
  { statuses, conditions }: WalkedFor,
  { from, below, limit }: IdRange & { limit: number },
): Promise<number[]> {
  const rows = await sql`
    SELECT task.id
    FROM ${sql.schema}.task
    WHERE task.id >= ${from}::bigint AND task.id < ${below}::bigint
      AND ${hasStatus(sql, statuses)} AND ${meets(sql, conditions)}
    ORDER BY task.id DESC
    LIMIT ${limit}::bigint
  `;
  return rows.map(({ id }) => toNumber(id));
}

/** Finds the id that `records` records reach down to below `below`; null if there are fewer. */
export async function findIdBehind(
  sql: Tag,
  { below, records }: { below: number; records: number },
): Promise<number | null> {
  const [row] = await sql`
    SELECT id FROM ${sql.schema}.task WHERE id < ${below}::bigint ORDER BY id DESC OFFSET ${records - 1}::bigint LIMIT 1
  `;
  return row ? toNumber(row.id) : null;
}

/** Finds the tasks next to one that match, within `reach` ids: the newest older one, and the oldest newer one. */
export async function findNeighbors(
  sql: Tag,
  { statuses, conditions }: WalkedFor,
  { id, reach }: { id: number; reach: number },
): Promise<{ older: number | null; newer: number | null }> {
  const matches = sql.fragment`${hasStatus(sql, statuses)} AND ${meets(sql, conditions)}`;
  const [row] = await sql`
    SELECT
      (
        SELECT task.id
        FROM ${sql.schema}.task
        WHERE task.id < ${id}::bigint AND task.id >= ${id - reach}::bigint AND ${matches}
        ORDER BY task.id DESC
        LIMIT 1
      ) AS older,
      (
        SELECT task.id
        FROM ${sql.schema}.task
        WHERE task.id > ${id}::bigint AND task.id <= ${id + reach}::bigint AND ${matches}
        ORDER BY task.id
        LIMIT 1
      ) AS newer
  `;
  const { older, newer } = row!;
  return { older: older === null ? null : toNumber(older), newer: newer === null ? null : toNumber(newer) };
}

/** The statuses of the table that tasks in these states have. */
export function statusesOf(states: readonly TaskState[]): Exclude<TaskStatus, "running">[] {
  const ended = ["completed", "failed", "cancelled"] as const;
  const isOpen = states.some((state) => !(ended as readonly string[]).includes(state));
  return [...isOpen ? ["created" as const] : [], ...ended.filter((status) => states.includes(status))];
}

function hasStatus(sql: Tag, statuses: readonly string[] | null): unknown {
  return statuses ? sql.fragment`task.status = ANY (${statuses}::text[])` : sql.fragment`true`;
}

/** The range of all ids: from the oldest record to the newest. Empty if there is none. */
export async function readIdRange(sql: Tag): Promise<IdRange> {
  const [row] = await sql`SELECT min(id) AS first, max(id) AS last FROM ${sql.schema}.task`;
  if (row!.last === null) return { from: 0, below: 0 };
  return { from: toNumber(row!.first), below: toNumber(row!.last) + 1 };
}

/**
 * Finds the id at which tasks begin that were scheduled at `time` or later, by bisection on the primary key: `created` is
 * nearly in the order of the ids, as transactions take a while.
 */
export async function findIdAt(sql: Tag, time: Date): Promise<number> {
  const [row] = await sql`
    WITH RECURSIVE bisection AS (
      SELECT COALESCE((SELECT min(id) FROM ${sql.schema}.task), 0) AS low,
        COALESCE((SELECT max(id) FROM ${sql.schema}.task), 0) + 1 AS high
      UNION ALL
      SELECT
        CASE WHEN middle.created < ${time}::timestamptz THEN middle.id + 1 ELSE bisection.low END,
        CASE WHEN middle.created < ${time}::timestamptz THEN bisection.high
          ELSE (bisection.low + bisection.high) / 2 END
      FROM bisection
      LEFT JOIN LATERAL (
        SELECT task.id, task.created
        FROM ${sql.schema}.task
        WHERE task.id >= (bisection.low + bisection.high) / 2 AND task.id < bisection.high
        ORDER BY task.id
        LIMIT 1
      ) AS middle ON true
      WHERE bisection.low < bisection.high
    )
    SELECT low FROM bisection WHERE low >= high LIMIT 1
  `;
  return row ? toNumber(row.low) : 0;
}

/** Reads when the oldest task of a range was scheduled. */
export async function readCreatedFrom(sql: Tag, id: number): Promise<Date | undefined> {
  const [row] = await sql`
    SELECT created FROM ${sql.schema}.task WHERE id >= ${id}::bigint ORDER BY id LIMIT 1
  `;
  return row?.created;
}
