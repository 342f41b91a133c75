import type { Backoff } from "../task/backoff.ts";
import type { Tag } from "../database/driver.ts";
import { nearestDate } from "../database/times.ts";
import { FireflyError, TaskExists } from "../errors.ts";
import type { TaskStatus } from "../task/record.ts";
import { newRow, rowOfJson, type TaskRow, timeOf, toNumber } from "./rows.ts";

/** A task to insert, by the names of its columns; null takes the default. */
export interface NewTask extends Partial<UniqueColumns> {
  func_name: string;
  queue: string;
  params: string;
  priority: number;
  not_before: string | null;
  /** Seconds from now; excludes `not_before`. */
  delay: number | null;
  max_retries: number | null;
  retry_delay: number | null;
  backoff: Backoff | null;
  timeout: number | null;
  tags: string[];
  /** Absent where the task has no such limit. */
  concurrency_key?: string;
  /** Absent where the task has no such limit. */
  rate_key?: string;
}

/** The columns of a unique task, and what to do about a duplicate. */
export interface UniqueColumns {
  unique_key: string;
  /** Null means created and running. */
  unique_among: TaskStatus[] | null;
  /** Seconds after its completion. */
  unique_for: number | null;
  on_conflict: "keep" | "replace" | "error";
}

/** What the database assigned to a new task. */
export interface InsertedTask {
  id: string;
  created: Date;
  not_before: Date;
}

/** A row of the view `task_record`, and whether it is new. */
export type ScheduledRow = TaskRow & { inserted: boolean };

/** How many tasks one statement inserts at most, and how many characters of params. */
const [CHUNK_ROWS, CHUNK_CHARACTERS] = [5_000, 8 * 1024 * 1024];
/** From this many tasks on it pays to send what they share only once, and to return their ids in one text. */
const MANY = 8;

/**
 * The columns of `task` that are stored as they are given, with the types to read them from JSON: the statements below
 * are made of them, so that a new column is entered here and in {@linkcode NewTask}. The SQL function `_schedule`
 * repeats them, since a function in the database must not change with each release of this package.
 */
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

/** What the tasks of one call share as a rule: all but their arguments. */
const SHARED = { ...COLUMNS, not_before: "timestamptz", delay: "double precision" } as const;

const NAMES = Object.keys(COLUMNS).join(", ");
const TYPES = Object.entries(SHARED).map(([name, type]) => `${name} ${type}`).join(", ");
const SHARED_NAMES = Object.keys(SHARED) as (keyof typeof SHARED)[];
/** When a task may start. A delay counts from this moment, not from the beginning of the transaction. */
const START =
  "CASE WHEN delay > 0 THEN clock_timestamp() + make_interval(secs => delay) ELSE COALESCE(not_before, now()) END";
/** A time in whole milliseconds, which no client changes and `Date` need not parse. */
const milliseconds = (time: string) => `floor(extract(epoch FROM ${time}) * 1000)`;
const INSERTED = `${milliseconds("created")}, id, ${milliseconds("NULLIF(not_before, created)")}`;
const FIRST_TIMES = `${milliseconds("min(created)")}, ${milliseconds("min(not_before)")}`;

/** Stands for a value of {@linkcode template}. */
const VALUE = Symbol("value");

/** Writes texts that never change into a statement once, as the driver takes 4 µs a call to put each into its place. */
function template(strings: TemplateStringsArray, ...parts: (string | typeof VALUE)[]): TemplateStringsArray {
  const texts = [strings[0]!];
  for (const [i, part] of parts.entries()) {
    const after = strings[i + 1]!;
    if (part === VALUE) texts.push(after);
    else texts[texts.length - 1] += part + after;
  }
  return Object.assign(texts, { raw: texts });
}

/** Inserts any tasks; its values are the schema and the tasks as JSON. */
const INSERT_ANY = template`
  INSERT INTO ${VALUE}.task (${NAMES}, params, not_before)
  SELECT ${NAMES}, params, ${START}
  FROM json_to_recordset(${VALUE}::text::json) AS new (${TYPES}, params text)
  RETURNING concat_ws(',', ${INSERTED}) AS text
`;

/** Inserts tasks that differ only in their arguments; its values are what they share as JSON, the schema, and the arguments. */
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

