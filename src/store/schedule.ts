import type { Backoff } from "../task/backoff.ts";
import type { Tag } from "../database/driver.ts";
import type { TaskStatus } from "../task/record.ts";
import type { Queryable, Sql } from "../sql.ts";
import type { TaskRow } from "./rows.ts";

/** A task to insert, in the names of its columns; null takes the default. */
export interface NewTask extends Partial<UniqueColumns> {
  func_name: string;
  queue: string;
  params: string;
  priority: number;
  not_before: string | null;
  /** Seconds from now; it excludes `not_before`. */
  delay: number | null;
  max_retries: number | null;
  retry_delay: number | null;
  backoff: Backoff | null;
  timeout: number | null;
  tags: string[];
  /** Left out where the task has no such limit. */
  concurrency_key?: string;
  /** Left out where the task has no such limit. */
  rate_key?: string;
}

/** The columns of a unique task, and what becomes of its duplicate. */
export interface UniqueColumns {
  unique_key: string;
  /** Null means created and running. */
  unique_among: TaskStatus[] | null;
  /** Seconds after its completion. */
  unique_for: number | null;
  on_conflict: "keep" | "replace" | "error";
}

/** What the database decided about a new task. */
export interface InsertedTask {
  id: string;
  created: Date;
  not_before: Date;
}

/** From how many rows on it pays to send what they share only once, and to have their ids back in one text. */
const MANY = 8;

/**
 * Inserts tasks in the order given. The trigger on `task` places them in `ready` or `waiting` and rings, so that an
 * INSERT from anywhere else does the same.
 */
export async function insertTasks(sql: Tag, tasks: NewTask[]): Promise<InsertedTask[]> {
  return await (tasks.length >= MANY && areAlike(tasks) ? insertAlike(sql, tasks) : insertAny(sql, tasks));
}

async function insertAny(sql: Tag, tasks: NewTask[]): Promise<InsertedTask[]> {
  // One JSON text instead of an array a column: one statement for one task and for thousands, and one parameter.
  return await sql<InsertedTask>`
    INSERT INTO ${sql.schema}.task (
      func_name, queue, params, priority, not_before, max_retries, retry_delay, backoff, timeout, tags,
      concurrency_key, rate_key
    )
    SELECT func_name, queue, params, priority,
      CASE WHEN delay > 0 THEN clock_timestamp() + make_interval(secs => delay) ELSE COALESCE(not_before, now()) END,
      max_retries, retry_delay, backoff, timeout, tags, concurrency_key, rate_key
    FROM json_to_recordset(${JSON.stringify(tasks)}::text::json) AS new (
      func_name text, queue text, params text, priority integer, not_before timestamptz, delay double precision,
      max_retries integer, retry_delay double precision, backoff jsonb, timeout double precision, tags text[],
      concurrency_key text, rate_key text
    )
    RETURNING id, created, not_before
  `;
}

/** Inserts tasks that differ in nothing but their arguments: reading a row of JSON costs as much as inserting it. */
async function insertAlike(sql: Tag, tasks: NewTask[]): Promise<InsertedTask[]> {
  const { params: _, ...alike } = tasks[0]!;
  // One time for all of them, as they begin at one time; and one row for all, as the driver takes its time for each.
  const [row] = await sql`
    WITH alike AS MATERIALIZED (
      SELECT func_name, queue, priority,
        CASE WHEN delay > 0 THEN clock_timestamp() + make_interval(secs => delay) ELSE COALESCE(not_before, now()) END
          AS not_before,
        max_retries, retry_delay, backoff, timeout, tags, concurrency_key, rate_key
      FROM json_to_record(${JSON.stringify(alike)}::text::json) AS new (
        func_name text, queue text, priority integer, not_before timestamptz, delay double precision,
        max_retries integer, retry_delay double precision, backoff jsonb, timeout double precision, tags text[],
        concurrency_key text, rate_key text
      )
    ), inserted AS (
      INSERT INTO ${sql.schema}.task (
        func_name, queue, params, priority, not_before, max_retries, retry_delay, backoff, timeout, tags,
        concurrency_key, rate_key
      )
      SELECT func_name, queue, params, priority, not_before, max_retries, retry_delay, backoff, timeout, tags,
        concurrency_key, rate_key
      FROM alike, unnest(${tasks.map(({ params }) => params)}::text[]) AS new (params)
      RETURNING id, created, not_before
    )
    SELECT string_agg(id::text, ',') AS ids, min(created) AS created, min(not_before) AS not_before
    FROM inserted
  `;
  const { ids, created, not_before } = row as { ids: string | null; created: Date; not_before: Date };
  // Dates can be set: each record has its own.
  return ids?.split(",").map((id) => ({ id, created: new Date(created), not_before: new Date(not_before) })) ?? [];
}

/** The columns in which tasks may differ that are not like each other. */
const COLUMNS = [
  "func_name",
  "queue",
  "priority",
  "not_before",
  "delay",
  "max_retries",
  "retry_delay",
  "backoff",
  "timeout",
  "concurrency_key",
  "rate_key",
] as const satisfies (keyof NewTask)[];

/** Whether tasks differ in nothing but their arguments, as those of one call do, and most that are called together. */
function areAlike(tasks: NewTask[]): boolean {
  const first = tasks[0]!;
  return tasks.every((task) =>
    COLUMNS.every((column) => task[column] === first[column]) &&
    (task.tags === first.tags || (task.tags.length === 0 && first.tags.length === 0))
  );
}

