import type { Firefly } from "../../mod.ts";
import type { Outcomes } from "./recount.ts";
import type { Measure } from "./tasks.ts";

/** How many tasks of the run stand where. */
export interface Progress {
  completed: number;
  failed: number;
  open: number;
}

/** What one run left in the database, as plain SQL sums it up. */
export interface Totals {
  texts: number;
  bytes: number;
  lines: number;
  words: number;
  failed: number;
  /** Failed tasks that were tried twice, as they should have been. */
  triedTwice: number;
  /** Rows that differ from what their task returned. */
  unlike: number;
}

/** How long a run took, by the clock of the database, in seconds. */
export interface Timing {
  tasks: number;
  retried: number;
  /** Until every task had its first attempt behind it. */
  triedOnceIn: number;
  /** Until every task had ended. */
  endedIn: number;
  /** Before the first start; null if no task completed at its first attempt. */
  waitP50: number | null;
  waitP99: number | null;
}

/** A key for an advisory lock: whatever number nobody else uses. */
const LOCK = 7_312_001;

/**
 * Locks others out while `demo` runs: two demos on one database would delete each other's rows. The lock is held by a
 * transaction of its own, so that it ends with this process, whatever becomes of it.
 */
export async function runAlone<T>(ff: Firefly, demo: () => Promise<T>): Promise<T> {
  const locked = Promise.withResolvers<void>();
  const finished = Promise.withResolvers<void>();
  const lock = ff.transaction(async (sql) => {
    const [row] = await sql`SELECT pg_try_advisory_xact_lock(${LOCK}::bigint) AS locked`;
    if (!row.locked) throw new Error("Cannot run the demo as another one runs on this database");
    locked.resolve();
    await finished.promise;
  });
  try {
    await Promise.race([locked.promise, lock]);
    return await demo();
  } finally {
    finished.resolve();
    await lock.catch(() => {});
  }
}

/** Makes the demo's table, and deletes what a run before left; resolves to how many tasks that were. */
export async function startClean(ff: Firefly): Promise<number> {
  await ff.sql`CREATE SCHEMA IF NOT EXISTS firefly_demo_data`;
  await ff.sql`
    CREATE TABLE IF NOT EXISTS firefly_demo_data.demo_file (
      path text PRIMARY KEY,
      bytes bigint NOT NULL,
      lines bigint NOT NULL,
      words bigint NOT NULL,
      sha256 text NOT NULL
    )
  `;
  const deleted = await ff.tasks.delete({ queue: "demo" });
  await ff.sql`TRUNCATE firefly_demo_data.demo_file`;
  return deleted;
}

/** Counts the tasks of the run. */
export async function readProgress(ff: Firefly): Promise<Progress> {
  const [row] = await ff.sql<Progress>`
    SELECT
      count(*) FILTER (WHERE status = 'completed')::integer AS completed,
      count(*) FILTER (WHERE status = 'failed')::integer AS failed,
      count(*) FILTER (WHERE status = 'created')::integer AS open
    FROM firefly.task
    WHERE queue = 'demo' AND func_name = 'demo.measure_file'
  `;
  return row!;
}

/** Reads what became of each file. */
export async function readOutcomes(ff: Firefly): Promise<Outcomes> {
  const completed = await ff.sql<Measure & { path: string }>`
    SELECT path, bytes::float AS bytes, lines::float AS lines, words::float AS words, sha256
    FROM firefly_demo_data.demo_file
  `;
  const failed = await ff.sql<{ path: string }>`
    SELECT params ->> 0 AS path
    FROM firefly.task_json
    WHERE queue = 'demo' AND func_name = 'demo.measure_file' AND status = 'failed'
  `;
  return {
    completed: new Map(completed.map(({ path, ...measure }) => [path, measure])),
    failed: new Set(failed.map(({ path }) => path)),
  };
}

/** Sums up the run, leaving out the files of `except`. */
export async function readTotals(ff: Firefly, except: string[]): Promise<Totals> {
  const [row] = await ff.sql<Totals>`
    WITH run AS (
      SELECT status, errors, params ->> 0 AS path, returned
      FROM firefly.task_json
      WHERE queue = 'demo' AND func_name = 'demo.measure_file' AND NOT params ->> 0 = ANY (${except}::text[])
    )
    SELECT
      count(demo_file.path)::integer AS texts,
      COALESCE(sum(bytes), 0)::float AS bytes,
      COALESCE(sum(lines), 0)::float AS lines,
      COALESCE(sum(words), 0)::float AS words,
      count(*) FILTER (WHERE status = 'failed')::integer AS failed,
      count(*) FILTER (WHERE status = 'failed' AND jsonb_array_length(errors) = 2)::integer AS "triedTwice",
      count(*) FILTER (WHERE returned -> 'sha256' <> to_jsonb(sha256))::integer AS unlike
    FROM run
    LEFT JOIN firefly_demo_data.demo_file USING (path)
  `;
  return row!;
}

/** Reads how long the run took, and how long its tasks stood in the queue. */
export async function readTiming(ff: Firefly): Promise<Timing> {
  const [row] = await ff.sql<Timing>`
    WITH run AS (
      SELECT created, retry_attempts, COALESCE(completed, failed) AS ended,
        CASE WHEN retry_attempts = 0 THEN started END AS first_start,
        COALESCE((errors -> 0 ->> 'at')::timestamptz, completed) AS first_end
      FROM firefly.task_record
      WHERE queue = 'demo' AND func_name = 'demo.measure_file'
    ), began AS (
      SELECT LEAST(min(first_start), min(first_end)) AS began
      FROM run
    )
    SELECT
      count(*)::integer AS tasks,
      count(*) FILTER (WHERE retry_attempts > 0)::integer AS retried,
      EXTRACT(epoch FROM max(first_end) - min(began))::float AS "triedOnceIn",
      EXTRACT(epoch FROM max(ended) - min(began))::float AS "endedIn",
      percentile_cont(0.5) WITHIN GROUP (ORDER BY EXTRACT(epoch FROM first_start - created)) AS "waitP50",
      percentile_cont(0.99) WITHIN GROUP (ORDER BY EXTRACT(epoch FROM first_start - created)) AS "waitP99"
    FROM run, began
  `;
  return row!;
}

/** One failed task, to show what its error looks like. */
export async function readFailure(ff: Firefly): Promise<{ id: number; error: string } | undefined> {
  const [row] = await ff.sql<{ id: string; error: string }>`
    SELECT id, errors -> -1 ->> 'name' || ': ' || (errors -> -1 ->> 'message') AS error
    FROM firefly.task
    WHERE queue = 'demo' AND status = 'failed'
    ORDER BY id
    LIMIT 1
  `;
  return row && { id: Number(row.id), error: row.error };
}
