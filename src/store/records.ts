import type { Tag } from "../database/driver.ts";
import {
  CREATED_STATES,
  TASK_STATES,
  type TaskCounts,
  type TaskFilter,
  type TaskGroup,
  type TaskGrouping,
  type TaskState,
} from "../task/record.ts";
import { type TaskRow, toNumber } from "./rows.ts";

/** Reads records by id; an id without a record is left out. */
export async function readRecords(sql: Tag, ids: number[]): Promise<TaskRow[]> {
  return await sql<TaskRow>`
    SELECT *
    FROM ${sql.schema}.task_record
    WHERE id = ANY (${ids}::bigint[])
  `;
}

/** A filter as the parameters of a statement: null means any. */
interface FilterParameters {
  statuses: string[] | null;
  /** Those of the statuses that are states of `created`. */
  states: string[] | null;
  queues: string[] | null;
  names: string[] | null;
  ids: number[] | null;
  tags: string[] | null;
  createdBefore: Date | null;
  createdAfter: Date | null;
  finishedBefore: Date | null;
  finishedAfter: Date | null;
  error: string | null;
  params: string | null;
}

function toFilterParameters(filter: TaskFilter): FilterParameters {
  const statuses = listOf(filter.status);
  return {
    statuses,
    states: statuses && statuses.filter((status) => (CREATED_STATES as readonly string[]).includes(status)),
    queues: listOf(filter.queue),
    names: listOf(filter.funcName),
    ids: filter.ids ?? null,
    tags: filter.tags ?? null,
    createdBefore: filter.createdBefore ?? null,
    createdAfter: filter.createdAfter ?? null,
    finishedBefore: filter.finishedBefore ?? null,
    finishedAfter: filter.finishedAfter ?? null,
    error: filter.error ?? null,
    params: filter.params === undefined ? null : JSON.stringify(filter.params),
  };
}

function listOf<T>(value: T | T[] | undefined): T[] | null {
  return value === undefined ? null : Array.isArray(value) ? value : [value];
}

/** The conditions of a filter, on columns of `task_record`. The cheap ones come first: PostgreSQL keeps their order. */
function matches(sql: Tag, filter: TaskFilter): unknown {
  const {
    statuses,
    states,
    queues,
    names,
    ids,
    tags,
    createdBefore,
    createdAfter,
    finishedBefore,
    finishedAfter,
    error,
    params,
  } = toFilterParameters(filter);
  return sql.fragment`(${statuses}::text[] IS NULL OR status = ANY (${statuses}::text[])
        OR (status = 'created' AND cardinality(${states}::text[]) > 0 AND state = ANY (${states}::text[])))
      AND (${queues}::text[] IS NULL OR queue = ANY (${queues}::text[]))
      AND (${names}::text[] IS NULL OR func_name = ANY (${names}::text[]))
      AND (${ids}::bigint[] IS NULL OR id = ANY (${ids}::bigint[]))
      AND (${tags}::text[] IS NULL OR tags @> ${tags}::text[])
      AND (${createdBefore}::timestamptz IS NULL OR created < ${createdBefore}::timestamptz)
      AND (${createdAfter}::timestamptz IS NULL OR created >= ${createdAfter}::timestamptz)
      AND (${finishedBefore}::timestamptz IS NULL
        OR COALESCE(completed, failed, cancelled) < ${finishedBefore}::timestamptz)
      AND (${finishedAfter}::timestamptz IS NULL
        OR COALESCE(completed, failed, cancelled) >= ${finishedAfter}::timestamptz)
      AND (${error}::text IS NULL OR (status <> 'completed' AND strpos(
        lower(errors -> -1 ->> 'name' || ': ' || (errors -> -1 ->> 'message')), lower(${error}::text)
      ) > 0))
      AND (${params}::text IS NULL OR ${sql.schema}.try_decode(params) @> ${params}::text::jsonb)`;
}

/** A record of a list, with its fence: every change of its status, except a claim, increments `claim_seq`. */
export interface ListedRow extends TaskRow {
  claim_seq: string;
}

/** Lists records with ids below `before`, and from `from` on, newest first. */
export async function listRecords(
  sql: Tag,
  filter: TaskFilter,
  { limit, before, from = null }: { limit: number; before: number | null; from?: number | null },
): Promise<ListedRow[]> {
  return await sql<ListedRow>`
    SELECT *, (SELECT task.claim_seq FROM ${sql.schema}.task WHERE task.id = task_record.id) AS claim_seq
    FROM ${sql.schema}.task_record
    WHERE (${before}::bigint IS NULL OR id < ${before}::bigint)
      AND (${from}::bigint IS NULL OR id >= ${from}::bigint)
      AND ${matches(sql, filter)}
    ORDER BY id DESC
    LIMIT ${limit}::bigint
  `;
}

/** Reads the largest id below `before`; null if there is none. */
export async function newestBelow(sql: Tag, before: number | null): Promise<number | null> {
  const [row] = await sql`
    SELECT max(id) AS id FROM ${sql.schema}.task WHERE ${before}::bigint IS NULL OR id < ${before}::bigint
  `;
  return row!.id === null ? null : toNumber(row!.id);
}