/** Inserts tasks through a client, and so inside a transaction, of the user's own. */
export async function insertTasksWith(
  client: Sql | Queryable,
  schema: string,
  tasks: NewTask[],
): Promise<InsertedTask[]> {
  const text = `
    INSERT INTO "${schema.replaceAll('"', '""')}".task (
      func_name, queue, params, priority, not_before, max_retries, retry_delay, backoff, timeout, tags,
      concurrency_key, rate_key
    )
    SELECT func_name, queue, params, priority,
      CASE WHEN delay > 0 THEN clock_timestamp() + make_interval(secs => delay) ELSE COALESCE(not_before, now()) END,
      max_retries, retry_delay, backoff, timeout, tags, concurrency_key, rate_key
    FROM json_to_recordset($1::text::json) AS new (
      func_name text, queue text, params text, priority integer, not_before timestamptz, delay double precision,
      max_retries integer, retry_delay double precision, backoff jsonb, timeout double precision, tags text[],
      concurrency_key text, rate_key text
    )
    RETURNING json_build_array(id, created, not_before)::text`;
  return (await queryTexts(client, text, [JSON.stringify(tasks)])).map((row) => {
    const [id, created, notBefore] = JSON.parse(row);
    return { id: String(id), created: new Date(created), not_before: new Date(notBefore) };
  });
}

/** What became of a task that may have had a duplicate. */
export interface UniqueTask extends InsertedTask {
  /** False if `id` is a duplicate's. */
  inserted: boolean;
  /** The key for which a duplicate's task forbids it all: nothing was scheduled then. */
  refusedKey: string | null;
  /** The record, if it is not just what was given: null also for a duplicate that is deleted, and whose key outlasts it. */
  record: TaskRow | null;
}

/** What schedules unique tasks; `_produce` does it, and schedules any others, for a role that may not use the tables. */
export type ScheduleFunction = "_schedule" | "_produce";

/**
 * Schedules tasks of which some have unique keys, all in one statement: their keys are taken in one order, so that
 * two calls cannot wait for each other, and a call that is refused leaves nothing behind. It waits for open
 * transactions that schedule tasks of the same keys.
 */
export async function scheduleUnique(
  sql: Tag,
  tasks: NewTask[],
  by: ScheduleFunction = "_schedule",
): Promise<UniqueTask[]> {
  const rows = await sql`
    SELECT json_build_array(task_id, created, not_before, inserted, refused_key, record)::text AS scheduled
    FROM ${sql.schema}.${sql.identifier(by)}(${JSON.stringify(tasks)}::text::json)
  `;
  return rows.map((row) => uniqueTask(row.scheduled));
}

/** The same through a client, and so inside a transaction, of the user's own. */
export async function scheduleUniqueWith(
  client: Sql | Queryable,
  schema: string,
  tasks: NewTask[],
  by: ScheduleFunction = "_schedule",
): Promise<UniqueTask[]> {
  const text = `
    SELECT json_build_array(task_id, created, not_before, inserted, refused_key, record)::text
    FROM "${schema.replaceAll('"', '""')}".${by}($1::text::json)`;
  return (await queryTexts(client, text, [JSON.stringify(tasks)])).map(uniqueTask);
}

/** Whether the role behind `sql` may not insert into the table: a producer. */
export async function isProducer(sql: Tag): Promise<boolean> {
  // NULL where there is no such table: the INSERT says so better.
  const [row] = await sql`
    SELECT (NOT has_any_column_privilege(to_regclass(format('%I.task', ${sql.schemaName}::text)), 'INSERT'))::text AS producer
  `;
  return row!.producer === "true";
}

/** The same of a client of the user's own. */
export async function isProducerWith(client: Sql | Queryable, schema: string): Promise<boolean> {
  const table = `"${schema.replaceAll('"', '""')}".task`.replaceAll("'", "''");
  const [producer] = await queryTexts(
    client,
    `SELECT (NOT has_any_column_privilege(to_regclass('${table}'), 'INSERT'))::text`,
    [],
  );
  return producer === "true";
}

/** One text a row, whatever its column is called: clients rename columns, and make of times what they like. */
async function queryTexts(client: Sql | Queryable, text: string, params: string[]): Promise<string[]> {
  const rows = "query" in client ? await client.query(text, params) : await client.unsafe(text, params);
  return (rows as object[]).map((row) => Object.values(row)[0]);
}

function uniqueTask(text: string): UniqueTask {
  const [id, created, notBefore, inserted, refusedKey, record] = JSON.parse(text);
  return {
    id: String(id),
    created: new Date(created),
    not_before: new Date(notBefore),
    inserted,
    refusedKey,
    record: record && rowOfJson(record),
  };
}

/** A row that came as JSON, as the driver would have given it. */
function rowOfJson(json: Record<keyof TaskRow, unknown>): TaskRow {
  const times = ["created", "not_before", "started", "completed", "failed", "cancelled"] as const;
  const dates = times.map((time) => [time, json[time] === null ? null : new Date(json[time] as string)]);
  return { ...json, id: String(json.id), ...Object.fromEntries(dates) } as TaskRow;
}
