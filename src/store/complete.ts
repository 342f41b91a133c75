import type { Tag } from "../database/driver.ts";
import { codeOf } from "../database/error_codes.ts";
import { toNumber } from "./rows.ts";
import type { ClaimState, Outcome } from "./settle.ts";

const DIVISION_BY_ZERO = "22012";

/** A claim that ends well, as nearly all do. */
export type Completion = Pick<Outcome, "id" | "claimSeq"> & { began: number; returned: string };

/**
 * Completes tasks, each only if it is still held, as `settleTasks` does, at half of its price: nothing goes
 * back to `ready` or `waiting`, and no row is locked before it is updated. So it may have to wait for a row that
 * somebody's transaction has locked. It gives that up in an instant, long before the server would look for a deadlock.
 * Resolves to the ids of those that it ended, or to undefined if these are all of them.
 *
 * @throws The error LOCK_NOT_AVAILABLE, if it met such a row: nothing has happened then.
 */
export async function completeTasks(
  sql: Tag,
  completions: Completion[],
  batches: string[],
): Promise<Set<number> | undefined> {
  const now = performance.now();
  // How long ago, since only the database's clock tells when.
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
        crash_count = 0
      FROM options, unnest(
        ${completions.map(({ id }) => id)}::bigint[], ${completions.map(({ claimSeq }) => claimSeq)}::bigint[],
        ${completions.map(({ returned }) => returned)}::text[], ${elapsed}::double precision[]
      ) AS held (id, claim_seq, returned, elapsed)
      WHERE task.id = held.id AND task.claim_seq = held.claim_seq AND task.status = 'created'
      RETURNING task.id
    ), waiter AS (
      -- As a rule nobody awaits anything: then no row of \`completed\` is looked at.
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
 * Completes one task in the transaction of its effects: what {@linkcode completeTasks} does for many. `batchId` is the
 * lease to delete with it, if this is the last task of one. It fails where the attempt does not hold the task any more, so
 * that a COMMIT which is sent with it commits nothing: {@linkcode isNotHeld} recognizes the error. It waits for whoever
 * has locked the record.
 *
 * The tables of `awaited` and `lease` are opened in any case, as no statement can do without what it may need. Hence
 * both conditions name a parameter and not the row of `settled`: the index is looked at, and no join is planned.
 */
export async function completeTask(
  sql: Tag,
  { id, claimSeq, returned, began }: Pick<Outcome, "id" | "claimSeq" | "returned" | "began">,
  batchId: string | null,
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
    SELECT 1 / count(*) AS held,
      (SELECT count(pg_notify(${sql.schema}.ended_channel(), '')) FROM waiter) AS notified
    FROM settled
  `;
}

/**
 * Whether {@linkcode completeTask} may have failed for want of the claim. A check of the user's that COMMIT brings out
 * may divide by zero, too: only the record tells.
 */
export function isNotHeld(error: unknown): boolean {
  return codeOf(error) === DIVISION_BY_ZERO;
}

/**
 * Reads where a claim stands, unless a transaction is at it, the old one of a lost COMMIT maybe: "locked" then. It does
 * not wait, since whoever has locked the record may take longer than a statement of a pool is given.
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
