import type { Tag } from "../database/driver.ts";
import { ALERT_QUEUE } from "./alerts.ts";
import { queueSteps } from "./queue_steps.ts";
import { WAIT_KINDS, type WaitKind, waitKind, type Waits } from "./wait_kinds.ts";

/** What a queue holds now, and what it did lately. */
export interface QueueLoad {
  readonly queue: string;
  readonly paused: boolean;
  /** Live consumers that serve it. */
  readonly consumers: number;
  /** How many tasks these can run at a time. */
  readonly slots: number;
  readonly ready: number;
  /** Tasks claimed by consumers, live or crashed. */
  readonly running: number;
  /** Tasks that wait for their time, suspended ones aside; those of which it has come are in `due`. */
  readonly delayed: number;
  /** Tasks whose time has come, and which no consumer has made ready yet. */
  readonly due: number;
  /** Tasks whose name no live consumer knows. */
  readonly unknown: number;
  /** Tasks that wait for a slot of a concurrency limit. */
  readonly concurrency: number;
  /** Tasks that wait for a slot of a rate limit. */
  readonly rate: number;
  /** Tasks that wait for others, and suspended ones, by what they wait for. */
  readonly waits: Readonly<Record<WaitKind, number>>;
  /** For how many seconds the oldest task has been due that no consumer has claimed; null if none is due. */
  readonly oldest: number | null;
  /** Attempts that ended in the last whole minute. */
  readonly lastMinute: Readonly<Record<"completed" | "failed" | "retried" | "snoozed", number>>;
  /** How many attempts ended within the last three whole minutes, and how many seconds their handlers ran in all. */
  readonly recent: { readonly attempts: number; readonly seconds: number };
}

/** Rows of a queue that are counted one by one. Past them, the sample that consumers take once a minute counts. */
const MOST_ROWS = 1000;
/** Rows of `waiting` of which those are counted that wait for others or are suspended: past them, the sample counts. */
const MOST_WAITS = 2000;

/**
 * Reads what each queue holds, up to 1,000 queues: from the small tables, by one probe of an index for each queue and up
 * to 1,000 rows of it, on a connection of the hot path, whose plans are pinned. The record of a claimed task is looked up by its id, as those of a run end one by one.
 */
