import type { Tag } from "../database/driver.ts";
import type { AttemptedBy } from "../events.ts";
import type { TaskState } from "../task/record.ts";
import type { ErrorRow } from "./rows.ts";
import { awaitsOne, type WaitedFor } from "./waits.ts";

/** Conditions on tasks, all of which must hold; of a list any member, of a list of lists any member of each. */
export interface TaskConditions {
  readonly ids?: readonly number[];
  readonly notIds?: readonly number[];
  readonly queues?: readonly string[];
  readonly notQueues?: readonly string[];
  readonly names?: readonly string[];
  readonly notNames?: readonly string[];
  readonly tags?: readonly (readonly string[])[];
  readonly notTags?: readonly string[];
  /** Scheduled at this time or later. */
  readonly from?: Date;
  /** Scheduled before this time. */
  readonly to?: Date;
  /** Texts in the name and message of the last error; the case does not matter. */
  readonly errors?: readonly (readonly string[])[];
  readonly notErrors?: readonly (readonly string[])[];
  /** JSON objects and lists that the arguments contain, or other texts in the JSON of the arguments. */
  readonly args?: readonly (readonly string[])[];
  /** The host, `host:pid` or id of the consumer that runs it, or that ran it last. */
  readonly consumers?: readonly string[];
  /** What suspended tasks wait for. */
  readonly waits?: readonly (readonly WaitedFor[])[];
}

/** Makes the conditions a part of a statement, on columns of `task`: only those that are set, the cheap ones first. */
export function meets(sql: Tag, conditions: TaskConditions): unknown {
  const { ids, notIds, queues, notQueues, names, notNames, tags = [], notTags, from, to } = conditions;
  const parts: unknown[] = [];
  if (ids) parts.push(sql.fragment`task.id = ANY (${ids}::bigint[])`);
  if (notIds) parts.push(sql.fragment`task.id <> ALL (${notIds}::bigint[])`);
  if (queues) parts.push(sql.fragment`task.queue = ANY (${queues}::text[])`);
  if (notQueues) parts.push(sql.fragment`task.queue <> ALL (${notQueues}::text[])`);
  if (names) parts.push(sql.fragment`task.func_name = ANY (${names}::text[])`);
  if (notNames) parts.push(sql.fragment`task.func_name <> ALL (${notNames}::text[])`);
  if (from) parts.push(sql.fragment`task.created >= ${from}::timestamptz`);
  if (to) parts.push(sql.fragment`task.created < ${to}::timestamptz`);
  for (const some of tags) parts.push(sql.fragment`task.tags && ${some}::text[]`);
  if (notTags) parts.push(sql.fragment`NOT COALESCE(task.tags && ${notTags}::text[], false)`);
  for (const some of conditions.waits ?? []) parts.push(awaitsOne(sql, some));
  parts.push(...consumerConditions(sql, conditions), ...textConditions(sql, conditions));
  return parts.reduce((all, part) => sql.fragment`${all} AND ${part}`, sql.fragment`true`);
}

function consumerConditions(sql: Tag, { consumers }: TaskConditions): unknown[] {
  if (!consumers) return [];
  const isNamed = sql.fragment`(process.host = ANY (${consumers}::text[])
          OR process.host || ':' || process.pid = ANY (${consumers}::text[]))`;
  // Arrays, which are made once: the planner takes the claims for so many that it would hash all of them for a row.
  return [sql.fragment`(
        task.attempted_by = ANY (ARRAY(SELECT process.id FROM ${sql.schema}.consumer_process AS process WHERE ${isNamed}))
        OR (task.status = 'created' AND task.id = ANY (ARRAY(
          SELECT held.id
          FROM ${sql.schema}._claimed_task AS held
          LEFT JOIN ${sql.schema}.consumer_process AS process ON process.id = held.attempted_by
          WHERE ${isNamed} OR held.consumer_id::text = ANY (${consumers}::text[])
        )))
      )`];
}

function textConditions(sql: Tag, { errors = [], notErrors = [], args = [] }: TaskConditions): unknown[] {
  const none = (part: unknown) => sql.fragment`NOT COALESCE(${part}, false)`;
  return [
    ...errors.map((some) => hasError(sql, some)),
    ...notErrors.map((some) => none(hasError(sql, some))),
    ...args.map((some) => hasArguments(sql, some)),
  ];
}

function hasError(sql: Tag, some: readonly string[]): unknown {
  return sql.fragment`(task.errors IS NOT NULL AND task.status <> 'completed' AND EXISTS (
        SELECT FROM unnest(${some}::text[]) AS word
        WHERE strpos(
          lower(task.errors -> -1 ->> 'name' || ': ' || (task.errors -> -1 ->> 'message')), lower(word)
        ) > 0
      ))`;
}

