import type { Backoff } from "../task/backoff.ts";
import type { Tag } from "../database/driver.ts";
import { nearestDate } from "../database/times.ts";
import { lazyArray } from "../lazy_array.ts";
import { toHex } from "../telemetry/traceparent.ts";
import type { TaskStatus } from "../task/record.ts";

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
  /** The identity of the span that schedules it, as W3C Trace Context writes it; absent where nothing is traced. */
  traceparent?: string;
  /** Absent where the task waits for no other: only the SQL functions that schedule unique tasks take it. */
  depends?: readonly Dependency[];
}

/** A task that another one waits for, as `_schedule()` takes it. */
export type Dependency =
  & ({ readonly id: number } | {
    /** The place in the same call, from 0, of a task that stands before. */
    readonly ref: number;
  })
  & {
    /** Whether any end will do; else it must complete. */
    readonly settled?: boolean;
  };

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

/**
 * The columns of `task` that are stored as they are given, with the types to read them from JSON: the statements below
 * are made of them, so that a new column is entered here, in {@linkcode NewTask} and in {@linkcode isAlike}. The SQL
 * function `_schedule` repeats them, since a function in the database must not change with each release of this package.
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
} as const satisfies Record<
  Exclude<keyof NewTask, keyof UniqueColumns | "params" | "not_before" | "delay" | "traceparent" | "depends">,
  string
>;

/** What the tasks of one call share as a rule: all but their arguments. */
const SHARED = { ...COLUMNS, not_before: "timestamptz", delay: "double precision" } as const;

const NAMES = Object.keys(COLUMNS).join(", ");
const TYPES = Object.entries(SHARED).map(([name, type]) => `${name} ${type}`).join(", ");
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
function template(
  strings: TemplateStringsArray,
  ...parts: (string | typeof VALUE | TemplateStringsArray)[]
): TemplateStringsArray {
  const texts = [strings[0]!];
  for (const [i, part] of parts.entries()) {
    const [first, ...rest] = part === VALUE ? ["", ""] : typeof part === "string" ? [part] : part;
    texts[texts.length - 1] += first!;
    texts.push(...rest);
    texts[texts.length - 1] += strings[i + 1]!;
  }
  return Object.assign(texts, { raw: texts });
}

/** Columns whose values differ among alike tasks, and a list for each: traceparents are sent only where there are any. */
interface Differing {
  readonly names: string;
  readonly values: string;
  readonly lists: TemplateStringsArray;
}

const UNTRACED: Differing = { names: "params", values: "params", lists: template`${VALUE}::text[]` };
const TRACED: Differing = {
  names: "params, traceparent",
  values: "params, decode(traceparent, 'hex')",
  lists: template`${VALUE}::text[], ${VALUE}::text[]`,
};

/** Inserts any tasks; its values are the schema, the schema, and the tasks as JSON. */
const INSERT_ANY = template`
  INSERT INTO ${VALUE}.task (${NAMES}, params, traceparent, not_before)
  SELECT ${NAMES}, params, ${VALUE}._traceparent(traceparent), ${START}
  FROM json_to_recordset(${VALUE}::text::json) AS new (${TYPES}, params text, traceparent text)
  RETURNING concat_ws(',', ${INSERTED}) AS text
`;

/** Inserts tasks that differ only in their arguments; its values are what they share as JSON, the schema, and the lists. */
const insertAlikeOf = ({ names, values, lists }: Differing) =>
  template`
  WITH alike AS MATERIALIZED (
    SELECT ${NAMES}, ${START} AS not_before
    FROM json_to_record(${VALUE}::text::json) AS new (${TYPES})
  ), inserted AS (
    INSERT INTO ${VALUE}.task (${NAMES}, ${names}, not_before)
    SELECT ${NAMES}, ${values}, not_before
    FROM alike, unnest(${lists}) AS new (${names})
    RETURNING id, created, not_before
  )
  SELECT concat_ws(',', ${FIRST_TIMES}, string_agg(id::text, ',')) AS text
  FROM inserted
`;

