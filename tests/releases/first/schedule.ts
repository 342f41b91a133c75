import type { Backoff } from "../../../src/task/backoff.ts";
import type { Tag } from "../../../src/database/driver.ts";
import { nearestDate } from "../../../src/database/times.ts";
import { FireflyError, TaskExists } from "../../../src/errors.ts";
import type { TaskStatus } from "../../../src/task/record.ts";
import { newRow, rowOfJson, type TaskRow, timeOf, toNumber } from "./rows.ts";

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

export type ScheduledRow = TaskRow & { inserted: boolean };

const [CHUNK_ROWS, CHUNK_CHARACTERS] = [5_000, 8 * 1024 * 1024];
const MANY = 8;

const COLUMNS = {
  func_name: "text",
  queue: "text",
  priority: "integer",
  max_retries: "integer",
  retry_delay: "double precision",
  backoff: "jsonb",
  timeout: "double precision",
  tags: "text[]",
  concurrency_key: "text",
  rate_key: "text",
} as const satisfies Record<Exclude<keyof NewTask, keyof UniqueColumns | "params" | "not_before" | "delay">, string>;

const SHARED = { ...COLUMNS, not_before: "timestamptz", delay: "double precision" } as const;

const NAMES = Object.keys(COLUMNS).join(", ");
const TYPES = Object.entries(SHARED).map(([name, type]) => `${name} ${type}`).join(", ");
const SHARED_NAMES = Object.keys(SHARED) as (keyof typeof SHARED)[];
const START =
  "CASE WHEN delay > 0 THEN clock_timestamp() + make_interval(secs => delay) ELSE COALESCE(not_before, now()) END";
const milliseconds = (time: string) => `floor(extract(epoch FROM ${time}) * 1000)`;
const INSERTED = `${milliseconds("created")}, id, ${milliseconds("NULLIF(not_before, created)")}`;
const FIRST_TIMES = `${milliseconds("min(created)")}, ${milliseconds("min(not_before)")}`;

const VALUE = Symbol("value");

function template(strings: TemplateStringsArray, ...parts: (string | typeof VALUE)[]): TemplateStringsArray {
  const texts = [strings[0]!];
  for (const [i, part] of parts.entries()) {
    const after = strings[i + 1]!;
    if (part === VALUE) texts.push(after);
    else texts[texts.length - 1] += part + after;
  }
  return Object.assign(texts, { raw: texts });
}

const INSERT_ANY = template`
  INSERT INTO ${VALUE}.task (${NAMES}, params, not_before)
  SELECT ${NAMES}, params, ${START}
  FROM json_to_recordset(${VALUE}::text::json) AS new (${TYPES}, params text)
  RETURNING concat_ws(',', ${INSERTED}) AS text
`;

const INSERT_ALIKE = template`
  WITH alike AS MATERIALIZED (
    SELECT ${NAMES}, ${START} AS not_before
    FROM json_to_record(${VALUE}::text::json) AS new (${TYPES})
  ), inserted AS (
    INSERT INTO ${VALUE}.task (${NAMES}, params, not_before)
    SELECT ${NAMES}, params, not_before
    FROM alike, unnest(${VALUE}::text[]) AS new (params)
    RETURNING id, created, not_before
  )
  SELECT concat_ws(',', ${FIRST_TIMES}, string_agg(id::text, ',')) AS text
  FROM inserted
`;

export async function scheduleTasks(sql: Tag, tasks: NewTask[], producer: boolean): Promise<ScheduledRow[]> {
  const by = producer ? "_produce" : "_schedule";
  if (areUnique(tasks)) return uniqueRows(await scheduleUnique(sql, tasks, by), tasks);
  const rows: ScheduledRow[] = [];
  for (const chunk of chunksOf(tasks)) {
    rows.push(
      ...producer
        ? uniqueRows(await scheduleUnique(sql, chunk, by), chunk)
        : newRows(await insertTasks(sql, chunk), chunk),
    );
  }
  return rows;
}

export function areUnique(tasks: NewTask[]): boolean {
  return tasks.some(({ unique_key }) => unique_key !== undefined);
}

export function isOneStatement(tasks: NewTask[]): boolean {
  return tasks.length < 2 || chunksOf(tasks).take(2).toArray().length < 2;
}

