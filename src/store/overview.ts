import type { Tag } from "../database/driver.ts";
import { queueSteps } from "./queue_steps.ts";
import { toNumber } from "./rows.ts";

/** Counting due tasks stops after so many runs, which takes about 25 ms: the last sample has the number of a longer queue. */
const MOST_DUE = 100_000;
/** Looking for queues with waiting tasks stops after so many. */
const MOST_QUEUES = 500;
/** Counting the tasks that wait for one reason stops here, so that a page shows `10,000+`. */
export const MOST_WAITING = 10_000;
/** Looking for tasks that are suspended, or wait for others, stops after so many that wait. */
const MOST_LOOKED = 30_000;
/** Reading claimed tasks stops here: many times of what consumers claim. */
const MOST_CLAIMED = 20_000;
/** Counting failed tasks stops here, so that a page shows `10,000+`. */
export const MOST_FAILED = 10_000;

/** The due tasks of a queue. */
export interface DueTasks {
  queue: string;
  tasks: number;
  /** Since when the oldest one has been due; null if that is not known. */
  since: Date | null;
}

/**
 * Counts the due tasks by queue: those that are ready, and those whose time has come since a consumer looked. `more` is
 * true if there are more than it counted.
 */
export async function readDue(sql: Tag): Promise<{ due: DueTasks[]; more: boolean }> {
  // From queue to queue by a step in the index each, as that of waiting tasks has their queue before their time.
  const rows = await sql`
    WITH RECURSIVE ${queueSteps(sql, "step", { table: "waiting", where: "reason = 'time'" })}
    SELECT queue, sum(length) AS tasks, count(*)::integer AS runs,
      min(not_before) FILTER (WHERE isfinite(not_before)) AS since
    FROM (
      (SELECT queue, length, not_before FROM ${sql.schema}.ready LIMIT ${MOST_DUE}::bigint)
      UNION ALL
      (
        SELECT step.queue, 1, place.not_before
        FROM (SELECT queue FROM step WHERE queue IS NOT NULL LIMIT ${MOST_QUEUES}::bigint) AS step
        CROSS JOIN LATERAL (
          SELECT not_before
          FROM ${sql.schema}.waiting
          WHERE waiting.queue = step.queue AND reason = 'time' AND not_before <= now()
          LIMIT ${MOST_DUE}::bigint
        ) AS place
      )
    ) AS place
    GROUP BY queue
    ORDER BY queue COLLATE "C"
  `;
  const due = rows.map(({ queue, tasks, since }) => ({ queue, tasks: toNumber(tasks), since }));
  return { due, more: rows.reduce((sum, { runs }) => sum + runs, 0) >= MOST_DUE };
}

/** The reasons for which a task waits. */
export type WaitingReason = "time" | "concurrency" | "rate" | "dependencies" | "suspended" | "unknown";

/** Every reason, in the order in which pages list them. */
export const WAITING_REASONS: readonly WaitingReason[] = [
  "time",
  "concurrency",
  "rate",
  "dependencies",
  "suspended",
  "unknown",
];

/** The tasks of a queue that wait for one reason. */
export interface WaitingTasks {
  queue: string;
  reason: WaitingReason;
  tasks: number;
}

/**
 * Counts the waiting tasks by queue and reason, up to 10,001 of each reason; those whose time has come are due. Tasks that
 * are suspended or wait for others have no index of their own, as each task that waits would pay for it: they are looked
 * for among 30,000 waiting tasks, and counted without another end.
 */
export async function readWaiting(sql: Tag): Promise<WaitingTasks[]> {
  // A branch for each reason, as most have an index of their own.
  const most = MOST_WAITING + 1;
  const rows = await sql<WaitingTasks>`
    SELECT queue, reason, count(*)::integer AS tasks
    FROM (
      (
        SELECT queue, reason
        FROM (
          SELECT queue, reason, suspended FROM ${sql.schema}.waiting
          WHERE reason = 'time' AND not_before > now()
          LIMIT ${MOST_LOOKED}::bigint
        ) AS timed
        WHERE suspended IS NULL
        LIMIT ${most}::bigint
      )
      UNION ALL
      (SELECT queue, reason FROM ${sql.schema}.waiting WHERE reason = 'concurrency' LIMIT ${most}::bigint)
      UNION ALL
      (SELECT queue, reason FROM ${sql.schema}.waiting WHERE reason = 'rate' LIMIT ${most}::bigint)
      UNION ALL
      (SELECT queue, reason FROM ${sql.schema}.waiting WHERE reason = 'unknown' LIMIT ${most}::bigint)
      UNION ALL
      (
        SELECT queue, CASE WHEN suspended THEN 'suspended' ELSE reason END
        FROM (
          SELECT queue, not_before, reason, suspended
          FROM ${sql.schema}.waiting
          -- Nothing is looked at where there are neither.
          WHERE (SELECT EXISTS (SELECT FROM ${sql.schema}.dependency)
            OR EXISTS (SELECT FROM ${sql.schema}.step WHERE status = 'waiting'))
          LIMIT ${MOST_LOOKED}::bigint
        ) AS place
        WHERE reason IN ('dependencies', 'suspended') OR (suspended AND not_before > now())
      )
    ) AS place
    GROUP BY queue, reason
    ORDER BY queue COLLATE "C", reason
  `;
  return [...rows];
}

