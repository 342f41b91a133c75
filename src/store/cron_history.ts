import type { Tag } from "../database/driver.ts";
import { toNumber } from "./rows.ts";

/** A cron, its state, and how its last slot ended. */
export interface CronState {
  name: string;
  expression: string;
  timezone: string;
  missed: "skip" | "one" | "all";
  queue: string;
  state: "active" | "paused" | "orphaned";
  /** Whether it was removed from the code: one reason to be orphaned. */
  removed: boolean;
  pausedSince: Date | null;
  /** Slots up to here are not made up for. */
  since: Date;
  lastSlot: Date | null;
  lastFired: Date | null;
  lastTaskId: number | null;
  /** The status of the task of the last slot; null if its record is gone. */
  lastStatus: "created" | "running" | "completed" | "failed" | "cancelled" | null;
  /** When that task ended. */
  lastEnded: Date | null;
  /** How many seconds its last attempt took. */
  seconds: number | null;
  /** The error by which it failed; a connection with the role viewer reads no message. */
  error: { name: string; message?: string } | null;
}

/** Reads the crons by name, up to 200. */
export async function readCronStates(sql: Tag): Promise<CronState[]> {
  const rows = await sql`
    SELECT record.name, record.expression, record.timezone, record.missed, record.queue, record.state,
      cron.removed IS NOT NULL AS removed, CASE WHEN cron.paused THEN cron.paused_since END AS "pausedSince",
      record.since, record.last_slot AS "lastSlot", record.last_fired AS "lastFired",
      record.last_task_id AS "lastTaskId", record.last_status AS "lastStatus",
      COALESCE(task.completed, task.failed, task.cancelled) AS "lastEnded",
      EXTRACT(epoch FROM COALESCE(task.completed, task.failed) - task.started)::double precision AS seconds,
      CASE
        WHEN task.status = 'failed' AND task.errors -> -1 IS NOT NULL THEN jsonb_build_object(
          'name', task.errors -> -1 ->> 'name', 'message', left(task.errors -> -1 ->> 'message', 300)
        )
      END AS error
    FROM ${sql.schema}.cron_record AS record
    JOIN ${sql.schema}.cron ON cron.name = record.name
    LEFT JOIN ${sql.schema}.task ON task.id = record.last_task_id
    ORDER BY record.name COLLATE "C"
    LIMIT 200
  `;
  return rows.map((row) => ({
    ...row,
    lastTaskId: row.lastTaskId === null ? null : toNumber(row.lastTaskId),
  })) as CronState[];
}

/** A slot of a cron that fired. */
export interface CronRun {
  name: string;
  slot: Date;
  taskId: number | null;
  /** The status of its task; null if its record is gone. */
  status: "created" | "completed" | "failed" | "cancelled" | null;
  /** How many seconds its last attempt took; null if it has not ended. */
  seconds: number | null;
}

/** Reads the last `slots` slots of each of these crons that fired, oldest first, with how their tasks ended. */
export async function readCronRuns(
  sql: Tag,
  { names, slots }: { names: readonly string[]; slots: number },
): Promise<CronRun[]> {
  const rows = await sql`
    SELECT cron.name, fired.slot, fired.task_id AS "taskId", task.status,
      EXTRACT(epoch FROM COALESCE(task.completed, task.failed) - task.started)::double precision AS seconds
    FROM unnest(${[...names]}::text[]) AS cron (name)
    CROSS JOIN LATERAL (
      SELECT slot, task_id
      FROM ${sql.schema}.cron_slot
      WHERE cron_slot.cron = cron.name
      ORDER BY slot DESC
      LIMIT ${slots}::bigint
    ) AS fired
    LEFT JOIN LATERAL (
      SELECT status::text AS status, started, completed, failed
      FROM ${sql.schema}.task
      WHERE task.id = fired.task_id
      LIMIT 1
    ) AS task ON true
    ORDER BY cron.name COLLATE "C", fired.slot
  `;
  return rows.map((row) => ({ ...row, taskId: row.taskId === null ? null : toNumber(row.taskId) })) as CronRun[];
}
