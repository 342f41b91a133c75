import type { Tag } from "../../../src/database/driver.ts";
import { toNumber } from "../../../src/store/rows.ts";

/** How an attempt ended. */
export interface Outcome {
  id: number;
  claimSeq: number;
  /** `created` gives the task back: to be tried again, or because it never began. */
  status: "completed" | "failed" | "created";
  /** The encoded result of a completed task. */
  returned: string | null;
  /** What to add to the record's `errors`, as JSON without `at` and `attempt`. */
  error: string | null;
  /** When the attempt began, by `performance.now()`; null if it never did. */
  began: number | null;
  /** Seconds until the next attempt; null keeps `not_before`. */
  delay: number | null;
  /** What a task given back has used up: a retry, or nothing but a claim (`snooze`). */
  counts: "retry" | "snooze" | null;
}

/**
 * Ends claims, each only if it is still held: `claim_seq` must be the one that the claim read. Resolves to the ids of
 * those that it ended; others were lost, or are locked by somebody's open transaction, which must not make a whole
 * batch wait. `batches` are deleted if nothing was left over.
 *
 * SKIP LOCKED also keeps two batches that hold the same tasks in different orders from a deadlock: neither waits.
 */
export async function settleTasks(sql: Tag, outcomes: Outcome[], batches: string[]): Promise<Set<number>> {
  const now = performance.now();
  // How long ago, since only the database's clock tells when.
  const elapsed = outcomes.map(({ began }) => began === null ? null : (now - began) / 1000);
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
      FROM outcome
      JOIN ${sql.schema}.task
        ON task.id = outcome.id AND task.claim_seq = outcome.claim_seq AND task.status = 'created'
      FOR UPDATE OF task SKIP LOCKED
    ), settled AS (
      UPDATE ${sql.schema}.task
      SET claim_seq = task.claim_seq + 1,
        status = held.status,
        returned = held.returned,
        started = CASE
          WHEN held.elapsed IS NULL THEN task.started
          ELSE statement_timestamp() - make_interval(secs => held.elapsed)
        END,
        completed = CASE WHEN held.status = 'completed' THEN statement_timestamp() END,
        failed = CASE WHEN held.status = 'failed' THEN statement_timestamp() END,
        not_before = CASE
          WHEN held.delay IS NULL THEN task.not_before
          ELSE statement_timestamp() + make_interval(secs => held.delay)
        END,
        errors = CASE
          WHEN held.error IS NULL THEN task.errors
          -- A task that fails for ever must not grow for ever: the latest 100 are kept.
          ELSE (CASE WHEN jsonb_array_length(task.errors) < 100 THEN task.errors ELSE task.errors - 0 END)
            || jsonb_build_array(held.error::jsonb || jsonb_build_object(
              'at', statement_timestamp(), 'attempt', task.retry_attempts + task.rescues + 1
            ))
        END,
        retry_attempts = task.retry_attempts + (held.counts IS NOT DISTINCT FROM 'retry')::integer,
        snoozes = task.snoozes + (held.counts IS NOT DISTINCT FROM 'snooze')::integer,
        crash_count = 0
      FROM held
      WHERE task.id = held.id
      RETURNING task.id, task.claim_seq, task.status, task.not_before, task.priority, task.queue, task.func_name
    ), back_in_ready AS (
      INSERT INTO ${sql.schema}.ready (id, claim_seq, not_before, priority, queue, func_name)
      SELECT id, claim_seq, not_before, priority, queue, func_name
      FROM settled
      WHERE status = 'created' AND not_before <= statement_timestamp()
      RETURNING queue
    ), back_in_waiting AS (
      INSERT INTO ${sql.schema}.waiting (id, claim_seq, not_before, priority, queue, func_name, reason)
      SELECT id, claim_seq, not_before, priority, queue, func_name, 'time'
      FROM settled
      WHERE status = 'created' AND not_before > statement_timestamp()
    ), waiter AS (
      DELETE FROM ${sql.schema}.result_waiter
      USING settled
      WHERE result_waiter.task_id = settled.id AND settled.status <> 'created'
      RETURNING result_waiter.task_id
    ), notified AS MATERIALIZED (
      SELECT pg_notify(${sql.schema}.channel(queue), '') FROM (SELECT DISTINCT queue FROM back_in_ready) AS filled
      UNION ALL
      SELECT pg_notify(${sql.schema}.ended_channel(), '') WHERE EXISTS (SELECT FROM waiter)
    ), ended AS (
      DELETE FROM ${sql.schema}.claim_batch
      WHERE id = ANY (${batches}::uuid[]) AND (SELECT count(*) FROM settled) = (SELECT count(*) FROM outcome)
    )
    SELECT id, (SELECT count(*) FROM notified) AS notified FROM settled
  `;
  return new Set(rows.map((row) => toNumber(row.id)));
}
