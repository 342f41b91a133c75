import type { Tag } from "../database/driver.ts";
import { isUnplaced } from "./placement.ts";
import { toNumber } from "./rows.ts";

/** A consumer, with the seconds until its lease expires: negative if the consumer crashed. */
export interface ConsumerState {
  id: string;
  host: string;
  pid: number;
  version: string;
  queues: string[];
  tasks: string[];
  seconds: number;
  /** How many tasks it holds. */
  held: number;
}

/** Reads the live consumers, and the crashed ones that are not removed yet. */
export async function readConsumers(sql: Tag): Promise<ConsumerState[]> {
  const rows = await sql<ConsumerState>`
    SELECT id, host, pid, version, queues, tasks,
      EXTRACT(epoch FROM lease_until)::double precision - EXTRACT(epoch FROM clock_timestamp())::double precision AS seconds,
      (
        SELECT count(*)::integer
        FROM ${sql.schema}._claimed_task AS claim
        JOIN ${sql.schema}.task ON task.id = claim.id AND task.claim_seq = claim.claim_seq AND task.status = 'created'
        WHERE claim.consumer_id = consumer.id
      ) AS held
    FROM ${sql.schema}.consumer
    ORDER BY started
  `;
  return [...rows];
}

/** Counts the tasks held by consumers that have no row any more. */
export async function countOrphaned(sql: Tag): Promise<number> {
  const [row] = await sql`
    SELECT count(*) AS count
    FROM ${sql.schema}._claimed_task AS claim
    JOIN ${sql.schema}.task ON task.id = claim.id AND task.claim_seq = claim.claim_seq AND task.status = 'created'
    WHERE NOT EXISTS (SELECT FROM ${sql.schema}.consumer WHERE consumer.id = claim.consumer_id)
  `;
  return toNumber(row!.count);
}

/** The tasks of one name that wait in a queue, or are ready. */
export interface Backlog {
  queue: string;
  funcName: string;
  tasks: number;
  /** How many of them are due. */
  due: number;
  paused: boolean;
}

/** Counts ready and waiting tasks by queue and name, in the order of the queues. */
export async function readBacklog(sql: Tag): Promise<Backlog[]> {
  const rows = await sql`
    SELECT queue, func_name, sum(length) AS tasks, COALESCE(sum(length) FILTER (WHERE not_before <= now()), 0) AS due,
      COALESCE((SELECT paused FROM ${sql.schema}.queue WHERE name = place.queue), false) AS paused
    FROM (
      SELECT queue, func_name, not_before, length FROM ${sql.schema}.ready
      UNION ALL
      SELECT queue, func_name, not_before, 1 FROM ${sql.schema}.waiting
    ) AS place
    GROUP BY queue, func_name
    ORDER BY queue, func_name
  `;
  return rows.map(({ queue, func_name, tasks, due, paused }) => ({
    queue,
    funcName: func_name,
    tasks: toNumber(tasks),
    due: toNumber(due),
    paused,
  }));
}

/** Reads the names of the paused queues. */
export async function readPausedQueues(sql: Tag): Promise<string[]> {
  const rows = await sql`SELECT name FROM ${sql.schema}.queue WHERE paused ORDER BY name`;
  return rows.map(({ name }) => name);
}

/**
 * Finds unplaced tasks among up to 20,000 records with ids below `before` (all, if that is null), the newest first.
 * Resolves to the lowest id examined, or 0 at the end.
 */
export async function findUnplaced(
  sql: Tag,
  before: number | null,
): Promise<{ last: number; seen: number; unplaced: number[] }> {
  const [row] = await sql`
    WITH seen AS MATERIALIZED (
      SELECT id, status, claim_seq, queue, priority, not_before
      FROM ${sql.schema}.task
      WHERE ${before}::bigint IS NULL OR id < ${before}
      ORDER BY id DESC
      LIMIT 20000
    ), unplaced AS MATERIALIZED (
      SELECT seen.id
      FROM seen
      WHERE ${isUnplaced(sql)}
    )
    SELECT
      CASE WHEN (SELECT count(*) FROM seen) < 20000 THEN 0 ELSE (SELECT min(id) FROM seen) END AS last,
      (SELECT count(*)::integer FROM seen) AS seen,
      ARRAY(SELECT id FROM unplaced ORDER BY id) AS unplaced
  `;
  return { last: toNumber(row!.last), seen: row!.seen, unplaced: row!.unplaced.map(toNumber) };
}

/** A cron without a live owner; `removed` means that its task is defined without a cron now. */
export interface OrphanedCron {
  name: string;
  removed: boolean;
}

/** Reads the orphaned crons, and how many crons there are. */
export async function readOrphanedCrons(sql: Tag): Promise<{ crons: number; orphaned: OrphanedCron[] }> {
  const rows = await sql`
    SELECT cron_record.name, cron_record.state, cron.removed IS NOT NULL AS removed
    FROM ${sql.schema}.cron_record
    JOIN ${sql.schema}.cron USING (name)
    ORDER BY name
  `;
  const orphaned = rows.filter(({ state }) => state === "orphaned").map(({ name, removed }) => ({ name, removed }));
  return { crons: rows.length, orphaned };
}

/** Reads the versions of the applied migrations. */
export async function readVersions(sql: Tag): Promise<number[]> {
  const rows = await sql`SELECT version FROM ${sql.schema}.migration ORDER BY version`;
  return rows.map(({ version }) => version);
}
