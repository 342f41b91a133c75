import type { Tag } from "../database/driver.ts";
import type { LongTask } from "./consumer_overview.ts";
import type { CronState } from "./cron_history.ts";
import type { ClaimedTasks } from "./overview.ts";
import { toNumber } from "./rows.ts";

/*
 * The same for a connection with the role viewer, which may read views in place of the tables. A view finds the place of
 * each of its tasks anew, which is why other connections do not read them.
 */

/** Counts the claimed tasks by consumer, queue and name as the role viewer may: the 20 oldest of each consumer. */
export async function readClaimedAsViewer(sql: Tag): Promise<ClaimedTasks[]> {
  const rows = await sql<ClaimedTasks>`
    SELECT consumer.id AS "consumerId", true AS registered, COALESCE(task.queue, '') AS queue,
      run.func_name AS "funcName", count(*)::integer AS tasks, min(run.since) AS since
    FROM ${sql.schema}.consumer_record AS consumer
    CROSS JOIN LATERAL jsonb_to_recordset(consumer.running_tasks) AS run (id bigint, func_name text, since timestamptz)
    LEFT JOIN LATERAL (
      SELECT queue FROM ${sql.schema}.task_overview WHERE task_overview.id = run.id LIMIT 1
    ) AS task ON true
    GROUP BY consumer.id, task.queue, run.func_name
    ORDER BY tasks DESC, run.func_name COLLATE "C"
  `;
  return [...rows];
}

/** Reads the claimed tasks that consumers have held longest as the role viewer may: of each consumer its 20 oldest. */
export async function readLongestAsViewer(sql: Tag): Promise<LongTask[]> {
  const rows = await sql`
    SELECT run.id, run.func_name AS "funcName", COALESCE(task.queue, '') AS queue, run.since AS claimed,
      EXTRACT(epoch FROM now() - run.since)::double precision AS seconds, task.progress, consumer.host, consumer.pid
    FROM ${sql.schema}.consumer_record AS consumer
    CROSS JOIN LATERAL jsonb_to_recordset(consumer.running_tasks) AS run (id bigint, func_name text, since timestamptz)
    LEFT JOIN LATERAL (
      SELECT queue, progress FROM ${sql.schema}.task_overview WHERE task_overview.id = run.id LIMIT 1
    ) AS task ON true
    ORDER BY run.since, run.id
    LIMIT 200
  `;
  return rows.map((row) => ({ ...row, id: toNumber(row.id) })) as LongTask[];
}

/** Reads the crons by name as the role viewer may, up to 200: without messages, and none as removed. */
export async function readCronStatesAsViewer(sql: Tag): Promise<CronState[]> {
  const rows = await sql`
    SELECT record.name, record.expression, record.timezone, record.missed, record.queue, record.state, false AS removed,
      CASE WHEN record.state = 'paused' THEN record.paused_since END AS "pausedSince", record.since,
      record.last_slot AS "lastSlot", record.last_fired AS "lastFired", record.last_task_id AS "lastTaskId",
      record.last_status AS "lastStatus", COALESCE(task.completed, task.failed, task.cancelled) AS "lastEnded",
      EXTRACT(epoch FROM COALESCE(task.completed, task.failed) - task.started)::double precision AS seconds,
      CASE WHEN task.status = 'failed' AND task.error IS NOT NULL THEN jsonb_build_object('name', task.error) END AS error
    FROM ${sql.schema}.cron_record AS record
    LEFT JOIN LATERAL (
      SELECT status, started, completed, failed, cancelled, error
      FROM ${sql.schema}.task_overview
      WHERE task_overview.id = record.last_task_id
      LIMIT 1
    ) AS task ON true
    ORDER BY record.name COLLATE "C"
    LIMIT 200
  `;
  return rows.map((row) => ({
    ...row,
    lastTaskId: row.lastTaskId === null ? null : toNumber(row.lastTaskId),
  })) as CronState[];
}
