import type { Tag } from "../database/driver.ts";
import type { TaskLogLine } from "../task/record.ts";
import { toNumber } from "./rows.ts";

/** A kept log line, with the task that logged it. */
export interface LogLine extends TaskLogLine {
  /** Its number: consumers number lines as they store them. */
  readonly id: number;
  /** Its place among all lines. */
  readonly place: LogPlace;
  readonly taskId: number;
  readonly funcName: string;
  readonly queue: string;
}

/** Which lines to read; null means any. */
export interface LogFilter {
  readonly names: readonly string[] | null;
  readonly queues: readonly string[] | null;
  readonly taskIds: readonly number[] | null;
  readonly levels: readonly TaskLogLine["level"][] | null;
}

/** The place of a line in the order of times. `at` is a text, as a Date would lose the microseconds. */
export interface LogPlace {
  readonly at: string;
  readonly id: number;
}

/** A part of all lines: those that were logged since a time, from one place up to another. */
export interface LogRange {
  readonly since: Date | null;
  /** The oldest line of it. */
  readonly from: LogPlace | null;
  /** The first newer line that is no longer of it. */
  readonly before: LogPlace | null;
}

/** Reads the newest lines of a range that match, newest first. */
export async function readLogLines(
  sql: Tag,
  filter: LogFilter,
  { limit, ...range }: LogRange & { readonly limit: number },
): Promise<LogLine[]> {
  const { taskIds } = filter;
  // OFFSET 0 keeps the planner from searching all lines, in the order of their times, for those of the tasks.
  const candidates = taskIds
    ? sql.fragment`(SELECT * FROM ${sql.schema}.task_log WHERE task_id = ANY (${taskIds}::bigint[]) OFFSET 0)`
    : sql.fragment`${sql.schema}.task_log`;
  return (await sql`
    SELECT ${columns(sql)}
    FROM ${candidates} AS line
    ${joinTask(sql)}
    WHERE ${isWithin(sql, range)} AND ${matches(sql, filter)}
    ORDER BY line.at DESC, line.id DESC
    LIMIT ${limit}::bigint
  `).map(toLine);
}

/** Finds the place of the line that is the `count`th of a range, from the newest; null if it has fewer. */
export async function findLogPlace(
  sql: Tag,
  { count, ...range }: LogRange & { readonly count: number },
): Promise<LogPlace | null> {
  const [row] = await sql`
    SELECT to_json(line.at) #>> '{}' AS at, line.id
    FROM ${sql.schema}.task_log AS line
    WHERE ${isWithin(sql, range)}
    ORDER BY line.at DESC, line.id DESC
    OFFSET ${count - 1}::bigint
    LIMIT 1
  `;
  return row ? { at: row.at, id: toNumber(row.id) } : null;
}

/** Reads lines with larger ids than `after` that match, in the order of their ids, without those of `except`. */
export async function readLogLinesAfter(
  sql: Tag,
  filter: LogFilter,
  { after, except, limit }: { readonly after: number; readonly except: readonly number[]; readonly limit: number },
): Promise<LogLine[]> {
  return (await sql`
    SELECT ${columns(sql)}
    FROM ${sql.schema}.task_log AS line
    ${joinTask(sql)}
    WHERE line.id > ${after}::bigint AND line.id <> ALL (${except}::bigint[]) AND ${matches(sql, filter)}
    ORDER BY line.id
    LIMIT ${limit}::bigint
  `).map(toLine);
}

/** Reads the largest id of a line that is committed; 0 if there is none. */
export async function readLastLogId(sql: Tag): Promise<number> {
  const [row] = await sql`SELECT COALESCE(max(id), 0) AS id FROM ${sql.schema}.task_log`;
  return toNumber(row!.id);
}

/**
 * Lists the transactions that may have numbered lines and not committed them: a transaction locks the table before it
 * takes a number, and releases the lock once its lines are visible to others.
 */
export async function readLogWriters(sql: Tag): Promise<string[]> {
  const rows = await sql<{ writer: string }>`
    SELECT DISTINCT virtualtransaction AS writer
    FROM pg_locks
    WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted
      AND relation = format('%I.task_log', ${sql.schemaName}::text)::regclass
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  `;
  return rows.map(({ writer }) => writer);
}

function columns(sql: Tag): unknown {
  return sql.raw(
    `line.id, to_json(line.at) #>> '{}' AS exactly, line.task_id AS "taskId", task.func_name AS "funcName", task.queue, line.attempt, line.at, line.level,
      line.message, line.step, COALESCE(line.fields, '{}') AS fields`,
  );
}

/** The task of each line, one after the other by its primary key: OFFSET 0 keeps the planner from joining all of them. */
function joinTask(sql: Tag): unknown {
  return sql.fragment`CROSS JOIN LATERAL (
      SELECT func_name, queue FROM ${sql.schema}.task WHERE task.id = line.task_id OFFSET 0
    ) AS task`;
}

function isWithin(sql: Tag, { since, from, before }: LogRange): unknown {
  const bounds = [
    since && sql.fragment`line.at >= ${since}::timestamptz`,
    from && sql.fragment`(line.at, line.id) >= (${from.at}::text::timestamptz, ${from.id}::bigint)`,
    before && sql.fragment`(line.at, line.id) < (${before.at}::text::timestamptz, ${before.id}::bigint)`,
  ].filter((bound) => bound !== null);
  return bounds.reduce((all, bound) => sql.fragment`${all} AND ${bound}`, sql.raw("true"));
}

function matches(sql: Tag, { names, queues, taskIds, levels }: LogFilter): unknown {
  return sql.fragment`(${levels}::text[] IS NULL OR line.level = ANY (${levels}::text[]))
      AND (${taskIds}::bigint[] IS NULL OR line.task_id = ANY (${taskIds}::bigint[]))
      AND (${names}::text[] IS NULL OR task.func_name = ANY (${names}::text[]))
      AND (${queues}::text[] IS NULL OR task.queue = ANY (${queues}::text[]))`;
}

// deno-lint-ignore no-explicit-any
function toLine({ exactly, ...row }: any): LogLine {
  const id = toNumber(row.id);
  return { ...row, id, taskId: toNumber(row.taskId), place: { at: exactly, id } };
}
