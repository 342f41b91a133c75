import type { Tag } from "../database/driver.ts";
import { toNumber } from "./rows.ts";

/** A consumer, and what it runs. */
export interface ConsumerState {
  /** The id under which it is registered: a new one each time. */
  readonly id: string;
  /** Its option `name`; null if it has none. */
  readonly name: string | null;
  /** Its machine. */
  readonly host: string;
  /** Its process id. */
  readonly pid: number;
  /** The release of the application: its option `release`; null if it has none. */
  readonly release: string | null;
  /** The version of this package that it runs. */
  readonly version: string;
  /** `crashed`: its lease has expired. Another consumer removes it within seconds, if one lives. */
  readonly state: "live" | "crashed";
  /** The queues that it serves. */
  readonly queues: string[];
  /** The names of the tasks that it runs, aliases included. */
  readonly tasks: string[];
  /** How many handlers it runs at a time. */
  readonly concurrency: number;
  /** How many an operator asked for, until it has taken that over; else null. */
  readonly wantedConcurrency: number | null;
  /** The resident memory of its process in bytes, when it renewed its lease last; null if it did not report it. */
  readonly memory: number | null;
  /** When it registered. */
  readonly started: Date;
  /** When it renewed its lease last. */
  readonly seen: Date;
  /** When its lease ends, unless it is renewed. */
  readonly leaseUntil: Date;
  /** How many tasks it has claimed: more than `concurrency` if some of them wait for a slot in it. */
  readonly running: number;
  /** Since when it has held the task that it has held longest; null if it holds none. */
  readonly runningSince: Date | null;
  /** The 20 tasks that it has held longest, those first. */
  readonly runningTasks: RunningTask[];
}

/** A task that a consumer holds. */
export interface RunningTask {
  /** The id of the task. */
  readonly id: number;
  /** The name of the task. */
  readonly funcName: string;
  /** When it was claimed. */
  readonly since: Date;
}

/** Reads all consumers that have a row: those that live by queues, host and process, and those that crashed. */
export async function readConsumers(sql: Tag): Promise<ConsumerState[]> {
  const rows = await sql`
    SELECT id, name, host, pid, release, version, state, queues, tasks, concurrency,
      wanted_concurrency AS "wantedConcurrency", memory, started, seen,
      lease_until AS "leaseUntil", running, running_since AS "runningSince", running_tasks AS "runningTasks"
    FROM ${sql.schema}.consumer_record
    ORDER BY host COLLATE "C", pid, started, id
  `;
  return rows.map((row) => ({
    ...row,
    memory: row.memory === null ? null : toNumber(row.memory),
    runningTasks: row.runningTasks.map((
      { id, func_name, since }: { id: number; func_name: string; since: string },
    ) => ({
      id: toNumber(id),
      funcName: func_name,
      since: new Date(since),
    })),
  })) as ConsumerState[];
}

/** Seconds from which a retention counts as for ever. */
const FOR_EVER = 1e9;

/**
 * Notes which processes still have a consumer, and deletes those that have been gone for a day longer than any record is
 * kept; resolves to how many it deleted. A record that is older, as one that never ended, no longer says what ran it.
 */
export async function deleteGoneProcesses(sql: Tag): Promise<number> {
  const [row] = await sql`
    WITH alive AS MATERIALIZED (
      SELECT ctid AS place
      FROM ${sql.schema}.consumer_process
      WHERE seen < now() - interval '1 hour' AND id = ANY (ARRAY(SELECT process_id FROM ${sql.schema}.consumer))
      FOR UPDATE SKIP LOCKED
    ), seen AS (
      UPDATE ${sql.schema}.consumer_process
      SET seen = now()
      WHERE ctid = ANY (ARRAY(SELECT place FROM alive))
    ), longest AS MATERIALIZED (
      SELECT max(seconds) AS seconds
      FROM (
        SELECT GREATEST(retain_completed, retain_failed) AS seconds FROM ${sql.schema}.retention
        UNION ALL
        SELECT GREATEST(retain_completed, retain_failed) FROM ${sql.schema}.queue
        UNION ALL
        SELECT GREATEST(retain_completed, retain_failed) FROM ${sql.schema}.definition
      ) AS kept
    ), gone AS MATERIALIZED (
      SELECT ctid AS place
      FROM ${sql.schema}.consumer_process
      WHERE seen < now() - interval '1 day' - make_interval(
          secs => (SELECT LEAST(seconds, ${FOR_EVER}::double precision) FROM longest)
        )
        AND (SELECT seconds < ${FOR_EVER}::double precision FROM longest)
        AND NOT id = ANY (ARRAY(SELECT process_id FROM ${sql.schema}.consumer WHERE process_id IS NOT NULL))
      FOR UPDATE SKIP LOCKED
    ), deleted AS (
      DELETE FROM ${sql.schema}.consumer_process
      WHERE ctid = ANY (ARRAY(SELECT place FROM gone))
      RETURNING id
    )
    SELECT count(*)::integer AS deleted FROM deleted
  `;
  return row!.deleted;
}
