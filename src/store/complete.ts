import type { Tag } from "../database/driver.ts";
import { codeOf } from "../database/error_codes.ts";
import { toNumber } from "./rows.ts";
import type { ClaimState, Outcome } from "./settle.ts";

const DIVISION_BY_ZERO = "22012";

/** A claim whose task completed, as nearly all do. */
export type Completion = Pick<Outcome, "id" | "claimSeq"> & { began: number; returned: string };

/**
 * Completes tasks, each only if it is still held, at half the cost of `settleTasks`: no task returns to `ready` or
 * `waiting`, and no row is locked before its update. So it may have to wait for a row that another transaction has
 * locked; it gives up after 50 ms, long before the server checks for a deadlock. Resolves to the ids of the tasks that
 * it completed, or to undefined if it completed all. `attemptedBy` is the id of the consumer's
 * process.
 *
 * @throws An error with the code LOCK_NOT_AVAILABLE, if it had to give up: nothing was changed then.
 */
export async function completeTasks(
  sql: Tag,
  completions: Completion[],
  batches: string[],
  attemptedBy: number | null = null,
): Promise<Set<number> | undefined> {
  const now = performance.now();
  // Durations, since all times come from the database's clock.
  const elapsed = completions.map(({ began }) => (now - began) / 1000);
  const [row] = await sql`
    WITH options AS MATERIALIZED (
      SELECT set_config('lock_timeout', '50ms', true)
    ), completed AS (
      UPDATE ${sql.schema}.task
      SET claim_seq = task.claim_seq + 1,
        status = 'completed',
        returned = held.returned,
        started = statement_timestamp() - make_interval(secs => held.elapsed),
        completed = statement_timestamp(),
        failed = NULL,
        attempted_by = ${attemptedBy}::integer,
        crash_count = 0
      FROM options, unnest(
        ${completions.map(({ id }) => id)}::bigint[], ${completions.map(({ claimSeq }) => claimSeq)}::bigint[],
        ${completions.map(({ returned }) => returned)}::text[], ${elapsed}::double precision[]
      ) AS held (id, claim_seq, returned, elapsed)
      WHERE task.id = held.id AND task.claim_seq = held.claim_seq AND task.status = 'created'
      RETURNING task.id
    ), waiter AS (
      -- Usually no program waits for a result: then no row of \`completed\` is looked up.
      DELETE FROM ${sql.schema}.result_waiter
      USING completed
      WHERE result_waiter.task_id = completed.id AND (SELECT EXISTS (SELECT FROM ${sql.schema}.result_waiter))
      RETURNING result_waiter.task_id
    ), notified AS MATERIALIZED (
      SELECT pg_notify(${sql.schema}.ended_channel(), '') WHERE EXISTS (SELECT FROM waiter)
    ), ended AS (
      DELETE FROM ${sql.schema}.claim_batch
      WHERE id = ANY (${batches}::uuid[]) AND (SELECT count(*) FROM completed) = ${completions.length}::bigint
    )
    SELECT CASE WHEN count(*) < ${completions.length}::bigint THEN COALESCE(json_agg(id), '[]') END AS ids,
      (SELECT count(*) FROM notified) AS notified
    FROM completed
  `;
  const ids: number[] | null = row!.ids;
  return ids === null ? undefined : new Set(ids);
}

/**
 * Completes one task in the transaction of its handler, as {@linkcode completeTasks} does for many. `batchId` is the
 * claim batch to delete with it, if this is its last task. `attemptedBy` is the id of the consumer's
 * process. It fails if the attempt no longer holds the task, so that the
 * COMMIT that is sent with it commits nothing: {@linkcode isNotHeld} recognizes the error. It waits for a transaction
 * that has locked the record.
 *
 * The server opens `result_waiter` and `claim_batch` in any case, as it does with every table of a statement. So their
 * conditions name a parameter and not the row of `settled`: the server probes the index, and plans no join.
 */
export async function completeTask(
  sql: Tag,
  { id, claimSeq, returned, began }: Pick<Outcome, "id" | "claimSeq" | "returned" | "began">,
  batchId: string | null,
  attemptedBy: number | null = null,
): Promise<void> {
  const elapsed = (performance.now() - (began ?? 0)) / 1000;
  await sql`
    WITH settled AS (
      UPDATE ${sql.schema}.task
      SET claim_seq = claim_seq + 1,
        status = 'completed',
        returned = ${returned},
        started = statement_timestamp() - make_interval(secs => ${elapsed}),
        completed = statement_timestamp(),
        failed = NULL,
        attempted_by = ${attemptedBy}::integer,
        crash_count = 0
      WHERE id = ${id} AND claim_seq = ${claimSeq} AND status = 'created'
      RETURNING id
    ), waiter AS (
      DELETE FROM ${sql.schema}.result_waiter
      WHERE task_id = ${id} AND EXISTS (SELECT FROM settled)
      RETURNING task_id
    ), ended AS (
      DELETE FROM ${sql.schema}.claim_batch
      WHERE id = ${batchId} AND EXISTS (SELECT FROM settled)
    )
    SELECT 1 / count(*) AS held, -- fails on purpose, with DIVISION_BY_ZERO, if the attempt does not hold the task
      (SELECT count(pg_notify(${sql.schema}.ended_channel(), '')) FROM waiter) AS notified
    FROM settled
  `;
}

/**
 * Whether {@linkcode completeTask} may have failed because the attempt does not hold the task. A deferred check of the
 * user's may divide by zero, too: only the record shows which.
 */
export function isNotHeld(error: unknown): boolean {
  return codeOf(error) === DIVISION_BY_ZERO;
}

/**
 * Reads the state of a claim; "locked" if a transaction has locked the record, perhaps the one whose COMMIT was lost. It
 * does not wait, since that transaction may take longer than the pool's deadline for a statement.
 */
export async function readFreeClaim(sql: Tag, id: number): Promise<ClaimState | "locked" | undefined> {
  const [row] = await sql`
    WITH free AS (
      SELECT id, claim_seq, status
      FROM ${sql.schema}.task
      WHERE id = ${id}
      FOR NO KEY UPDATE SKIP LOCKED
    )
    SELECT free.claim_seq, free.status
    FROM ${sql.schema}.task
    LEFT JOIN free ON free.id = task.id
    WHERE task.id = ${id}
  `;
  if (!row) return undefined;
  return row.status === null ? "locked" : { id, claimSeq: toNumber(row.claim_seq), status: row.status };
}
