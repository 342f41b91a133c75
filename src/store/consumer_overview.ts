import type { Tag } from "../database/driver.ts";
import { toNumber } from "./rows.ts";

/** A consumer that has a row. */
export interface ConsumerRow {
  id: string;
  /** Its option `name`; null if it has none. */
  name: string | null;
  host: string;
  pid: number;
  version: string;
  release: string | null;
  queues: string[];
  allQueues: boolean;
  tasks: string[];
  concurrency: number;
  /** How many an operator asked for, until it has taken that over; else null. */
  wantedConcurrency: number | null;
  /** The resident memory of its process in bytes; null if it does not report it. */
  memory: number | null;
  started: Date;
  seen: Date;
  leaseUntil: Date;
  /** Whether its lease has not expired. */
  live: boolean;
  /** For how many seconds it has not renewed its lease. */
  silent: number;
  /** How many seconds its lease has in all. */
  lease: number;
}

/** Reads the consumers that have a row, by host and process, up to 1,000. */
export async function readConsumerRows(sql: Tag): Promise<ConsumerRow[]> {
  const rows = await sql`
    SELECT id, consumer_name AS name, host, pid, version, release, queues, all_queues AS "allQueues", tasks, concurrency,
      wanted_concurrency AS "wantedConcurrency", memory, started, seen,
      lease_until AS "leaseUntil", lease_until > now() AS live,
      EXTRACT(epoch FROM now() - seen)::double precision AS silent,
      EXTRACT(epoch FROM lease_until - seen)::double precision AS lease
    FROM ${sql.schema}.consumer
    ORDER BY host COLLATE "C", pid, started, id
    LIMIT 1000
  `;
  return rows.map((row) => ({ ...row, memory: row.memory === null ? null : toNumber(row.memory) })) as ConsumerRow[];
}

/** A task that a consumer has held for long. */
export interface LongTask {
  id: number;
  funcName: string;
  queue: string;
  /** Since when, and for how many seconds. */
  claimed: Date;
  seconds: number;
  /** From 0 to 1; null if the handler reports none. */
  progress: number | null;
  /** The consumer; null if it has no row any more. */
  host: string | null;
  pid: number | null;
}

/** Reads the 200 claimed tasks that consumers have held longest, those first. */
export async function readLongest(sql: Tag): Promise<LongTask[]> {
  // LATERAL with LIMIT looks each record up by its id: see readClaimed().
  const rows = await sql`
    WITH claimed AS MATERIALIZED (
      SELECT consumer_id, claimed, id, claim_seq
      FROM ${sql.schema}._claimed_task
      ORDER BY claimed, id
      LIMIT 200
    )
    SELECT claimed.id, task.func_name::text AS "funcName", task.queue::text, claimed.claimed,
      EXTRACT(epoch FROM now() - claimed.claimed)::double precision AS seconds, task.progress, consumer.host, consumer.pid
    FROM claimed
    CROSS JOIN LATERAL (
      SELECT func_name, queue, progress
      FROM ${sql.schema}.task
      WHERE task.id = claimed.id AND task.claim_seq = claimed.claim_seq AND status = 'created'
      LIMIT 1
    ) AS task
    LEFT JOIN ${sql.schema}.consumer ON consumer.id = claimed.consumer_id
    ORDER BY claimed.claimed, claimed.id
  `;
  return rows.map((row) => ({ ...row, id: toNumber(row.id) })) as LongTask[];
}
