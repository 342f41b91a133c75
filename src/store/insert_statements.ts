import type { NewTask, UniqueColumns } from "./new_task.ts";

/**
 * The columns of `task` that are stored as they are given, with the types to read them from JSON: the statements below
 * are made of them, so that a new column is entered here, in {@linkcode NewTask} and in `isAlike()` of insert.ts. The SQL
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
export const INSERT_ANY = template`
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
 * aggregate is there only when the INSERT before it has come to its end. The rules stand in the database alone: _runs()
 * cuts ids into runs, and _notify() decides whether a consumer is to be woken.
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

export const [INSERT_ALIKE, INSERT_READY] = [insertAlikeOf(UNTRACED), insertReadyOf(UNTRACED)];
export const [INSERT_ALIKE_TRACED, INSERT_READY_TRACED] = [insertAlikeOf(TRACED), insertReadyOf(TRACED)];

/** Inserts one task that may start at once. Its values are the name, the queue, the priority and the other columns. */
export const INSERT_READY_ONE = template`
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
