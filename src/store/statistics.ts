import type { Tag } from "../database/driver.ts";
import { queueSteps } from "./queue_steps.ts";
import { waitKind } from "./wait_kinds.ts";

/** What the tasks of a queue did since the last write: rows of `queue_minute`. */
export interface QueueDelta {
  readonly queue: string;
  readonly completed: number;
  readonly failed: number;
  readonly retried: number;
  readonly snoozed: number;
  /** A histogram of the times from when tasks were due to the starts of their attempts. */
  readonly wait: readonly number[];
}

/** What the tasks of a name did since the last write: rows of `task_minute`. */
export interface TaskDelta extends Pick<QueueDelta, "queue" | "completed" | "failed" | "retried"> {
  readonly funcName: string;
  /** A histogram of how long attempts ran. */
  readonly run: readonly number[];
}

/** Attempts that ended with one error since the last write: what rows of `error_group` are made of. */
export interface ErrorDelta {
  readonly queue: string;
  readonly funcName: string;
  readonly name: string;
  readonly message: string;
  readonly attempts: number;
  readonly lastTaskId: number;
}

/** What a consumer has counted since its last write. */
export interface StatisticsDelta {
  readonly queues: readonly QueueDelta[];
  readonly tasks: readonly TaskDelta[];
  readonly errors: readonly ErrorDelta[];
}

/**
 * Adds what a consumer has counted to the rows of this minute. It locks the rows of each table in the order of their keys,
 * and the tables in the order of the CTEs, as no two consumers may lock them in different orders.
 */
export async function writeStatistics(sql: Tag, { queues, tasks, errors }: StatisticsDelta): Promise<void> {
  await sql`
    WITH queue_delta AS (
      INSERT INTO ${sql.schema}.queue_minute AS known (minute, queue, completed, failed, retried, snoozed, wait)
      SELECT date_trunc('minute', now()), queue, completed, failed, retried, snoozed, wait::integer[]
      FROM unnest(
        ${queues.map(({ queue }) => queue)}::text[], ${queues.map(({ completed }) => completed)}::integer[],
        ${queues.map(({ failed }) => failed)}::integer[], ${queues.map(({ retried }) => retried)}::integer[],
        ${queues.map(({ snoozed }) => snoozed)}::integer[], ${queues.map(({ wait }) => arrayText(wait))}::text[]
      ) AS delta (queue, completed, failed, retried, snoozed, wait)
      ORDER BY queue COLLATE "C"
      ON CONFLICT (minute, queue) DO UPDATE
      SET completed = known.completed + excluded.completed, failed = known.failed + excluded.failed,
        retried = known.retried + excluded.retried, snoozed = known.snoozed + excluded.snoozed,
        wait = ${sumOf(sql, "wait")}
    ), task_delta AS (
      INSERT INTO ${sql.schema}.task_minute AS known (minute, queue, func_name, completed, failed, retried, run)
      SELECT date_trunc('minute', now()), queue, func_name, completed, failed, retried, run::integer[]
      FROM unnest(
        ${tasks.map(({ queue }) => queue)}::text[], ${tasks.map(({ funcName }) => funcName)}::text[],
        ${tasks.map(({ completed }) => completed)}::integer[], ${tasks.map(({ failed }) => failed)}::integer[],
        ${tasks.map(({ retried }) => retried)}::integer[], ${tasks.map(({ run }) => arrayText(run))}::text[]
      ) AS delta (queue, func_name, completed, failed, retried, run)
      ORDER BY queue COLLATE "C", func_name COLLATE "C"
      ON CONFLICT (minute, queue, func_name) DO UPDATE
      SET completed = known.completed + excluded.completed, failed = known.failed + excluded.failed,
        retried = known.retried + excluded.retried, run = ${sumOf(sql, "run")}
    ), error_delta AS (
      INSERT INTO ${sql.schema}.error_group AS known (
        fingerprint, queue, func_name, name, message, first, last, attempts, last_task_id
      )
      SELECT fingerprint, (array_agg(queue ORDER BY last_task_id DESC))[1], min(func_name), min(name),
        (array_agg(message ORDER BY last_task_id DESC))[1], now(), now(), sum(attempts), max(last_task_id)
      FROM (
        SELECT ${sql.schema}._fingerprint(func_name, name, message) AS fingerprint, *
        FROM unnest(
          ${errors.map(({ queue }) => queue)}::text[], ${errors.map(({ funcName }) => funcName)}::text[],
          ${errors.map(({ name }) => name)}::text[], ${errors.map(({ message }) => message)}::text[],
          ${errors.map(({ attempts }) => attempts)}::bigint[], ${errors.map(({ lastTaskId }) => lastTaskId)}::bigint[]
        ) AS delta (queue, func_name, name, message, attempts, last_task_id)
      ) AS delta
      GROUP BY fingerprint
      ORDER BY fingerprint
      ON CONFLICT (fingerprint) DO UPDATE
      SET queue = excluded.queue, message = excluded.message, last = GREATEST(known.last, excluded.last),
        attempts = known.attempts + excluded.attempts, last_task_id = excluded.last_task_id
    )
    SELECT
  `;
}

/** The sum of a histogram of `known` and one of `excluded`, which may be of different lengths. */
function sumOf(sql: Tag, column: "wait" | "run"): unknown {
  return sql.raw(`ARRAY(
          SELECT COALESCE(bucket.known, 0) + COALESCE(bucket.added, 0)
          FROM unnest(known.${column}, excluded.${column}) WITH ORDINALITY AS bucket (known, added, place)
          ORDER BY place
        )`);
}

