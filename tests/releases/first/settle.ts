import type { Tag } from "../../../src/database/driver.ts";
import { lastError, noteFailures } from "./failed_tasks.ts";
import { placeInReady, placeInWaiting } from "./placement.ts";
import { toNumber } from "./rows.ts";
import { attemptOf, duplicateError, findDuplicates } from "./unique.ts";

export interface Outcome {
  id: number;
  claimSeq: number;
  status: "completed" | "failed" | "created";
  returned: string | null;
  error: string | null;
  began: number | null;
  delay: number | null;
  counts: "retry" | "snooze" | null;
}

export async function settleTasks(
  sql: Tag,
  outcomes: Outcome[],
  batches: string[],
  attemptedBy: number | null = null,
  onDependencies?: (ids: number[]) => void,
): Promise<Map<number, Outcome["status"]>> {
  const now = performance.now();
  const elapsed = outcomes.map(({ began }) => began === null ? null : (now - began) / 1000);
  const back = {
    from: sql.raw("(SELECT * FROM settled WHERE status = 'created') AS back"),
    isDue: sql.raw("not_before <= statement_timestamp()"),
  };
  const [intoReady, intoWaiting] = [placeInReady(sql, back), placeInWaiting(sql, { ...back, admits: true })];
  const rows = await sql`
    WITH outcome AS MATERIALIZED (
      SELECT *
      FROM unnest(
        ${outcomes.map(({ id }) => id)}::bigint[], ${outcomes.map(({ claimSeq }) => claimSeq)}::bigint[],
        ${outcomes.map(({ status }) => status)}::text[], ${outcomes.map(({ returned }) => returned)}::text[],
        ${outcomes.map(({ error }) => error)}::text[], ${elapsed}::double precision[],
        ${outcomes.map(({ delay }) => delay)}::double precision[], ${outcomes.map(({ counts }) => counts)}::text[]
      ) AS outcome (id, claim_seq, status, returned, error, elapsed, delay, counts)
    ), held AS MATERIALIZED (
      SELECT outcome.*
      FROM (
        SELECT id, claim_seq, status
        FROM ${sql.schema}.task
        WHERE id = ANY (ARRAY(SELECT id FROM outcome))
        FOR UPDATE SKIP LOCKED
      ) AS task
      JOIN outcome ON outcome.id = task.id AND outcome.claim_seq = task.claim_seq
      WHERE task.status = 'created'
    ), ${
    findDuplicates(sql, sql.raw("(SELECT id FROM held WHERE status = 'created') AS held"))
  }, ended_as AS MATERIALIZED (
      SELECT held.*, CASE WHEN duplicate.id IS NULL THEN held.status ELSE 'failed' END AS new_status
      FROM held
      LEFT JOIN duplicate ON duplicate.id = held.id
    ), settled AS (
      UPDATE ${sql.schema}.task
      SET claim_seq = task.claim_seq + 1,
        status = held.new_status,
        returned = held.returned,
        started = CASE
          WHEN held.elapsed IS NULL THEN task.started
          ELSE statement_timestamp() - make_interval(secs => held.elapsed)
        END,
        completed = CASE WHEN held.status = 'completed' THEN statement_timestamp() END,
        failed = CASE WHEN held.new_status = 'failed' THEN statement_timestamp() END,
        not_before = CASE
          WHEN held.delay IS NULL THEN task.not_before
          WHEN held.delay > 1e11 THEN 'infinity'
          ELSE statement_timestamp() + make_interval(secs => held.delay)
        END,
        errors = NULLIF(
          CASE
            WHEN held.error IS NULL THEN COALESCE(task.errors, '[]')
            ELSE (CASE WHEN jsonb_array_length(task.errors) < 100 THEN task.errors ELSE COALESCE(task.errors - 0, '[]') END)
              || jsonb_build_array(held.error::jsonb || jsonb_build_object(
                'at', statement_timestamp(), 'attempt', ${attemptOf(sql)}
              ) || COALESCE((
                SELECT jsonb_build_object('host', host, 'pid', pid, 'release', release)
                FROM ${sql.schema}.consumer_process
                WHERE consumer_process.id = ${attemptedBy}::integer
              ), '{}'))
          END || CASE WHEN held.new_status = held.status THEN '[]' ELSE ${duplicateError(sql)} END,
          '[]'
        ),
        attempted_by = CASE WHEN held.elapsed IS NULL THEN task.attempted_by ELSE ${attemptedBy}::integer END,
        retry_attempts = CASE held.counts WHEN 'retry' THEN COALESCE(task.retry_attempts, 0) + 1 ELSE task.retry_attempts END,
        snoozes = CASE held.counts WHEN 'snooze' THEN COALESCE(task.snoozes, 0) + 1 ELSE task.snoozes END,
        crash_count = NULL
      FROM ended_as AS held
      WHERE task.id = held.id
      RETURNING task.id, task.claim_seq, task.status, task.not_before, task.priority, task.queue, task.func_name,
        task.concurrency_key, task.rate_key, false AS quarantined, task.failed, task.dependants, ${lastError(sql)}
    ), noted AS (
      ${noteFailures(sql, sql.raw("settled"))}
    ), placed AS (
      ${intoReady}
      RETURNING queue
    ), placed_waiting AS (
      ${intoWaiting}
      RETURNING queue, reason
    ), waiter AS (
      DELETE FROM ${sql.schema}.result_waiter
      USING settled
      WHERE result_waiter.task_id = settled.id AND settled.status <> 'created'
      RETURNING result_waiter.task_id
    ), notified AS MATERIALIZED (
      SELECT ${sql.schema}._notify(queue)
      FROM (SELECT queue FROM placed UNION SELECT queue FROM placed_waiting WHERE reason <> 'time') AS filled
      UNION ALL
      SELECT pg_notify(${sql.schema}.ended_channel(), '') WHERE EXISTS (SELECT FROM waiter)
    ), ended AS (
      DELETE FROM ${sql.schema}.claim_batch
      WHERE id = ANY (${batches}::uuid[]) AND (SELECT count(*) FROM settled) = (SELECT count(*) FROM outcome)
    )
    SELECT id, status, dependants, (SELECT count(*) FROM notified) AS notified FROM settled
  `;
  const dependencies = rows.filter(({ status, dependants }) => dependants && status !== "created");
  if (dependencies.length > 0) onDependencies?.(dependencies.map(({ id }) => toNumber(id)));
  return new Map(rows.map((row) => [toNumber(row.id), row.status]));
}

