import type { Tag } from "../database/driver.ts";
import { MOST_FAILED } from "./overview.ts";
import { toNumber } from "./rows.ts";

/** How the attempts of a name ended within the last hour, and how long they ran. */
export interface NameTotals {
  funcName: string;
  queue: string;
  completed: number;
  /** Tasks that failed for good. */
  failed: number;
  /** Attempts that failed and are tried again. */
  retried: number;
  /** The same of the last 15 minutes, with all failed attempts in one number. */
  recent: { completed: number; failed: number };
}

/** Counts the attempts of the last hour by name and queue, of all queues or of one; up to 500 names, the busiest. */
export async function readNameTotals(sql: Tag, queue: string | null = null): Promise<NameTotals[]> {
  const rows = await sql`
    SELECT func_name, queue, sum(completed) AS completed, sum(failed) AS failed, sum(retried) AS retried,
      COALESCE(sum(completed) FILTER (WHERE minute > now() - interval '15 minutes'), 0) AS recent_completed,
      COALESCE(sum(failed + retried) FILTER (WHERE minute > now() - interval '15 minutes'), 0) AS recent_failed
    FROM ${sql.schema}.task_minute
    WHERE minute > now() - interval '1 hour' AND (${queue}::text IS NULL OR queue = ${queue})
    GROUP BY func_name, queue
    ORDER BY sum(failed + retried) DESC, sum(completed) DESC, func_name COLLATE "C"
    LIMIT 500
  `;
  return rows.map((row) => ({
    funcName: row.func_name,
    queue: row.queue,
    completed: toNumber(row.completed),
    failed: toNumber(row.failed),
    retried: toNumber(row.retried),
    recent: { completed: toNumber(row.recent_completed), failed: toNumber(row.recent_failed) },
  }));
}

/** Reads the histograms of how long the attempts of the last hour ran, by name, of all queues or of one. */
export async function readRuns(sql: Tag, queue: string | null = null): Promise<Map<string, number[]>> {
  const rows = await sql`
    SELECT func_name, ordinal::integer AS bucket, sum(count)::double precision AS count
    FROM ${sql.schema}.task_minute, unnest(run) WITH ORDINALITY AS run (count, ordinal)
    WHERE minute > now() - interval '1 hour' AND (${queue}::text IS NULL OR queue = ${queue}) AND count > 0
    GROUP BY 1, 2
  `;
  const runs = new Map<string, number[]>();
  for (const { func_name, bucket, count } of rows) {
    const histogram = runs.get(func_name) ?? [];
    runs.set(func_name, histogram);
    histogram[bucket - 1] = count;
  }
  return runs;
}

/** The failed attempts of a name in a minute. */
export interface FailedMinute {
  funcName: string;
  at: Date;
  failed: number;
}

/** Reads the failed attempts of the last hour by name and minute. */
export async function readFailedMinutes(sql: Tag): Promise<FailedMinute[]> {
  const rows = await sql<FailedMinute>`
    SELECT func_name AS "funcName", minute AS at, sum(failed + retried)::double precision AS failed
    FROM ${sql.schema}.task_minute
    WHERE minute > now() - interval '1 hour' AND failed + retried > 0
    GROUP BY func_name, minute
    ORDER BY func_name COLLATE "C", minute
    LIMIT 5000
  `;
  return [...rows];
}

/** Errors that are alike. */
export interface ErrorGroup {
  /** As text: it has 64 bits. */
  fingerprint: string;
  queue: string;
  funcName: string;
  name: string;
  message: string;
  first: Date;
  last: Date;
  /** How many attempts failed by it since `first`. */
  attempts: number;
  lastTaskId: number;
  /** How many tasks failed for good by it, up to 10,001; and how many of them within the last hour. */
  failed: number;
  recent: number;
}

/**
 * Reads the errors of the last 24 hours, up to 20: those of the last hour first, then those that occurred most. Without
 * `messages` it reads what the role viewer may.
 */
export async function readErrorGroups(sql: Tag, { messages }: { messages: boolean }): Promise<ErrorGroup[]> {
  const groups = sql.raw(messages ? "error_group" : "error_overview");
  const message = sql.raw(messages ? "chosen.message" : "''");
  const rows = await sql`
    WITH chosen AS MATERIALIZED (
      SELECT *
      FROM ${sql.schema}.${groups}
      WHERE last > now() - interval '1 day'
      ORDER BY last > now() - interval '1 hour' DESC, attempts DESC, fingerprint
      LIMIT 20
    )
    SELECT chosen.fingerprint::text, chosen.queue, chosen.func_name AS "funcName", chosen.name, ${message} AS message,
      chosen.first, chosen.last, chosen.attempts, chosen.last_task_id AS "lastTaskId", place.failed, place.recent
    FROM chosen
    CROSS JOIN LATERAL (
      SELECT count(*)::integer AS failed, (count(*) FILTER (WHERE failed > now() - interval '1 hour'))::integer AS recent
      FROM (
        SELECT failed_task.failed
        FROM ${sql.schema}.failed_task
        WHERE failed_task.fingerprint = chosen.fingerprint
        ORDER BY task_id DESC
        LIMIT ${MOST_FAILED + 1}::bigint
      ) AS newest
    ) AS place
    ORDER BY chosen.last > now() - interval '1 hour' DESC, chosen.attempts DESC, chosen.fingerprint
  `;
  return rows.map((row) => ({
    ...row,
    attempts: toNumber(row.attempts),
    lastTaskId: toNumber(row.lastTaskId),
  })) as ErrorGroup[];
}