export async function readQueueLoads(sql: Tag): Promise<QueueLoad[]> {
  const rows = await sql`
    WITH RECURSIVE ${queueSteps(sql, "filled", { table: "ready" })},
    ${queueSteps(sql, "later", { table: "waiting", where: "reason = 'time'" })}, ready AS MATERIALIZED (
      SELECT filled.queue, head.*
      FROM (SELECT queue FROM filled WHERE queue IS NOT NULL LIMIT 1000) AS filled
      CROSS JOIN LATERAL (
        SELECT sum(length) AS tasks, count(*) >= ${MOST_ROWS} AS cut,
          min(not_before) FILTER (WHERE isfinite(not_before)) AS since
        FROM (
          SELECT length, not_before
          FROM ${sql.schema}.ready
          WHERE ready.queue = filled.queue
          ORDER BY ready.priority DESC, ready.not_before, ready.id
          LIMIT ${MOST_ROWS}
        ) AS row
      ) AS head
    ), delayed AS MATERIALIZED (
      SELECT later.queue, head.*
      FROM (SELECT queue FROM later WHERE queue IS NOT NULL LIMIT 1000) AS later
      CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE suspended IS NULL OR not_before <= now()) AS tasks, count(*) >= ${MOST_ROWS} AS cut,
          count(*) FILTER (WHERE not_before <= now()) AS due,
          min(not_before) FILTER (WHERE not_before <= now() AND isfinite(not_before)) AS since
        FROM (
          SELECT not_before, suspended
          FROM ${sql.schema}.waiting
          WHERE waiting.reason = 'time' AND waiting.queue = later.queue
          ORDER BY waiting.not_before
          LIMIT ${MOST_ROWS}
        ) AS row
      ) AS head
    ), stopped AS MATERIALIZED (
      -- Ordered by their indexes: without, the planner may read all tasks that wait for their time.
      SELECT queue, count(*) FILTER (WHERE reason = 'unknown') AS unknown,
        count(*) FILTER (WHERE reason = 'concurrency') AS concurrency, count(*) FILTER (WHERE reason = 'rate') AS rate
      FROM (
        (SELECT queue, reason FROM ${sql.schema}.waiting WHERE reason = 'unknown' ORDER BY func_name LIMIT ${MOST_ROWS})
        UNION ALL
        (
          SELECT queue, reason FROM ${sql.schema}.waiting
          WHERE reason = 'concurrency' ORDER BY concurrency_key, priority DESC, not_before, id LIMIT ${MOST_ROWS}
        )
        UNION ALL
        (
          SELECT queue, reason FROM ${sql.schema}.waiting
          WHERE reason = 'rate' ORDER BY rate_key, priority DESC, not_before, id LIMIT ${MOST_ROWS}
        )
      ) AS row
      GROUP BY queue
    ), place AS MATERIALIZED (
      SELECT queue, ${waitKind(sql)} AS kind FROM ${sql.schema}.waiting LIMIT ${MOST_WAITS}
    ), held AS MATERIALIZED (
      SELECT queue, jsonb_object_agg(kind, tasks) AS waits
      FROM (SELECT queue, kind, count(*) AS tasks FROM place WHERE kind IS NOT NULL GROUP BY queue, kind) AS alike
      GROUP BY queue
    ), running AS MATERIALIZED (
      -- LIMIT has each record looked up by its id, however many the planner expects.
      SELECT held.queue, count(*) AS tasks
      FROM ${sql.schema}._claimed_task AS claim
      CROSS JOIN LATERAL (
        SELECT task.queue::text AS queue
        FROM ${sql.schema}.task
        WHERE task.id = claim.id AND task.claim_seq = claim.claim_seq AND task.status = 'created'
        LIMIT 1
      ) AS held
      GROUP BY held.queue
    ), served AS MATERIALIZED (
      SELECT served.queue, count(*) AS consumers, sum(consumer.concurrency) AS slots
      FROM ${sql.schema}.consumer, unnest(consumer.queues) AS served (queue)
      WHERE consumer.lease_until > now()
      GROUP BY served.queue
    ), sample AS MATERIALIZED (
      SELECT DISTINCT ON (queue) queue, due, waiting, oldest, waits
      FROM ${sql.schema}.queue_minute
      WHERE minute > now() - interval '5 minutes' AND due IS NOT NULL
      ORDER BY queue, minute DESC
    ), ended AS MATERIALIZED (
      SELECT queue, completed, failed, retried, snoozed
      FROM ${sql.schema}.queue_minute
      WHERE minute = date_trunc('minute', now()) - interval '1 minute'
    ), work AS MATERIALIZED (
      -- Of a bucket of the histogram, its middle: 10^(1/4) lies between two. In double precision: a power of numerics
      -- takes 20 µs, and 120 rows have 2,880 buckets.
      SELECT task_minute.queue, sum(bucket.attempts) AS attempts,
        sum(bucket.attempts * 10::double precision ^ ((bucket.place - 1.5::double precision) / 4)) / 1000 AS seconds
      FROM ${sql.schema}.task_minute, unnest(task_minute.run) WITH ORDINALITY AS bucket (attempts, place)
      WHERE task_minute.minute >= date_trunc('minute', now()) - interval '3 minutes'
        AND task_minute.minute < date_trunc('minute', now())
      GROUP BY task_minute.queue
    ), known AS (
      SELECT queue FROM ready UNION SELECT queue FROM delayed UNION SELECT queue FROM stopped
      UNION SELECT queue FROM running UNION SELECT queue FROM served UNION SELECT queue FROM ended
      UNION SELECT queue FROM held UNION SELECT queue FROM sample WHERE waits IS NOT NULL
      UNION SELECT name FROM ${sql.schema}.queue WHERE paused
    )
    SELECT known.queue, COALESCE(settings.paused, false) AS paused, COALESCE(served.consumers, 0)::integer AS consumers,
      COALESCE(served.slots, 0)::integer AS slots, COALESCE(running.tasks, 0)::integer AS running,
      COALESCE(CASE WHEN ready.cut THEN GREATEST(ready.tasks, sample.due) ELSE ready.tasks END, 0)::double precision AS ready,
      COALESCE(
        CASE WHEN delayed.cut THEN GREATEST(
          delayed.tasks,
          sample.waiting - COALESCE(stopped.unknown, 0) - COALESCE(stopped.concurrency, 0) - COALESCE(stopped.rate, 0)
            - COALESCE((SELECT sum(value::integer) FROM jsonb_each_text(sample.waits)), 0)
        ) ELSE delayed.tasks END - delayed.due, 0
      )::double precision AS delayed,
      COALESCE(delayed.due, 0)::integer AS due, COALESCE(stopped.unknown, 0)::integer AS unknown,
      COALESCE(stopped.concurrency, 0)::integer AS concurrency, COALESCE(stopped.rate, 0)::integer AS rate,
      held.waits, CASE WHEN (SELECT count(*) FROM place) = ${MOST_WAITS} THEN sample.waits END AS sampled,
      CASE WHEN ready.tasks > 0 OR delayed.due > 0 THEN
        GREATEST(
          EXTRACT(epoch FROM now() - LEAST(ready.since, delayed.since))::double precision,
          CASE WHEN ready.cut THEN sample.oldest END, 0
        )
      END AS oldest,
      COALESCE(ended.completed, 0) AS completed, COALESCE(ended.failed, 0) AS failed,
      COALESCE(ended.retried, 0) AS retried, COALESCE(ended.snoozed, 0) AS snoozed,
      COALESCE(work.attempts, 0)::double precision AS attempts, COALESCE(work.seconds, 0)::double precision AS seconds
    FROM known
    LEFT JOIN ready USING (queue)
    LEFT JOIN delayed USING (queue)
    LEFT JOIN stopped USING (queue)
    LEFT JOIN held USING (queue)
    LEFT JOIN running USING (queue)
    LEFT JOIN served USING (queue)
    LEFT JOIN sample USING (queue)
    LEFT JOIN ended USING (queue)
    LEFT JOIN work USING (queue)
    LEFT JOIN ${sql.schema}.queue AS settings ON settings.name = known.queue
    ORDER BY known.queue COLLATE "C"
  `;
  return rows.map(({ completed, failed, retried, snoozed, attempts, seconds, waits, sampled, ...load }) => ({
    ...load,
    waits: mergeWaits(waits, sampled),
    lastMinute: { completed, failed, retried, snoozed },
    recent: { attempts, seconds },
  })) as unknown as QueueLoad[];
}

