import type { Row, Tag } from "../database/driver.ts";
import {
  CREATED_STATES,
  TASK_STATES,
  type TaskCounts,
  type TaskFilter,
  type TaskGroup,
  type TaskGrouping,
  type TaskState,
} from "../task/record.ts";
import { allRecords, LARGE, placedRecords, placedStates, readSize } from "./placed.ts";
import { matches } from "./record_filter.ts";
import { toNumber } from "./rows.ts";

/** How many bytes of records an estimate reads. */
const SAMPLE = 16 * 2 ** 20;
/** The states whose tasks only the records tell. */
const ESTIMATED: readonly TaskState[] = ["unplaced", "completed", "cancelled"];

/**
 * Counts records by queue and state. If there are many, it counts places, and estimates how many tasks have ended from a
 * part of the pages: see {@linkcode TaskCounts}.
 */
export async function countStates(sql: Tag, { large = LARGE, sample = SAMPLE } = {}): Promise<Map<string, TaskCounts>> {
  const size = await readSize(sql);
  const isLarge = size > large;
  const counts = new Map<string, TaskCounts>();
  const add = ({ queue, state, count }: StateCount) => {
    const own = counts.get(queue) ?? { ...noTasks(), ...(isLarge ? { estimated: ESTIMATED } : {}) };
    counts.set(queue, own);
    own[state] += count;
    if (CREATED_STATES.includes(state)) own.created += count;
  };
  (await (isLarge ? countPlaces(sql) : countAll(sql))).forEach(add);
  if (isLarge) (await estimateEnded(sql, sample / size)).forEach(add);
  return counts;
}

/** How many tasks of a queue are in a state. */
interface StateCount {
  readonly queue: string;
  readonly state: TaskState;
  readonly count: number;
}

async function countAll(sql: Tag): Promise<StateCount[]> {
  const rows = await sql`SELECT queue, state, count(*) AS count FROM ${allRecords(sql)} GROUP BY queue, state`;
  return rows.map(toStateCount);
}

/**
 * Counts the tasks that have not ended, and failed ones. Most of them are in `ready` or failed: their records are not
 * looked up, so that a row counts that an edit by hand left, until it is repaired.
 */
async function countPlaces(sql: Tag): Promise<StateCount[]> {
  const rows = await sql`
    SELECT queue, 'ready' AS state, sum(length) AS count FROM ${sql.schema}.ready GROUP BY queue
    UNION ALL
    SELECT queue, 'failed', count(*) FROM ${sql.schema}.failed_task GROUP BY queue
    UNION ALL
    SELECT queue, state, count(*)
    FROM ${placedRecords(sql, ["delayed", "retrying", "limited", "dependent", "suspended", "unknown", "running"])}
    GROUP BY queue, state
  `;
  return rows.map(toStateCount);
}

function toStateCount({ queue, state, count }: Row): StateCount {
  return { queue, state, count: toNumber(count) };
}

/** Estimates how many tasks have completed or were cancelled. REPEATABLE: the same records, the same numbers. */
async function estimateEnded(sql: Tag, share: number): Promise<StateCount[]> {
  const percent = Math.min(100, 100 * share);
  const rows = await sql`
    SELECT queue, status AS state, count(*) AS count
    FROM ${sql.schema}.task TABLESAMPLE SYSTEM (${percent}::real) REPEATABLE (0)
    WHERE status IN ('completed', 'cancelled')
    GROUP BY queue, status
  `;
  return rows.map(toStateCount).map((found) => ({ ...found, count: Math.round(found.count * 100 / percent) }));
}

/** Counts of a queue without tasks. */
export function noTasks(): TaskCounts {
  return Object.fromEntries(["created", ...TASK_STATES].map((state) => [state, 0])) as unknown as TaskCounts;
}

/** The records among which all are that match a filter: those with places, if it names such `states`, else all. */
function recordsIn(sql: Tag, states: TaskState[] | undefined): unknown {
  return states ? placedRecords(sql, states) : allRecords(sql);
}

/** Counts the records that match a filter. */
export async function countRecords(sql: Tag, filter: TaskFilter, { large }: { large?: number } = {}): Promise<number> {
  const states = await placedStates(sql, filter, { large });
  const [row] = await sql`SELECT count(*) AS count FROM ${recordsIn(sql, states)} WHERE ${matches(sql, filter)}`;
  return toNumber(row!.count);
}

/** Groups the records that match a filter, the largest groups first: see {@linkcode TaskGroup}. */
export async function groupRecords(
  sql: Tag,
  filter: TaskFilter,
  { by, limit, large }: { by: TaskGrouping; limit: number; large?: number },
): Promise<TaskGroup[]> {
  const states = await placedStates(sql, filter, { large });
  const rows = await sql`
    SELECT CASE ${by}::text
        WHEN 'error' THEN CASE
          WHEN status <> 'completed' THEN errors -> -1 ->> 'name' || ': ' || (errors -> -1 ->> 'message')
        END
        WHEN 'name' THEN func_name
        WHEN 'queue' THEN queue
        ELSE state
      END AS key,
      count(*) AS count, max(id) AS latest, max(COALESCE(completed, failed, cancelled)) AS finished
    FROM ${recordsIn(sql, states)}
    WHERE ${matches(sql, filter)}
    GROUP BY 1
    ORDER BY count DESC, latest DESC
    LIMIT ${limit}::bigint
  `;
  return rows.map(({ key, count, latest, finished }) => ({
    key,
    count: toNumber(count),
    latest: toNumber(latest),
    finished,
  }));
}
