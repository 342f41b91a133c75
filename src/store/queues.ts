import type { Tag } from "../database/driver.ts";
import type { QueueSettings } from "../task/queue_options.ts";
import type { TaskCounts } from "../task/record.ts";
import { countStates, noTasks } from "./record_counts.ts";

/** The state of a queue. */
export interface QueueState {
  /** Its name. */
  readonly name: string;
  /** Whether its tasks are not claimed. */
  readonly paused: boolean;
  /** Since when it is paused; null if it is not, or if that was not by `pause()`. */
  readonly pausedSince: Date | null;
  /** Who paused it: `user@host`, or the role of the database. */
  readonly pausedBy: string | null;
  /** Why it is paused, if that was said. */
  readonly pausedReason: string | null;
  /** How many records it has, by state; `created` is the sum of those that have not started. */
  readonly counts: Readonly<TaskCounts>;
  /** How many seconds its oldest due task has been waiting; null if none is due. */
  readonly oldestDue: number | null;
  /** How many live consumers serve it. */
  readonly consumers: number;
  /** How many seconds the records of its tasks are kept, unless the task sets a retention; Infinity keeps them. */
  readonly retention: { readonly completed: number; readonly failed: number };
}

/** Reads every queue that has records, live consumers or settings, by name. */
export async function readQueues(sql: Tag): Promise<QueueState[]> {
  const counts = await countStates(sql);
  const rows = await sql`
    WITH served AS MATERIALIZED (
      SELECT unnest(queues) AS name FROM ${sql.schema}.consumer WHERE lease_until > now()
    ), due AS MATERIALIZED (
      -- Not from -infinity, which PostgreSQL 15 and 16 cannot subtract.
      SELECT queue AS name, min(not_before) FILTER (WHERE isfinite(not_before)) AS since
      FROM (
        SELECT queue, not_before FROM ${sql.schema}.ready
        UNION ALL
        SELECT queue, not_before FROM ${sql.schema}.waiting WHERE not_before <= now()
      ) AS place
      GROUP BY queue
    ), known AS (
      SELECT unnest(${[
    ...counts.keys(),
  ]}::text[]) AS name UNION SELECT name FROM served UNION SELECT name FROM ${sql.schema}.queue
    )
    SELECT name, COALESCE(queue.paused, false) AS paused,
      CASE WHEN queue.paused THEN queue.paused_since END AS paused_since,
      CASE WHEN queue.paused THEN queue.paused_by END AS paused_by,
      CASE WHEN queue.paused THEN queue.paused_reason END AS paused_reason,
      CASE WHEN due.name IS NOT NULL THEN COALESCE(EXTRACT(epoch FROM now() - due.since)::double precision, 0) END AS oldest_due,
      (SELECT count(*)::integer FROM served WHERE served.name = known.name) AS consumers,
      COALESCE(queue.retain_completed, retention.retain_completed) AS retain_completed,
      COALESCE(queue.retain_failed, retention.retain_failed) AS retain_failed
    FROM known
    CROSS JOIN ${sql.schema}.retention
    LEFT JOIN ${sql.schema}.queue USING (name)
    LEFT JOIN due USING (name)
    ORDER BY name
  `;
  return rows.map((row) => ({
    name: row.name,
    paused: row.paused,
    pausedSince: row.paused_since,
    pausedBy: row.paused_by,
    pausedReason: row.paused_reason,
    counts: counts.get(row.name) ?? noTasks(),
    oldestDue: row.oldest_due === null ? null : Math.max(0, row.oldest_due),
    consumers: row.consumers,
    retention: { completed: row.retain_completed, failed: row.retain_failed },
  }));
}

/** Reads the names of the queues that have records, consumers, crons or settings. */
export async function readQueueNames(sql: Tag): Promise<string[]> {
  const rows = await sql`
    SELECT name FROM ${sql.schema}.queue
    UNION SELECT unnest(queues) FROM ${sql.schema}.consumer
    UNION SELECT task ->> 'queue' FROM ${sql.schema}.cron
    UNION SELECT DISTINCT queue FROM ${sql.schema}.task
    ORDER BY name
  `;
  return rows.map(({ name }) => name);
}

/** Why and by whom a queue is paused. */
export interface PauseOptions {
  /** Why, for the command `queues` and for `doctor`. @default none */
  reason?: string;
  /** Who. @default `user@host`, as far as the runtime permits to know, else the role of the database */
  by?: string;
}

/** Pauses a queue: its tasks are no longer claimed; false if it was paused before. */
export async function pauseQueue(
  sql: Tag,
  queue: string,
  { reason, by }: { [K in keyof PauseOptions]: string | undefined } = {},
): Promise<boolean> {
  const [row] = await sql`
    SELECT ${sql.schema}.pause(${queue}, ${reason ?? null}::text, ${by ?? null}::text) AS paused
  `;
  return row!.paused;
}

/** Resumes a paused queue and notifies its consumers; false if it was not paused. */
export async function resumeQueue(sql: Tag, queue: string): Promise<boolean> {
  const [row] = await sql`SELECT ${sql.schema}.resume(${queue}) AS resumed`;
  return row!.resumed;
}

/** Reads those of `queues` that are paused. */
export async function readPaused(sql: Tag, queues: string[]): Promise<string[]> {
  const rows = await sql`SELECT name FROM ${sql.schema}.queue WHERE paused AND name = ANY (${queues}::text[])`;
  return rows.map(({ name }) => name);
}

/** Stores settings of queues. A null setting, and a queue that is not named, stays as it is. */
export async function storeQueues(sql: Tag, queues: readonly QueueSettings[]): Promise<void> {
  if (queues.length === 0) return;
  await sql`
    INSERT INTO ${sql.schema}.queue AS known (name, retain_completed, retain_failed, notify)
    SELECT *
    FROM unnest(
      ${queues.map(({ name }) => name)}::text[],
      ${queues.map(({ retention }) => retention.completed)}::double precision[],
      ${queues.map(({ retention }) => retention.failed)}::double precision[],
      ${queues.map(({ notify }) => notify)}::text[]
    ) AS said (name, completed, failed, notify)
    ORDER BY name COLLATE "C"
    ON CONFLICT (name) DO UPDATE
    SET retain_completed = COALESCE(excluded.retain_completed, known.retain_completed),
      retain_failed = COALESCE(excluded.retain_failed, known.retain_failed),
      notify = COALESCE(excluded.notify, known.notify)
  `;
}
