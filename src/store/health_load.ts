import type { Tag } from "../database/driver.ts";
import { toNumber } from "./rows.ts";

/** How many records of each kind the statements below look at: a sample that takes the same time whatever is stored. */
const SAMPLE = 20_000;
/** Counting due tasks of a queue stops here. */
const MOST_DUE = 10_001;

/** A paused queue. */
export interface PausedQueue {
  name: string;
  /** How many due tasks it has, at most 10,001. */
  due: number;
  /** For how many seconds it has been paused; null where it was not paused by `pause()`. */
  seconds: number | null;
  by: string | null;
  reason: string | null;
}

/** Reads the paused queues. */
export async function readPausedStates(sql: Tag): Promise<PausedQueue[]> {
  const rows = await sql`
    SELECT queue.name, paused_by AS by, paused_reason AS reason,
      CASE WHEN isfinite(paused_since) THEN EXTRACT(epoch FROM now() - paused_since)::double precision END AS seconds,
      (
        SELECT LEAST(COALESCE(sum(length), 0), ${MOST_DUE}::bigint)::integer
        FROM (
          (SELECT length FROM ${sql.schema}.ready WHERE ready.queue = queue.name LIMIT ${MOST_DUE}::bigint)
          UNION ALL
          (
            SELECT 1 FROM ${sql.schema}.waiting
            WHERE waiting.queue = queue.name AND waiting.not_before <= now()
            LIMIT ${MOST_DUE}::bigint
          )
        ) AS due
      ) AS due
    FROM ${sql.schema}.queue
    WHERE paused
    ORDER BY queue.name
  `;
  return [...rows] as unknown as PausedQueue[];
}

/** The due tasks of a queue that live consumers serve. */
export interface ServedBacklog {
  queue: string;
  due: number;
  /** For how many seconds the oldest one has been due. */
  seconds: number;
  consumers: number;
}

/** Reads the due tasks of the queues that are served and not paused, with names that their consumers know. */
export async function readServedBacklog(sql: Tag): Promise<ServedBacklog[]> {
  const rows = await sql`
    WITH served AS MATERIALIZED (
      SELECT queue.name, count(*)::integer AS consumers, array_agg(DISTINCT task.name) AS tasks
      FROM ${sql.schema}.consumer, unnest(consumer.queues) AS queue (name), unnest(consumer.tasks) AS task (name)
      WHERE consumer.lease_until > now()
      GROUP BY queue.name
    )
    SELECT served.name AS queue, sum(place.length) AS due,
      EXTRACT(epoch FROM now() - min(place.not_before))::double precision AS seconds,
      (
        SELECT count(*)::integer FROM ${sql.schema}.consumer
        WHERE lease_until > now() AND served.name = ANY (consumer.queues)
      ) AS consumers
    FROM served
    JOIN (
      SELECT queue, func_name, not_before, length FROM ${sql.schema}.ready
      UNION ALL
      SELECT queue, func_name, not_before, 1 FROM ${sql.schema}.waiting
      WHERE reason IN ('time', 'concurrency', 'rate') AND not_before <= now()
    ) AS place ON place.queue = served.name AND place.func_name = ANY (served.tasks) AND isfinite(place.not_before)
    WHERE NOT EXISTS (SELECT FROM ${sql.schema}.queue WHERE queue.name = served.name AND queue.paused)
    GROUP BY served.name
    ORDER BY 3 DESC
  `;
  return rows.map((row) => ({ ...row, due: toNumber(row.due) })) as unknown as ServedBacklog[];
}

/** How the attempts of a name have ended within the last hour, as far as the sample shows. */
export interface Failures {
  funcName: string;
  queue: string;
  /** A record keeps its latest 100 errors, so there may have been more. */
  failed: number;
  completed: number;
  /** The name of an error of them. */
  error: string | null;
}

/**
 * Counts the attempts that failed within the last hour, by name, the most first: of the newest records, and of the tasks
 * that are ready, waiting or claimed, which may be much older.
 */
