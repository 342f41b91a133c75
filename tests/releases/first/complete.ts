import type { Tag } from "../../../src/database/driver.ts";
import { codeOf } from "../../../src/database/error_codes.ts";
import { toNumber } from "./rows.ts";
import type { ClaimState, Outcome } from "./settle.ts";

const DIVISION_BY_ZERO = "22012";

export type Completion = Pick<Outcome, "id" | "claimSeq"> & { began: number; returned: string };

export async function completeTasks(
  sql: Tag,
  completions: Completion[],
  batches: string[],
  attemptedBy: number | null = null,
): Promise<Set<number> | undefined> {
  const now = performance.now();
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

export function isNotHeld(error: unknown): boolean {
  return codeOf(error) === DIVISION_BY_ZERO;
}

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