/*
 * The two statements below put their tasks into `ready` and notify by themselves, for a third of the price. Each sets a
 * mark, with which the trigger of `task` leaves what it inserts alone, and removes the mark when all is inserted: an
 * aggregate is there only when the INSERT before it has come to its end. The rules stand in the database alone: _runs() cuts ids into runs, and _notify() decides whether a consumer is to be woken.
 */
const MARK = "set_config('firefly.placed', 'on', true)";
const UNMARK = "set_config('firefly.placed', '', true)";
const READY_NAMES = "id, length, claim_seq, not_before, priority, queue, func_name";
const NOW = milliseconds("now()");

/** Inserts tasks that may start at once, as {@linkcode insertAlikeOf} does; its values are the same, and two schemas more. */
const insertReadyOf = ({ names, values, lists }: Differing) =>
  template`
  WITH alike AS MATERIALIZED (
    SELECT ${NAMES}, ${MARK}
    FROM json_to_record(${VALUE}::text::json) AS new (${TYPES})
  ), inserted AS (
    INSERT INTO ${VALUE}.task (${NAMES}, ${names})
    SELECT ${NAMES}, ${values}
    FROM alike, unnest(${lists}) AS new (${names})
    RETURNING id
  ), made AS MATERIALIZED (
    SELECT array_agg(id) AS ids FROM inserted
  ), placed AS (
    INSERT INTO ${VALUE}.ready (${READY_NAMES})
    SELECT run.id, run.length, 0, now(), alike.priority, alike.queue, alike.func_name
    FROM made, alike, ${VALUE}._runs(made.ids) AS run
  )
  SELECT concat_ws(',', ${NOW}, ${NOW}, array_to_string(made.ids, ',')) || ${UNMARK} || ${VALUE}._notify(alike.queue)::text AS text
  FROM made, alike
`;

const [INSERT_ALIKE, INSERT_READY] = [insertAlikeOf(UNTRACED), insertReadyOf(UNTRACED)];
const [INSERT_ALIKE_TRACED, INSERT_READY_TRACED] = [insertAlikeOf(TRACED), insertReadyOf(TRACED)];

/** Inserts one task that may start at once. Its values are the name, the queue, the priority and the other columns. */
const INSERT_READY_ONE = template`
  WITH new AS MATERIALIZED (
    SELECT ${VALUE}::text AS func_name, ${VALUE}::text AS queue, ${VALUE}::integer AS priority, ${MARK}
  ), inserted AS (
    INSERT INTO ${VALUE}.task (
      func_name, queue, priority, max_retries, retry_delay, backoff, timeout, tags, params, traceparent
    )
    SELECT func_name, queue, priority, ${VALUE}::integer, ${VALUE}::double precision, ${VALUE}::text::jsonb,
      ${VALUE}::double precision, ${VALUE}::text[], ${VALUE}::text, decode(${VALUE}::text, 'hex')
    FROM new
    RETURNING id
  ), made AS MATERIALIZED (
    SELECT max(id) AS id FROM inserted
  ), placed AS (
    INSERT INTO ${VALUE}.ready (${READY_NAMES})
    SELECT made.id, 1, 0, now(), new.priority, new.queue, new.func_name
    FROM made, new
  )
  SELECT concat_ws(',', ${NOW}, made.id) || ${UNMARK} || ${VALUE}._notify(new.queue)::text AS text
  FROM made, new
`;

/**
 * Inserts tasks in the order given. Tasks of one kind that may start at once are placed in `ready` by the statement that
 * inserts them; the trigger on `task` places all others, as it places what an INSERT from anywhere else brings.
 */
export async function insertTasks(sql: Tag, tasks: NewTask[]): Promise<InsertedTask[]> {
  const [first] = tasks;
  if (tasks.length === 1 && startsAtOnce(first!)) return await insertOne(sql, first!);
  return await (tasks.length > 1 && areAlike(tasks) ? insertAlike(sql, tasks) : insertAny(sql, tasks));
}