/** The tasks of a name that no live consumer of their queue knows. */
export interface UnknownTasks {
  funcName: string;
  queue: string;
  tasks: number;
  /** The lowest id of them. */
  id: number;
  /** Since when the oldest one has been due; null if that is not known. */
  since: Date | null;
}

/** Counts the tasks with unknown names, the most first: up to 10,001 tasks, and 50 names. */
export async function readUnknown(sql: Tag): Promise<UnknownTasks[]> {
  const rows = await sql`
    SELECT func_name AS "funcName", queue, count(*)::integer AS tasks, min(id) AS id,
      min(not_before) FILTER (WHERE isfinite(not_before)) AS since
    FROM (
      SELECT id, func_name, queue, not_before
      FROM ${sql.schema}.waiting
      WHERE reason = 'unknown'
      LIMIT ${MOST_WAITING + 1}::bigint
    ) AS place
    GROUP BY func_name, queue
    ORDER BY tasks DESC, func_name COLLATE "C", queue COLLATE "C"
    LIMIT 50
  `;
  return rows.map((row) => ({ ...row, id: toNumber(row.id) })) as UnknownTasks[];
}

/** The claimed tasks of a name in a consumer. */
export interface ClaimedTasks {
  consumerId: string;
  /** Whether the consumer has a row: otherwise it crashed, and others rescue its tasks. */
  registered: boolean;
  queue: string;
  funcName: string;
  tasks: number;
  since: Date;
}

/** Counts the claimed tasks by consumer, queue and name. */
export async function readClaimed(sql: Tag): Promise<ClaimedTasks[]> {
  // LATERAL with LIMIT looks each record up by its id. The planner expects a million claimed tasks, and would otherwise
  // read all records.
  const rows = await sql`
    WITH claimed AS MATERIALIZED (
      SELECT consumer_id, claimed, id, claim_seq
      FROM ${sql.schema}._claimed_task
      LIMIT ${MOST_CLAIMED}::bigint
    )
    SELECT claimed.consumer_id AS "consumerId", task.queue::text, task.func_name::text AS "funcName",
      EXISTS (SELECT FROM ${sql.schema}.consumer WHERE consumer.id = claimed.consumer_id) AS registered,
      count(*)::integer AS tasks, min(claimed.claimed) AS since
    FROM claimed
    CROSS JOIN LATERAL (
      SELECT queue, func_name
      FROM ${sql.schema}.task
      WHERE task.id = claimed.id AND task.claim_seq = claimed.claim_seq AND status = 'created'
      LIMIT 1
    ) AS task
    GROUP BY claimed.consumer_id, task.queue, task.func_name
    ORDER BY tasks DESC, task.func_name::text COLLATE "C"
  `;
  return [...rows] as unknown as ClaimedTasks[];
}

/** The tasks of a name that failed for good within the last hour. */
export interface FailedTasks {
  funcName: string;
  tasks: number;
}

/** Counts the tasks that failed for good within the last hour by name, up to 10,000 in all, the most first. */
export async function readFailed(sql: Tag): Promise<{ failed: FailedTasks[]; more: boolean }> {
  const rows = await sql`
    SELECT func_name AS "funcName", count(*)::integer AS tasks
    FROM (
      SELECT func_name
      FROM ${sql.schema}.failed_task
      WHERE failed > now() - interval '1 hour'
      LIMIT ${MOST_FAILED + 1}::bigint
    ) AS place
    GROUP BY func_name
    ORDER BY tasks DESC, func_name COLLATE "C"
  `;
  const failed = [...rows] as unknown as FailedTasks[];
  return { failed, more: failed.reduce((sum, { tasks }) => sum + tasks, 0) > MOST_FAILED };
}

/** Whether anything is stored yet: a record, a live consumer, or a queue with settings; and when a task failed last. */
export async function readTraces(sql: Tag): Promise<{ used: boolean; lastFailed: Date | null }> {
  const [row] = await sql<{ used: boolean; lastFailed: Date | null }>`
    SELECT EXISTS (SELECT FROM ${sql.schema}.consumer) OR EXISTS (SELECT FROM ${sql.schema}.queue)
        OR EXISTS (SELECT FROM ${sql.schema}.task_overview) OR EXISTS (SELECT FROM ${sql.schema}.cron_record) AS used,
      (SELECT max(failed) FROM ${sql.schema}.failed_task) AS "lastFailed"
  `;
  return row!;
}