function hasArguments(sql: Tag, some: readonly string[]): unknown {
  const contained = some.map(containedJson).filter((json) => json !== undefined);
  const words = some.filter((text) => containedJson(text) === undefined);
  return sql.fragment`EXISTS (
        SELECT FROM (SELECT ${sql.schema}.try_decode(task.params) AS params OFFSET 0) AS decoded
        WHERE EXISTS (SELECT FROM unnest(${contained}::text[]) AS json WHERE decoded.params @> json::jsonb)
          OR EXISTS (SELECT FROM unnest(${words}::text[]) AS word WHERE strpos(lower(decoded.params::text), lower(word)) > 0)
      )`;
}

/** The JSON that arguments must contain, if a text is an object or a list: what is no list may be in any argument. */
export function containedJson(text: string): string | undefined {
  if (!/^\s*[[{]/.test(text) || text.includes("\\u0000")) return undefined; // jsonb has no NUL
  try {
    return JSON.stringify([JSON.parse(text)].flat(1));
  } catch {
    return undefined;
  }
}

/** Arguments and results that are longer are not read for a list. */
const MAX_VALUE_BYTES = 2_000;

/** A task as lists show it. */
export interface ListedTask {
  id: string;
  func_name: string;
  queue: string;
  state: TaskState;
  created: Date;
  not_before: Date;
  started: Date | null;
  completed: Date | null;
  failed: Date | null;
  cancelled: Date | null;
  priority: number;
  tags: string[];
  attempt: number;
  retry_attempts: number;
  max_retries: number | null;
  progress: number | null;
  progress_note: string | null;
  attempted_by: AttemptedBy | null;
  /** In the wire format; null if it is too long for a list. */
  params: string | null;
  params_bytes: number;
  returned: string | null;
  /** The last error, without its stack. */
  error: Pick<ErrorRow, "name" | "message" | "attempt" | "seconds"> | null;
  /** What it waits for. */
  reason: "time" | "unknown" | "concurrency" | "rate" | "dependencies" | "suspended" | null;
  /** Of a suspended task, the step that has waited longest, and how many wait. */
  wait: { readonly kind: string; readonly name: string; readonly began: string; readonly due: string | null } | null;
  waits: number;
  concurrency_key: string | null;
  rate_key: string | null;
  /** Whether its queue is paused, and since when. */
  paused: boolean;
  paused_since: Date | null;
  /** Whether a live consumer serves its queue. */
  served: boolean;
}

/** Reads what lists show of these tasks, in the order of the ids. */
export async function readListed(sql: Tag, ids: readonly number[]): Promise<ListedTask[]> {
  return await sql<ListedTask>`
    SELECT task.id, task.func_name, task.queue, task.state, task.created, task.not_before, task.started, task.completed,
      task.failed, task.cancelled, task.priority, task.tags, task.attempt, task.retry_attempts, task.max_retries,
      task.progress, left(task.progress_note, 500) AS progress_note, task.attempted_by,
      CASE WHEN octet_length(task.params) <= ${MAX_VALUE_BYTES}::integer THEN task.params END AS params,
      octet_length(task.params) AS params_bytes,
      CASE WHEN octet_length(task.returned) <= ${MAX_VALUE_BYTES}::integer THEN task.returned END AS returned,
      CASE WHEN task.errors <> '[]' THEN jsonb_build_object(
        'name', left(task.errors -> -1 ->> 'name', 200), 'message', left(task.errors -> -1 ->> 'message', 500),
        'attempt', task.errors -> -1 -> 'attempt', 'seconds', task.errors -> -1 -> 'seconds'
      ) END AS error,
      waiting.reason, awaited.first AS wait, COALESCE(awaited.steps, 0) AS waits, task.concurrency_key, task.rate_key, COALESCE(queue.paused, false) AS paused, queue.paused_since,
      EXISTS (
        SELECT FROM ${sql.schema}.consumer WHERE lease_until > now() AND task.queue = ANY (consumer.queues)
      ) AS served
    FROM unnest(${ids}::bigint[]) WITH ORDINALITY AS listed (id, ordinal)
    JOIN ${sql.schema}.task_record AS task ON task.id = listed.id
    LEFT JOIN ${sql.schema}.queue ON queue.name = task.queue
    LEFT JOIN LATERAL (
      SELECT waiting.reason FROM ${sql.schema}.waiting WHERE waiting.id = listed.id AND task.state <> 'ready' LIMIT 1
    ) AS waiting ON true
    LEFT JOIN LATERAL (
      SELECT count(*)::integer AS steps,
        (array_agg(json_build_object(
          'kind', CASE WHEN step.kind IN ('step', 'compensation') THEN 'retry' ELSE step.kind END, 'name', step.name,
          'began', step.began, 'due', step.due
        ) ORDER BY step.began))[1] AS first
      FROM ${sql.schema}.step
      WHERE step.task_id = listed.id AND step.status = 'waiting'
    ) AS awaited ON task.state = 'suspended'
    ORDER BY listed.ordinal
  `;
}
