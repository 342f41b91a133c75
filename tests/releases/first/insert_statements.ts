import type { NewTask, UniqueColumns } from "./new_task.ts";

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

export const INSERT_ANY = template`
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

export const [INSERT_ALIKE, INSERT_READY] = [insertAlikeOf(UNTRACED), insertReadyOf(UNTRACED)];
export const [INSERT_ALIKE_TRACED, INSERT_READY_TRACED] = [insertAlikeOf(TRACED), insertReadyOf(TRACED)];

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
