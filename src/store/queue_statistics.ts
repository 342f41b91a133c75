import type { Tag } from "../database/driver.ts";
import { toNumber } from "./rows.ts";

/** A span of statistics that ends now, cut into steps; both in seconds. Of all queues, or of one. */
export interface Span {
  length: number;
  step: number;
  queue?: string | undefined;
}

/** What happened in a step of a span, and how much there was. */
export interface Flow {
  /** When the step begins. */
  at: Date;
  completed: number;
  /** Tasks that failed for good. */
  failed: number;
  /** Attempts that failed and are tried again. */
  retried: number;
  /** How many tasks were due, waiting and running, on the average of its minutes; null if no consumer counted. */
  due: number | null;
  waiting: number | null;
  running: number | null;
}

/** Reads what consumers counted in a span, step by step, oldest first; a step without a count is left out. */
export async function readFlows(sql: Tag, { length, step, queue }: Span): Promise<Flow[]> {
  const rows = await sql`
    SELECT date_bin(make_interval(secs => ${step}::double precision), minute, '2000-01-01Z') AS at,
      sum(completed) AS completed, sum(failed) AS failed, sum(retried) AS retried, avg(due)::double precision AS due,
      avg(waiting)::double precision AS waiting, avg(running)::double precision AS running
    FROM (
      SELECT minute, sum(completed) AS completed, sum(failed) AS failed, sum(retried) AS retried, sum(due) AS due,
        sum(waiting) AS waiting, sum(running) AS running
      FROM ${sql.schema}.queue_minute
      WHERE minute > now() - make_interval(secs => ${length}::double precision)
        AND (${queue ?? null}::text IS NULL OR queue = ${queue ?? null})
      GROUP BY minute
    ) AS minute
    GROUP BY 1
    ORDER BY 1
  `;
  return rows.map((row) => ({
    ...row,
    completed: toNumber(row.completed),
    failed: toNumber(row.failed),
    retried: toNumber(row.retried),
  })) as Flow[];
}

/** A bucket of a histogram of a step. */
export interface Bucket {
  at: Date;
  /** From 1. */
  bucket: number;
  count: number;
}

/** Reads the histogram of the delays before a start, step by step. */
export async function readDelays(sql: Tag, { length, step, queue }: Span): Promise<Bucket[]> {
  const rows = await sql`
    SELECT date_bin(make_interval(secs => ${step}::double precision), minute, '2000-01-01Z') AS at,
      ordinal::integer AS bucket, sum(count)::double precision AS count
    FROM ${sql.schema}.queue_minute, unnest(wait) WITH ORDINALITY AS delay (count, ordinal)
    WHERE minute > now() - make_interval(secs => ${length}::double precision)
      AND (${queue ?? null}::text IS NULL OR queue = ${queue ?? null}) AND count > 0
    GROUP BY 1, 2
    ORDER BY 1, 2
  `;
  return [...rows] as unknown as Bucket[];
}

/** What consumers counted of a queue within the last hour. */
export interface QueueTotals {
  queue: string;
  completed: number;
  failed: number;
  retried: number;
  /** The histogram of the delays before a start. */
  wait: number[];
  /** How many tasks were due, by minute; null where no consumer counted. */
  due: { at: Date; due: number | null }[];
}

/** Reads what consumers counted of each of these queues within the last hour. */
export async function readQueueTotals(sql: Tag, queues: readonly string[]): Promise<QueueTotals[]> {
  const rows = await sql`
    SELECT queue, sum(completed) AS completed, sum(failed) AS failed, sum(retried) AS retried,
      jsonb_agg(wait) FILTER (WHERE wait <> '{}') AS waits,
      jsonb_agg(jsonb_build_array(EXTRACT(epoch FROM minute)::bigint, due) ORDER BY minute) AS due
    FROM ${sql.schema}.queue_minute
    WHERE minute > now() - interval '1 hour' AND queue = ANY (${[...queues]}::text[])
    GROUP BY queue
  `;
  return rows.map((row) => ({
    queue: row.queue,
    completed: toNumber(row.completed),
    failed: toNumber(row.failed),
    retried: toNumber(row.retried),
    wait: addHistograms(row.waits ?? []),
    due: (row.due as [number, number | null][]).map(([at, due]) => ({ at: new Date(at * 1000), due })),
  }));
}

function addHistograms(histograms: readonly (number | null)[][]): number[] {
  const sum: number[] = [];
  for (const histogram of histograms) {
    histogram.forEach((count, bucket) => sum[bucket] = (sum[bucket] ?? 0) + (count ?? 0));
  }
  return sum;
}

/** The newest count of a queue's tasks. */
export interface Sample {
  queue: string;
  due: number;
  waiting: number;
  /** Since when the oldest due task had been due; null if none was. */
  since: Date | null;
}

/** Reads the newest count of the tasks of each queue, of the last ten minutes. */
export async function readSamples(sql: Tag): Promise<Sample[]> {
  const rows = await sql<Sample>`
    SELECT DISTINCT ON (queue) queue, due, COALESCE(waiting, 0) AS waiting,
      minute - make_interval(secs => oldest::double precision) AS since
    FROM ${sql.schema}.queue_minute
    WHERE minute > now() - interval '10 minutes' AND due IS NOT NULL
    ORDER BY queue, minute DESC
  `;
  return [...rows];
}

/** Reads when each of these queues had a place of a live consumer last, within a day. */
export async function readLastServed(sql: Tag, queues: readonly string[]): Promise<Map<string, Date>> {
  const rows = await sql`
    SELECT queue, max(minute) AS minute
    FROM ${sql.schema}.queue_minute
    WHERE minute > now() - interval '1 day' AND queue = ANY (${[...queues]}::text[]) AND places > 0
    GROUP BY queue
  `;
  return new Map(rows.map(({ queue, minute }) => [queue, minute]));
}