/** Of what was counted now, up to a bound, and what the sample has, the larger number is nearer. */
function mergeWaits(counted: Waits | null, sampled: Waits | null): Record<WaitKind, number> {
  const entries = WAIT_KINDS.map((kind) => [kind, Math.max(counted?.[kind] ?? 0, sampled?.[kind] ?? 0)]);
  return Object.fromEntries(entries) as Record<WaitKind, number>;
}

/** What has been done of workflows and awaits another hand: counted up to 10,000. */
export interface LeftOver {
  /** Signals that no task has received. */
  readonly signals: number;
  /** Tasks that have ended and whose dependants have not been released. */
  readonly unreleased: number;
  /** For how many seconds the oldest of these has ended; 0 if there is none. */
  readonly oldest: number;
}

/** Reads what is left over of signals, and of ended tasks that others wait for. */
export async function readLeftOver(sql: Tag): Promise<LeftOver> {
  const [row] = await sql`
    SELECT (SELECT count(*)::integer FROM (SELECT FROM ${sql.schema}.signal LIMIT 10000) AS first) AS signals,
      (SELECT count(*)::integer FROM (SELECT FROM ${sql.schema}.ended LIMIT 10000) AS first) AS unreleased,
      COALESCE((
        SELECT EXTRACT(epoch FROM now() - min(COALESCE(task.completed, task.failed, task.cancelled)))
        FROM (SELECT task_id FROM ${sql.schema}.ended ORDER BY task_id LIMIT 100) AS noted
        JOIN ${sql.schema}.task ON task.id = noted.task_id AND task.status <> 'created'
      ), 0)::double precision AS oldest
  `;
  return { signals: row!.signals, unreleased: row!.unreleased, oldest: Math.max(0, row!.oldest) };
}

/** The consumers that have a row: how many live, and how many have crashed and are not removed yet. */
export interface ConsumerTotals {
  readonly live: number;
  readonly crashed: number;
}

/** Counts the consumers of all queues, without those that only deliver alerts. */
export async function countConsumers(sql: Tag): Promise<ConsumerTotals> {
  const [row] = await sql`
    SELECT count(*) FILTER (WHERE lease_until > now())::integer AS live,
      count(*) FILTER (WHERE lease_until <= now())::integer AS crashed
    FROM ${sql.schema}.consumer
    WHERE queues <> ${[ALERT_QUEUE]}::text[]
  `;
  return { live: row!.live, crashed: row!.crashed };
}