export async function readFailures(sql: Tag): Promise<Failures[]> {
  const rows = await sql`
    WITH chosen AS MATERIALIZED (
      SELECT id FROM (SELECT id FROM ${sql.schema}.task ORDER BY id DESC LIMIT ${SAMPLE}::bigint) AS newest
      UNION
      SELECT id FROM (SELECT id FROM ${sql.schema}._ready_task LIMIT ${SAMPLE}::bigint) AS ready
      UNION
      SELECT id FROM (SELECT id FROM ${sql.schema}.waiting LIMIT ${SAMPLE}::bigint) AS waiting
      UNION
      SELECT id FROM (
        SELECT id FROM ${sql.schema}._claimed_task LIMIT ${SAMPLE}::bigint
      ) AS claimed
    ), counted AS (
      SELECT task.func_name, task.queue, task.completed,
        CASE WHEN task.errors IS NOT NULL THEN (
          SELECT count(*)
          FROM jsonb_array_elements(task.errors) AS error
          WHERE (error ->> 'at')::timestamptz > now() - interval '1 hour'
        ) ELSE 0 END AS failed,
        task.errors -> -1 ->> 'name' AS error
      FROM ${sql.schema}.task
      WHERE task.id = ANY (ARRAY(SELECT id FROM chosen))
    )
    SELECT func_name, min(queue) AS queue, sum(failed) AS failed,
      count(*) FILTER (WHERE completed > now() - interval '1 hour') AS completed,
      max(error) FILTER (WHERE failed > 0) AS error
    FROM counted
    GROUP BY func_name
    HAVING sum(failed) > 0
    ORDER BY sum(failed) DESC, func_name
    LIMIT 20
  `;
  return rows.map(({ func_name, queue, failed, completed, error }) => ({
    funcName: func_name,
    queue,
    failed: toNumber(failed),
    completed: toNumber(completed),
    error,
  }));
}

/** A task that a live consumer has held for long. */
export interface LongRun {
  id: number;
  funcName: string;
  seconds: number;
  /** What nine of ten recent attempts of its name took at most, in seconds; null if fewer than five are known. */
  usual: number | null;
}

/** Reads the tasks that live consumers have held for more than `seconds`, the longest first, at most 100. */
export async function readLongRuns(sql: Tag, seconds: number): Promise<LongRun[]> {
  const rows = await sql`
    WITH running AS MATERIALIZED (
      SELECT task.id, task.func_name, EXTRACT(epoch FROM now() - claim.claimed)::double precision AS seconds
      FROM ${sql.schema}._claimed_task AS claim
      JOIN ${sql.schema}.consumer ON consumer.id = claim.consumer_id AND consumer.lease_until > now()
      JOIN ${sql.schema}.task ON task.id = claim.id AND task.claim_seq = claim.claim_seq AND task.status = 'created'
      WHERE claim.claimed < now() - make_interval(secs => ${seconds}::double precision)
      ORDER BY claim.claimed, task.id
      LIMIT 100
    ), recent AS MATERIALIZED (
      SELECT func_name, status, started, completed
      FROM ${sql.schema}.task
      ORDER BY id DESC
      LIMIT CASE WHEN (SELECT count(*) FROM running) > 0 THEN ${SAMPLE}::bigint ELSE 0 END
    ), usual AS MATERIALIZED (
      SELECT func_name,
        percentile_cont(0.9) WITHIN GROUP (ORDER BY EXTRACT(epoch FROM completed - started)::double precision) AS seconds
      FROM recent
      WHERE status = 'completed' AND isfinite(started) AND isfinite(completed)
      GROUP BY func_name
      HAVING count(*) >= 5
    )
    SELECT running.id, running.func_name, running.seconds, usual.seconds AS usual
    FROM running
    LEFT JOIN usual USING (func_name)
    ORDER BY running.seconds DESC, running.id
  `;
  return rows.map(({ id, func_name, seconds, usual }) => ({ id: toNumber(id), funcName: func_name, seconds, usual }));
}

/** The size of a table with its indexes. */
export interface TableSize {
  table: string;
  bytes: number;
}

/** Reads the sizes of the tables of the schema, the largest first. */
export async function readTableSizes(sql: Tag): Promise<TableSize[]> {
  const rows = await sql`
    SELECT relname::text AS table, pg_total_relation_size(oid) AS bytes
    FROM pg_class
    WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = ${sql.schemaName}::text) AND relkind = 'r'
    ORDER BY 2 DESC, 1
  `;
  return rows.map(({ table, bytes }) => ({ table, bytes: Number(bytes) }));
}