/**
 * Finds the tasks below `before` whose state is one of `states`, none of which may be an end: the ids of the newest, up
 * to `limit`. A list of them would walk all records for the few that have not ended, and look up the place of each.
 */
export async function findPlaced(
  sql: Tag,
  states: readonly TaskState[],
  { limit, before }: { limit: number; before: number | null },
): Promise<number[]> {
  const wants = (state: TaskState) => states.includes(state);
  const [ready, limited, delayed, retrying] = [wants("ready"), wants("limited"), wants("delayed"), wants("retrying")];
  const rows = await sql`
    SELECT id
    FROM (
      SELECT id FROM ${sql.schema}._ready_task WHERE ${ready}::boolean
      UNION ALL
      SELECT id
      FROM ${sql.schema}.waiting
      WHERE CASE
        WHEN reason = 'unknown' THEN ${wants("unknown")}::boolean
        WHEN reason <> 'time' THEN ${limited}::boolean
        WHEN not_before > statement_timestamp() THEN CASE
          WHEN ${delayed}::boolean = ${retrying}::boolean THEN ${delayed}::boolean
          ELSE EXISTS (
            SELECT FROM ${sql.schema}.task WHERE task.id = waiting.id AND (task.started IS NULL) = ${delayed}::boolean
          )
        END
        WHEN concurrency_key IS NULL AND rate_key IS NULL THEN ${ready}::boolean
        ELSE ${limited}::boolean
      END
      UNION ALL
      SELECT id FROM ${sql.schema}._claimed_task WHERE ${wants("running")}::boolean
      UNION ALL
      SELECT id FROM ${allRecords(sql)} WHERE ${wants("unplaced")}::boolean AND state = 'unplaced'
    ) AS place
    WHERE ${before}::bigint IS NULL OR id < ${before}::bigint
    ORDER BY id DESC
    LIMIT ${limit}::bigint
  `;
  return rows.map(({ id }) => toNumber(id));
}

/**
 * All records with their states. It joins every place at once, where the view would look up the place of each record:
 * faster where all records are read, and only there.
 */
function allRecords(sql: Tag): unknown {
  return sql.fragment`(
      SELECT task.id, task.func_name, task.queue, task.created, task.completed, task.failed, task.cancelled, task.params,
        task.errors, task.tags, CASE WHEN place.state = 'running' THEN 'running' ELSE task.status END AS status,
        CASE
          WHEN task.status <> 'created' THEN task.status
          WHEN place.state = 'delayed' AND task.started IS NOT NULL THEN 'retrying'
          ELSE COALESCE(place.state, 'unplaced')
        END AS state
      FROM ${sql.schema}.task
      LEFT JOIN (
        SELECT id, claim_seq, 'ready' AS state FROM ${sql.schema}._ready_task
        UNION ALL
        SELECT id, claim_seq, CASE
          WHEN reason = 'unknown' THEN 'unknown'
          WHEN reason <> 'time' THEN 'limited'
          WHEN not_before > statement_timestamp() THEN 'delayed'
          WHEN concurrency_key IS NULL AND rate_key IS NULL THEN 'ready'
          ELSE 'limited'
        END
        FROM ${sql.schema}.waiting
        UNION ALL
        SELECT id, claim_seq, 'running' FROM ${sql.schema}._claimed_task
      ) AS place ON task.status = 'created' AND place.id = task.id AND place.claim_seq = task.claim_seq
    ) AS task_record`;
}

/** Counts records by queue and state. */
export async function countStates(sql: Tag): Promise<Map<string, TaskCounts>> {
  const rows = await sql`
    SELECT queue, state, count(*) AS count
    FROM ${allRecords(sql)}
    GROUP BY queue, state
  `;
  const counts = new Map<string, TaskCounts>();
  for (const { queue, state, count } of rows) {
    const own = counts.get(queue) ?? noTasks();
    counts.set(queue, own);
    own[state as TaskState] = toNumber(count);
    if (CREATED_STATES.includes(state)) own.created += toNumber(count);
  }
  return counts;
}

/** Counts of a queue without tasks. */
export function noTasks(): TaskCounts {
  return Object.fromEntries(["created", ...TASK_STATES].map((state) => [state, 0])) as TaskCounts;
}

/** Counts the records that match a filter. */
export async function countRecords(sql: Tag, filter: TaskFilter): Promise<number> {
  const [row] = await sql`SELECT count(*) AS count FROM ${allRecords(sql)} WHERE ${matches(sql, filter)}`;
  return toNumber(row!.count);
}

/** Groups the records that match a filter, the largest groups first: see {@linkcode TaskGroup}. */
export async function groupRecords(
  sql: Tag,
  filter: TaskFilter,
  { by, limit }: { by: TaskGrouping; limit: number },
): Promise<TaskGroup[]> {
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
    FROM ${allRecords(sql)}
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