/** Whether a task is ready as soon as it is inserted. */
function startsAtOnce({ not_before, delay, concurrency_key, rate_key }: NewTask): boolean {
  return not_before === null && !(delay! > 0) && concurrency_key === undefined && rate_key === undefined;
}

async function insertOne(sql: Tag, task: NewTask): Promise<InsertedTask[]> {
  const { func_name, queue, priority, max_retries, retry_delay, backoff, timeout, tags, params, traceparent } = task;
  const rows = await sql<{ text: string }>(
    INSERT_READY_ONE,
    func_name,
    queue,
    priority,
    sql.schema,
    max_retries,
    retry_delay,
    backoff && JSON.stringify(backoff),
    timeout,
    tags.length > 0 ? tags : null,
    params,
    traceparent === undefined ? null : toHex(traceparent),
    sql.schema,
    sql.schema,
  );
  return rows.map(({ text }) => {
    const [created, id] = text.split(",");
    return { id: id!, created: nearestDate(Number(created)), not_before: nearestDate(Number(created)) };
  });
}

async function insertAny(sql: Tag, tasks: NewTask[]): Promise<InsertedTask[]> {
  // One JSON text instead of an array a column: one statement for one task and for thousands, and one parameter.
  const rows = await sql<{ text: string }>(INSERT_ANY, sql.schema, sql.schema, JSON.stringify(tasks));
  return rows.map(({ text }) => {
    const [created, id, notBefore = created] = text.split(",");
    return { id: id!, created: nearestDate(Number(created)), not_before: nearestDate(Number(notBefore)) };
  });
}

/** Inserts tasks that differ only in their arguments: reading a row of JSON costs as much as inserting it. */
async function insertAlike(sql: Tag, tasks: NewTask[]): Promise<InsertedTask[]> {
  const { params: _params, traceparent: _traceparent, ...alike } = tasks[0]!;
  const shared = JSON.stringify(alike);
  const isTraced = tasks.some(({ traceparent }) => traceparent !== undefined);
  // One time for all of them, as they start at one time; and one row for all, as the driver takes its time for each.
  const params = tasks.map(({ params }) => params);
  const lists = isTraced
    ? [params, tasks.map(({ traceparent }) => traceparent === undefined ? null : toHex(traceparent))]
    : [params];
  const { schema } = sql;
  const [row] = await (startsAtOnce(tasks[0]!)
    ? sql<{ text: string }>(
      isTraced ? INSERT_READY_TRACED : INSERT_READY,
      shared,
      schema,
      ...lists,
      schema,
      schema,
      schema,
    )
    : sql<{ text: string }>(isTraced ? INSERT_ALIKE_TRACED : INSERT_ALIKE, shared, schema, ...lists));
  const [created, notBefore, ...ids] = row ? row.text.split(",") : [];
  const times = { created: Number(created), notBefore: Number(notBefore) };
  // A Date can be changed: each row has its own.
  const toTask = (id: string) => ({
    id,
    created: nearestDate(times.created),
    not_before: nearestDate(times.notBefore),
  });
  return lazyArray(ids.length, () => ids.map(toTask));
}

/** Whether tasks differ only in their arguments, as those of one call do, and most that are called together. */
function areAlike(tasks: NewTask[]): boolean {
  const first = tasks[0]!;
  return tasks.every((task) => isAlike(task, first));
}

/** Compares what is in {@linkcode SHARED}, one by one: a loop over the names would take as long as to encode the arguments. */
function isAlike(a: NewTask, b: NewTask): boolean {
  return a.func_name === b.func_name && a.queue === b.queue && a.priority === b.priority &&
    a.max_retries === b.max_retries && a.retry_delay === b.retry_delay && a.backoff === b.backoff &&
    a.timeout === b.timeout && a.concurrency_key === b.concurrency_key && a.rate_key === b.rate_key &&
    a.not_before === b.not_before && a.delay === b.delay &&
    (a.tags === b.tags || a.tags.length === 0 && b.tags.length === 0);
}