/**
 * Schedules the tasks of one call through `sql`, which may be {@linkcode tagOf} a user's client; one statement may not
 * be enough, so that many tasks need a transaction. A `producer` may not insert, but call a function that does.
 *
 * @throws {TaskExists} If a duplicate of one of them forbids it: nothing is scheduled then.
 */
export async function scheduleTasks(sql: Tag, tasks: NewTask[], producer: boolean): Promise<ScheduledRow[]> {
  const by = producer ? "_produce" : "_schedule";
  // Unique keys are taken in one order, and so by one statement.
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

/** Whether any of `tasks` may have a duplicate. */
export function areUnique(tasks: NewTask[]): boolean {
  return tasks.some(({ unique_key }) => unique_key !== undefined);
}

/** Whether one statement takes all of `tasks`. */
export function isOneStatement(tasks: NewTask[]): boolean {
  return tasks.length < 2 || chunksOf(tasks).take(2).toArray().length < 2;
}

/** Cuts `tasks` into what one statement takes. */
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

/**
 * Inserts tasks in the order given. The trigger on `task` places them in `ready` or `waiting` and notifies, so that an
 * INSERT from anywhere else does the same.
 */
export async function insertTasks(sql: Tag, tasks: NewTask[]): Promise<InsertedTask[]> {
  return await (tasks.length >= MANY && areAlike(tasks) ? insertAlike(sql, tasks) : insertAny(sql, tasks));
}

async function insertAny(sql: Tag, tasks: NewTask[]): Promise<InsertedTask[]> {
  // One JSON text instead of an array a column: one statement for one task and for thousands, and one parameter.
  const rows = await sql<{ text: string }>(INSERT_ANY, sql.schema, JSON.stringify(tasks));
  return rows.map(({ text }) => {
    const [created, id, notBefore = created] = text.split(",");
    return { id: id!, created: nearestDate(Number(created)), not_before: nearestDate(Number(notBefore)) };
  });
}

/** Inserts tasks that differ only in their arguments: reading a row of JSON costs as much as inserting it. */
async function insertAlike(sql: Tag, tasks: NewTask[]): Promise<InsertedTask[]> {
  const { params: _, ...alike } = tasks[0]!;
  // One time for all of them, as they start at one time; and one row for all, as the driver takes its time for each.
  const params = tasks.map(({ params }) => params);
  const [row] = await sql<{ text: string }>(INSERT_ALIKE, JSON.stringify(alike), sql.schema, params);
  const [created, notBefore, ...ids] = row ? row.text.split(",") : [];
  const times = { created: Number(created), notBefore: Number(notBefore) };
  // A Date can be changed: each row has its own.
  return ids.map((id) => ({ id, created: nearestDate(times.created), not_before: nearestDate(times.notBefore) }));
}

/** Whether tasks differ only in their arguments, as those of one call do, and most that are called together. */
function areAlike(tasks: NewTask[]): boolean {
  const first = tasks[0]!;
  return tasks.every((task) =>
    SHARED_NAMES.every((name) =>
      task[name] === first[name] || (name === "tags" && task.tags.length === 0 && first.tags.length === 0)
    )
  );
}

/** The outcome of scheduling a task that may have a duplicate. */
export interface UniqueTask extends InsertedTask {
  /** False if `id` is a duplicate's. */
  inserted: boolean;
  /** The unique key whose duplicate forbids the whole call: nothing was scheduled then. */
  refusedKey: string | null;
  /** The duplicate's record; null for a new task, and for a duplicate whose record is deleted while its key remains. */
  record: TaskRow | null;
}

/** The SQL functions that schedule unique tasks; `_produce` does so, with any other tasks, for a role that may not use the tables. */
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
  const rows = await sql<{ text: string }>`
    SELECT json_build_array(task_id::text, created, not_before, inserted, refused_key, record)::text AS text
    FROM ${sql.schema}.${sql.identifier(by)}(${JSON.stringify(tasks)}::text::json)
  `;
  return rows.map(uniqueTask);
}

/**
 * Whether the role behind `sql` may not insert into the table: a producer.
 *
 * @throws {TypeError} If a user's client does not return the one row of the answer.
 */
export async function isProducer(sql: Tag): Promise<boolean> {
  // NULL where there is no such table: the INSERT reports that better.
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
    // A key outlasts only a completed task: a duplicate whose record is deleted was that, and no more is known of it.
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