export function* chunksOf(tasks: NewTask[]): Generator<NewTask[]> {
  let [start, characters] = [0, 0];
  for (const [i, { params }] of tasks.entries()) {
    if (i > start && (i - start === CHUNK_ROWS || characters + params.length > CHUNK_CHARACTERS)) {
      yield tasks.slice(start, i);
      [start, characters] = [i, 0];
    }
    characters += params.length;
  }
  if (start < tasks.length) yield tasks.slice(start);
}

export async function insertTasks(sql: Tag, tasks: NewTask[]): Promise<InsertedTask[]> {
  return await (tasks.length >= MANY && areAlike(tasks) ? insertAlike(sql, tasks) : insertAny(sql, tasks));
}

async function insertAny(sql: Tag, tasks: NewTask[]): Promise<InsertedTask[]> {
  const rows = await sql<{ text: string }>(INSERT_ANY, sql.schema, JSON.stringify(tasks));
  return rows.map(({ text }) => {
    const [created, id, notBefore = created] = text.split(",");
    return { id: id!, created: nearestDate(Number(created)), not_before: nearestDate(Number(notBefore)) };
  });
}

async function insertAlike(sql: Tag, tasks: NewTask[]): Promise<InsertedTask[]> {
  const { params: _, ...alike } = tasks[0]!;
  const params = tasks.map(({ params }) => params);
  const [row] = await sql<{ text: string }>(INSERT_ALIKE, JSON.stringify(alike), sql.schema, params);
  const [created, notBefore, ...ids] = row ? row.text.split(",") : [];
  const times = { created: Number(created), notBefore: Number(notBefore) };
  return ids.map((id) => ({ id, created: nearestDate(times.created), not_before: nearestDate(times.notBefore) }));
}

function areAlike(tasks: NewTask[]): boolean {
  const first = tasks[0]!;
  return tasks.every((task) =>
    SHARED_NAMES.every((name) =>
      task[name] === first[name] || (name === "tags" && task.tags.length === 0 && first.tags.length === 0)
    )
  );
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
  const rows = await sql<{ text: string }>`
    SELECT json_build_array(task_id::text, created, not_before, inserted, refused_key, record)::text AS text
    FROM ${sql.schema}.${sql.identifier(by)}(${JSON.stringify(tasks)}::text::json)
  `;
  return rows.map(uniqueTask);
}

export async function isProducer(sql: Tag): Promise<boolean> {
  const [row, ...others] = await sql<{ text: string | null }>`
    SELECT (NOT has_any_column_privilege(to_regclass(format('%I.task', ${sql.schemaName}::text)), 'INSERT'))::text AS text
  `;
  if (row && others.length === 0) return row.text === "true";
  throw new TypeError(
    `Cannot schedule through "tx" as its query() resolved to ${row ? others.length + 1 : 0} rows of 1: ` +
      "pass { query: (text, params) => … }, which resolves to the rows of a statement with $1, $2, …",
  );
}

function uniqueTask({ text }: { text: string }): UniqueTask {
  const [id, created, notBefore, inserted, refusedKey, record] = JSON.parse(text);
  return {
    id,
    created: timeOf(created),
    not_before: timeOf(notBefore),
    inserted,
    refusedKey,
    record: record && rowOfJson(record),
  };
}

function uniqueRows(scheduled: UniqueTask[], tasks: NewTask[]): ScheduledRow[] {
  const [first] = scheduled;
  if (first && first.refusedKey !== null) {
    const { func_name: funcName } = tasks[0]!;
    throw new TaskExists(`schedule task "${funcName}"`, { id: toNumber(first.id), funcName, key: first.refusedKey });
  }
  checkReadBack(scheduled, tasks);
  return tasks.map((task, i) => {
    const { inserted, record, ...columns } = scheduled[i]!;
    if (record) return { ...record, inserted };
    const row = newRow(task, columns);
    return inserted ? row : { ...row, status: "completed", state: "completed", completed: row.created, inserted };
  });
}

function newRows(inserted: InsertedTask[], tasks: NewTask[]): ScheduledRow[] {
  checkReadBack(inserted, tasks);
  return tasks.map((task, i) => newRow(task, inserted[i]!));
}

function checkReadBack(rows: InsertedTask[], tasks: NewTask[]): void {
  if (rows.length === tasks.length) return;
  throw new FireflyError(
    `Cannot read back what was scheduled: the client returned ${rows.length} rows for ${tasks.length} tasks`,
  );
}
