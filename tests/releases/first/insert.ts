import type { Backoff } from "../../../src/task/backoff.ts";
import type { Tag } from "../../../src/database/driver.ts";
import { nearestDate } from "../../../src/database/times.ts";
import { lazyArray } from "../../../src/lazy_array.ts";
import { toHex } from "../../../src/telemetry/traceparent.ts";
import type { TaskStatus } from "../../../src/task/record.ts";

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
  traceparent?: string;
  depends?: readonly Dependency[];
}

export type Dependency =
  & ({ readonly id: number } | {
    readonly ref: number;
  })
  & {
    readonly settled?: boolean;
  };

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

const SHARED = { ...COLUMNS, not_before: "timestamptz", delay: "double precision" } as const;

const NAMES = Object.keys(COLUMNS).join(", ");
const TYPES = Object.entries(SHARED).map(([name, type]) => `${name} ${type}`).join(", ");
const START =
  "CASE WHEN delay > 0 THEN clock_timestamp() + make_interval(secs => delay) ELSE COALESCE(not_before, now()) END";
const milliseconds = (time: string) => `floor(extract(epoch FROM ${time}) * 1000)`;
const INSERTED = `${milliseconds("created")}, id, ${milliseconds("NULLIF(not_before, created)")}`;
const FIRST_TIMES = `${milliseconds("min(created)")}, ${milliseconds("min(not_before)")}`;

const VALUE = Symbol("value");

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

const INSERT_ANY = template`
  INSERT INTO ${VALUE}.task (${NAMES}, params, traceparent, not_before)
  SELECT ${NAMES}, params, ${VALUE}._traceparent(traceparent), ${START}
  FROM json_to_recordset(${VALUE}::text::json) AS new (${TYPES}, params text, traceparent text)
  RETURNING concat_ws(',', ${INSERTED}) AS text
`;

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

const MARK = "set_config('firefly.placed', 'on', true)";
const UNMARK = "set_config('firefly.placed', '', true)";
const READY_NAMES = "id, length, claim_seq, not_before, priority, queue, func_name";
const NOW = milliseconds("now()");

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

export async function insertTasks(sql: Tag, tasks: NewTask[]): Promise<InsertedTask[]> {
  const [first] = tasks;
  if (tasks.length === 1 && startsAtOnce(first!)) return await insertOne(sql, first!);
  return await (tasks.length > 1 && areAlike(tasks) ? insertAlike(sql, tasks) : insertAny(sql, tasks));
}

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
  const rows = await sql<{ text: string }>(INSERT_ANY, sql.schema, sql.schema, JSON.stringify(tasks));
  return rows.map(({ text }) => {
    const [created, id, notBefore = created] = text.split(",");
    return { id: id!, created: nearestDate(Number(created)), not_before: nearestDate(Number(notBefore)) };
  });
}

async function insertAlike(sql: Tag, tasks: NewTask[]): Promise<InsertedTask[]> {
  const { params: _params, traceparent: _traceparent, ...alike } = tasks[0]!;
  const shared = JSON.stringify(alike);
  const isTraced = tasks.some(({ traceparent }) => traceparent !== undefined);
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
  const toTask = (id: string) => ({
    id,
    created: nearestDate(times.created),
    not_before: nearestDate(times.notBefore),
  });
  return lazyArray(ids.length, () => ids.map(toTask));
}

function areAlike(tasks: NewTask[]): boolean {
  const first = tasks[0]!;
  return tasks.every((task) => isAlike(task, first));
}

function isAlike(a: NewTask, b: NewTask): boolean {
  return a.func_name === b.func_name && a.queue === b.queue && a.priority === b.priority &&
    a.max_retries === b.max_retries && a.retry_delay === b.retry_delay && a.backoff === b.backoff &&
    a.timeout === b.timeout && a.concurrency_key === b.concurrency_key && a.rate_key === b.rate_key &&
    a.not_before === b.not_before && a.delay === b.delay &&
    (a.tags === b.tags || a.tags.length === 0 && b.tags.length === 0);
}
