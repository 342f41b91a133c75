import type { Tag } from "../database/driver.ts";
import { toNumber } from "./rows.ts";

/** What consumers counted: since how many seconds ago, and of which queue and name. */
export interface ActivityRequest {
  readonly seconds: number;
  readonly queue?: string | undefined;
  readonly name?: string | undefined;
}

/** How attempts ended. */
interface Outcomes {
  readonly completed: number;
  /** For good. */
  readonly failed: number;
  readonly retried: number;
}

/** What a queue did, and what was in it when a consumer looked last: null if none has within ten minutes. */
export interface QueueActivity extends Outcomes {
  readonly queue: string;
  readonly snoozed: number;
  /** A histogram of the times from when tasks were due to the starts of their attempts. */
  readonly wait: readonly number[];
  readonly due: number | null;
  readonly waiting: number | null;
  /** Of those waiting, how many were suspended. */
  readonly suspended: number | null;
  readonly running: number | null;
  readonly places: number | null;
  /** For how many seconds the oldest due task had been due; null if none was. */
  readonly oldest: number | null;
}

/** What the tasks of a name did. */
export interface TaskActivity extends Outcomes {
  readonly queue: string;
  readonly funcName: string;
  /** A histogram of how long attempts ran. */
  readonly run: readonly number[];
}

/** Reads what the queues did, by name. It reads minutes, never records. */
export async function readQueueActivity(sql: Tag, { seconds, queue }: ActivityRequest): Promise<QueueActivity[]> {
  const rows = await sql`
    WITH counted AS (
      SELECT queue, sum(completed) AS completed, sum(failed) AS failed, sum(retried) AS retried,
        sum(snoozed) AS snoozed, jsonb_agg(wait) FILTER (WHERE wait <> '{}') AS waits
      FROM ${sql.schema}.queue_minute
      WHERE minute > now() - make_interval(secs => ${seconds}::double precision)
        AND (${queue ?? null}::text IS NULL OR queue = ${queue ?? null})
      GROUP BY queue
    ), sampled AS (
      SELECT DISTINCT ON (queue) queue, due, waiting, running, places, oldest, (
        SELECT COALESCE(sum(wait.tasks::integer), 0)::integer
        FROM jsonb_each_text(waits) AS wait (kind, tasks)
        WHERE wait.kind <> 'dependencies'
      ) AS suspended
      FROM ${sql.schema}.queue_minute
      WHERE minute > now() - interval '10 minutes' AND due IS NOT NULL
        AND (${queue ?? null}::text IS NULL OR queue = ${queue ?? null})
      ORDER BY queue, minute DESC
    )
    SELECT *
    FROM counted
    FULL JOIN sampled USING (queue)
    ORDER BY queue COLLATE "C"
  `;
  return rows.map(({ waits, due, waiting, suspended, running, places, oldest, ...row }) => ({
    queue: row.queue,
    ...outcomesOf(row),
    snoozed: toNumber(row.snoozed ?? 0),
    wait: sumOf(waits),
    due,
    waiting,
    suspended,
    running,
    places,
    oldest,
  }));
}

/** Reads what the tasks of each name did, the busiest first: up to 200 names. */
export async function readTaskActivity(sql: Tag, { seconds, queue, name }: ActivityRequest): Promise<TaskActivity[]> {
  const rows = await sql`
    SELECT queue, func_name, sum(completed) AS completed, sum(failed) AS failed, sum(retried) AS retried,
      jsonb_agg(run) FILTER (WHERE run <> '{}') AS runs
    FROM ${sql.schema}.task_minute
    WHERE minute > now() - make_interval(secs => ${seconds}::double precision)
      AND (${queue ?? null}::text IS NULL OR queue = ${queue ?? null})
      AND (${name ?? null}::text IS NULL OR func_name = ${name ?? null})
    GROUP BY queue, func_name
    ORDER BY sum(completed + failed + retried) DESC, func_name COLLATE "C", queue COLLATE "C"
    LIMIT 200
  `;
  return rows.map(({ runs, ...row }) => ({
    queue: row.queue,
    funcName: row.func_name,
    ...outcomesOf(row),
    run: sumOf(runs),
  }));
}

/** An error that attempts ended with. */
export interface RecentError {
  readonly queue: string;
  readonly funcName: string;
  readonly name: string;
  /** Null for a role that may not read it, as the viewer. */
  readonly message: string | null;
  /** Of all its attempts. */
  readonly attempts: number;
  readonly last: Date;
  readonly lastTaskId: number;
}

/** Reads the errors that came since so many seconds ago, the last one first: up to 20. */
export async function readRecentErrors(sql: Tag, seconds: number): Promise<RecentError[]> {
  const [role] = await sql`
    SELECT has_table_privilege(format('%I.error_group', ${sql.schemaName}::text), 'SELECT') AS may_read
  `;
  const rows = await sql`
    SELECT queue, func_name, name, ${
    sql.raw(role!.may_read ? "message" : "NULL AS message")
  }, attempts, last, last_task_id
    FROM ${sql.schema}.${sql.raw(role!.may_read ? "error_group" : "error_overview")}
    WHERE last > now() - make_interval(secs => ${seconds}::double precision)
    ORDER BY last DESC, attempts DESC, fingerprint
    LIMIT 20
  `;
  return rows.map(({ queue, func_name, name, message, attempts, last, last_task_id }) => ({
    queue,
    funcName: func_name,
    name,
    message,
    attempts: toNumber(attempts),
    last,
    lastTaskId: toNumber(last_task_id),
  }));
}

function outcomesOf({ completed, failed, retried }: Record<string, string | number | null>): Outcomes {
  return { completed: toNumber(completed ?? 0), failed: toNumber(failed ?? 0), retried: toNumber(retried ?? 0) };
}

function sumOf(histograms: number[][] | null): number[] {
  const sum: number[] = [];
  for (const histogram of histograms ?? []) {
    histogram.forEach((count, bucket) => sum[bucket] = (sum[bucket] ?? 0) + count);
  }
  return sum;
}