export interface ClaimState {
  id: number;
  claimSeq: number;
  status: string;
}

export async function readClaims(sql: Tag, ids: number[]): Promise<Map<number, ClaimState>> {
  const rows = await sql`
    SELECT id, claim_seq, status
    FROM ${sql.schema}.task
    WHERE id = ANY (${ids}::bigint[])
  `;
  return new Map(rows.map((row) => {
    const id = toNumber(row.id);
    return [id, { id, claimSeq: toNumber(row.claim_seq), status: row.status }];
  }));
}

export async function deleteBatches(sql: Tag, batches: string[]): Promise<void> {
  await sql`
    DELETE FROM ${sql.schema}.claim_batch
    WHERE claim_batch.id = ANY (${batches}::uuid[])
      AND NOT EXISTS (
        SELECT FROM ${sql.schema}._claimed_task AS claim
        WHERE claim.batch_id = claim_batch.id AND claim.claim_seq = (
          SELECT task.claim_seq FROM ${sql.schema}.task WHERE task.id = claim.id AND task.status = 'created'
        )
      )
  `;
}

export async function storeProgress(
  sql: Tag,
  { id, claimSeq, value, note }: { id: number; claimSeq: number; value: number; note: string | null },
): Promise<boolean> {
  const rows = await sql`
    UPDATE ${sql.schema}.task
    SET progress = ${value}, progress_note = ${note}
    WHERE id = ${id} AND claim_seq = ${claimSeq} AND status = 'created'
  `;
  return rows.count > 0;
}