/** An array as the server reads it: the elements of an array of the driver have one length. */
function arrayText(numbers: readonly number[]): string {
  return `{${numbers.join(",")}}`;
}

/**
 * Stores what is in each queue now, once a minute: true for the consumer that does so. Another one that holds the row of
 * `retention`, as pruning does, has it tried again later. It reads the small tables alone; of a run in a claim batch it
 * looks up the records, as those of a run end one by one. Of each queue it counts 100,000 runs: 1 ms for 10,000.
 */
export async function sampleQueues(sql: Tag): Promise<boolean> {
  const [row] = await sql`
    WITH turn AS MATERIALIZED (
      SELECT singleton
      FROM ${sql.schema}.retention
      WHERE sampled < date_trunc('minute', now())
      LIMIT 1
      FOR UPDATE SKIP LOCKED
    ), taken AS (
      UPDATE ${sql.schema}.retention
      SET sampled = date_trunc('minute', now())
      FROM turn
      WHERE retention.singleton = turn.singleton
      RETURNING retention.singleton
    ), served AS MATERIALIZED (
      SELECT served.queue, sum(consumer.concurrency)::integer AS places
      FROM ${sql.schema}.consumer, unnest(consumer.queues) AS served (queue)
      WHERE consumer.lease_until > now() AND EXISTS (SELECT FROM turn)
      GROUP BY served.queue
    ), filled AS MATERIALIZED (
      -- The queues of ready by one probe of its index each.
      WITH RECURSIVE ${queueSteps(sql, "next", { table: "ready", where: "EXISTS (SELECT FROM turn)" })}
      SELECT queue FROM next WHERE queue IS NOT NULL
    ), due AS MATERIALIZED (
      SELECT filled.queue, run.due, run.since
      FROM filled, LATERAL (
        SELECT sum(length) AS due, min(not_before) FILTER (WHERE isfinite(not_before)) AS since
        FROM (
          SELECT length, not_before
          FROM ${sql.schema}.ready
          WHERE ready.queue = filled.queue
          ORDER BY ready.priority DESC, ready.not_before, ready.id
          LIMIT 100000
        ) AS head
      ) AS run
    ), waiting AS MATERIALIZED (
      SELECT queue, sum(tasks) AS waiting, jsonb_object_agg(kind, tasks) FILTER (WHERE kind IS NOT NULL) AS waits
      FROM (
        SELECT queue, ${waitKind(sql)} AS kind, count(*) AS tasks
        FROM ${sql.schema}.waiting
        WHERE EXISTS (SELECT FROM turn)
        GROUP BY queue, kind
      ) AS alike
      GROUP BY queue
    ), running AS MATERIALIZED (
      SELECT task.queue, count(*) AS running
      FROM ${sql.schema}._claimed_task AS claim
      -- OFFSET keeps the planner, which expects 1,000 tasks in each run, from reading all records.
      CROSS JOIN LATERAL (
        SELECT queue
        FROM ${sql.schema}.task
        WHERE task.id = claim.id AND task.claim_seq = claim.claim_seq AND task.status = 'created'
        OFFSET 0
      ) AS task
      WHERE EXISTS (SELECT FROM turn)
      GROUP BY task.queue
    ), known AS (
      SELECT queue FROM served UNION SELECT queue FROM filled UNION SELECT queue FROM waiting
      UNION SELECT queue FROM running
    ), sample AS (
      INSERT INTO ${sql.schema}.queue_minute AS known (minute, queue, due, waiting, running, places, oldest, waits)
      SELECT date_trunc('minute', now()), queue, COALESCE(due.due, 0)::integer, COALESCE(waiting.waiting, 0)::integer,
        COALESCE(running.running, 0)::integer, COALESCE(served.places, 0),
        EXTRACT(epoch FROM now() - due.since)::real, waiting.waits
      FROM known
      LEFT JOIN served USING (queue)
      LEFT JOIN due USING (queue)
      LEFT JOIN waiting USING (queue)
      LEFT JOIN running USING (queue)
      ORDER BY queue COLLATE "C"
      ON CONFLICT (minute, queue) DO UPDATE
      SET due = excluded.due, waiting = excluded.waiting, running = excluded.running, places = excluded.places,
        oldest = excluded.oldest, waits = excluded.waits
    )
    SELECT EXISTS (SELECT FROM taken) AS taken
  `;
  return row!.taken;
}

/** Deletes up to 10,000 old rows of each table of statistics. An error is forgotten when no failed task has it. */
export async function forgetStatistics(sql: Tag): Promise<void> {
  await sql`
    WITH task_rows AS (
      DELETE FROM ${sql.schema}.task_minute
      WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM ${sql.schema}.task_minute
        WHERE minute < now() - interval '48 hours' ORDER BY minute LIMIT 10000 FOR UPDATE SKIP LOCKED
      ))
    ), queue_rows AS (
      DELETE FROM ${sql.schema}.queue_minute
      WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM ${sql.schema}.queue_minute
        WHERE minute < now() - interval '30 days' ORDER BY minute LIMIT 10000 FOR UPDATE SKIP LOCKED
      ))
    ), error_rows AS (
      DELETE FROM ${sql.schema}.error_group
      WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM ${sql.schema}.error_group
        WHERE last < now() - interval '48 hours' AND NOT EXISTS (
          SELECT FROM ${sql.schema}.failed_task WHERE failed_task.fingerprint = error_group.fingerprint
        )
        LIMIT 10000
        FOR UPDATE SKIP LOCKED
      ))
    )
    SELECT
  `;
}
