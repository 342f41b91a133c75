import type { Tag } from "../../../src/database/driver.ts";
import type { AttemptedBy } from "../../../src/events.ts";
import type { TaskStatus } from "../../../src/task/record.ts";
import { lastError, noteFailures } from "./failed_tasks.ts";
import { placeInReady, placeInWaiting } from "./placement.ts";
import { type ErrorRow, toNumber } from "./rows.ts";
import { attemptOf, duplicateError, findDuplicates } from "./unique.ts";

export interface RescuedTask {
  id: number;
  funcName: string;
  queue: string;
  status: TaskStatus;
  concurrencyKey: string | null;
  rateKey: string | null;
  attemptedBy: AttemptedBy | null;
  error: Pick<ErrorRow, "name" | "message"> | null;
}

export interface RescueRange {
  readonly from: number;
  readonly to: number;
  readonly without: readonly number[];
}

const WHOLE_RANGE: RescueRange = { from: 0, to: Number.MAX_SAFE_INTEGER, without: [] };

export async function rescueTasks(sql: Tag, { from, to, without }: RescueRange = WHOLE_RANGE): Promise<RescuedTask[]> {
  const back = { from: sql.raw("(SELECT * FROM rescued WHERE status = 'created') AS back") };
  const rows = await sql`
    WITH orphaned AS MATERIALIZED (
      SELECT claim_batch.id
      FROM ${sql.schema}.claim_batch
      WHERE NOT EXISTS (SELECT FROM ${sql.schema}.consumer WHERE consumer.id = claim_batch.consumer_id)
      ORDER BY claim_batch.id
      LIMIT 20
      FOR UPDATE SKIP LOCKED
    ), left_behind AS MATERIALIZED (
      SELECT claim.*
      FROM orphaned
      JOIN ${sql.schema}._claimed_task AS claim ON claim.batch_id = orphaned.id
    ), held AS MATERIALIZED (
      SELECT task.id, left_behind.claimed, left_behind.attempted_by,
        CASE WHEN process.id IS NOT NULL THEN
          jsonb_build_object('host', process.host, 'pid', process.pid, 'release', process.release)
        END AS process,
        COALESCE(left_behind.quarantined AND task.crash_count >= 4, false) AS exhausted
      FROM (
        SELECT id, claim_seq, status, crash_count
        FROM ${sql.schema}.task
        WHERE id = ANY (ARRAY(SELECT id FROM left_behind)) AND id BETWEEN ${from} AND ${to}
          AND id <> ALL (${[...without]}::bigint[])
        ORDER BY id
        FOR UPDATE SKIP LOCKED
      ) AS task
      JOIN left_behind ON left_behind.id = task.id AND left_behind.claim_seq = task.claim_seq
      LEFT JOIN ${sql.schema}.consumer_process AS process ON process.id = left_behind.attempted_by
      WHERE task.status = 'created'
    ), passed_over AS (
      SELECT left_behind.batch_id
      FROM left_behind
      CROSS JOIN LATERAL (
        SELECT claim_seq, status FROM ${sql.schema}.task WHERE task.id = left_behind.id OFFSET 0
      ) AS task
      WHERE task.claim_seq = left_behind.claim_seq AND task.status = 'created'
        AND left_behind.id NOT IN (SELECT id FROM held)
    ), ended AS (
      DELETE FROM ${sql.schema}.claim_batch
      WHERE id = ANY (ARRAY(SELECT id FROM orphaned)) AND id NOT IN (SELECT batch_id FROM passed_over)
    ), ${findDuplicates(sql, sql.raw("(SELECT id FROM held WHERE NOT exhausted) AS held"))}, rescued AS (
      UPDATE ${sql.schema}.task
      SET claim_seq = task.claim_seq + 1,
        rescues = COALESCE(task.rescues, 0) + 1,
        crash_count = COALESCE(task.crash_count, 0) + 1,
        status = CASE WHEN held.exhausted OR duplicate.id IS NOT NULL THEN 'failed' ELSE 'created' END,
        started = held.claimed,
        failed = CASE WHEN held.exhausted OR duplicate.id IS NOT NULL THEN now() END,
        attempted_by = held.attempted_by,
        errors = CASE
          WHEN held.exhausted THEN COALESCE(task.errors, '[]') || jsonb_build_array(jsonb_build_object(
            'name', 'ConsumerCrashed',
            'message', 'Five consumers in a row crashed while they held this task',
            'at', now(), 'attempt', ${attemptOf(sql)}
          ) || COALESCE(held.process, '{}'))
          WHEN duplicate.id IS NOT NULL THEN COALESCE(task.errors, '[]') || ${duplicateError(sql)}
          ELSE task.errors
        END
      FROM held
      LEFT JOIN duplicate ON duplicate.id = held.id
      WHERE task.id = held.id
      RETURNING task.id, task.claim_seq, task.status, task.not_before, task.priority, task.queue, task.func_name,
        task.concurrency_key, task.rate_key, task.crash_count >= 2 AS quarantined, held.process, task.failed,
        ${lastError(sql)}
    ), noted AS (
      ${noteFailures(sql, sql.raw("rescued"))}
    ), placed AS (
      ${placeInReady(sql, back)}
    ), placed_waiting AS (
      ${placeInWaiting(sql, { ...back, admits: true })}
    ), waiter AS (
      DELETE FROM ${sql.schema}.result_waiter
      USING rescued
      WHERE result_waiter.task_id = rescued.id AND rescued.status = 'failed'
      RETURNING result_waiter.task_id
    ), notified AS MATERIALIZED (
      SELECT ${sql.schema}._notify(queue)
      FROM (SELECT DISTINCT queue FROM rescued WHERE status = 'created') AS filled
      UNION ALL
      SELECT pg_notify(${sql.schema}.ended_channel(), '') WHERE EXISTS (SELECT FROM waiter)
    )
    SELECT id, func_name, queue, status, concurrency_key, rate_key, process, error,
      (SELECT count(*) FROM notified) AS notified
    FROM rescued
  `;
  return rows.map((row) => ({
    id: toNumber(row.id),
    funcName: row.func_name,
    queue: row.queue,
    status: row.status,
    concurrencyKey: row.concurrency_key,
    rateKey: row.rate_key,
    attemptedBy: row.process,
    error: row.error,
  }));
}
