import type { Backoff } from "../../../src/task/backoff.ts";
import type { Tag } from "../../../src/database/driver.ts";
import type { TaskStatus } from "../../../src/task/record.ts";
import type { Queryable, Sql } from "../../../src/sql.ts";
import type { TaskRow } from "./rows.ts";

export interface NewTask extends Partial<UniqueColumns> {
  func_name: string;
  queue: string;
  params: string;
  priority: number;
  not_before: string | null;
  delay: number | null;
  max_retries: number | null;
  retry_delay: number | null;
  backoff: Backoff | null;
  timeout: number | null;
  tags: string[];
  concurrency_key?: string;
  rate_key?: string;
}

export interface UniqueColumns {
  unique_key: string;
  unique_among: TaskStatus[] | null;
  unique_for: number | null;
  on_conflict: "keep" | "replace" | "error";
}

export interface InsertedTask {
  id: string;
  created: Date;
  not_before: Date;
}

const MANY = 8;

export async function insertTasks(sql: Tag, tasks: NewTask[]): Promise<InsertedTask[]> {
  return await (tasks.length >= MANY && areAlike(tasks) ? insertAlike(sql, tasks) : insertAny(sql, tasks));
}

async function insertAny(sql: Tag, tasks: NewTask[]): Promise<InsertedTask[]> {
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

async function insertAlike(sql: Tag, tasks: NewTask[]): Promise<InsertedTask[]> {
  const { params: _, ...alike } = tasks[0]!;
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
  return ids?.split(",").map((id) => ({ id, created: new Date(created), not_before: new Date(not_before) })) ?? [];
}

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

function areAlike(tasks: NewTask[]): boolean {
  const first = tasks[0]!;
  return tasks.every((task) =>
    COLUMNS.every((column) => task[column] === first[column]) &&
    (task.tags === first.tags || (task.tags.length === 0 && first.tags.length === 0))
  );
}

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

export interface UniqueTask extends InsertedTask {
  inserted: boolean;
  refusedKey: string | null;
  record: TaskRow | null;
}

export type ScheduleFunction = "_schedule" | "_produce";

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

export async function isProducer(sql: Tag): Promise<boolean> {
  const [row] = await sql`
    SELECT (NOT has_any_column_privilege(to_regclass(format('%I.task', ${sql.schemaName}::text)), 'INSERT'))::text AS producer
  `;
  return row!.producer === "true";
}

export async function isProducerWith(client: Sql | Queryable, schema: string): Promise<boolean> {
  const table = `"${schema.replaceAll('"', '""')}".task`.replaceAll("'", "''");
  const [producer] = await queryTexts(
    client,
    `SELECT (NOT has_any_column_privilege(to_regclass('${table}'), 'INSERT'))::text`,
    [],
  );
  return producer === "true";
}

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

function rowOfJson(json: Record<keyof TaskRow, unknown>): TaskRow {
  const times = ["created", "not_before", "started", "completed", "failed", "cancelled"] as const;
  const dates = times.map((time) => [time, json[time] === null ? null : new Date(json[time] as string)]);
  return { ...json, id: String(json.id), ...Object.fromEntries(dates) } as TaskRow;
}
