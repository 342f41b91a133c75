import type { Tag } from "../../../src/database/driver.ts";
import { codeOf } from "../../../src/database/error_codes.ts";
import { toNumber } from "./rows.ts";
import type { ClaimState, Outcome } from "./settle.ts";

const DIVISION_BY_ZERO = "22012";

export type Completion = Pick<Outcome, "id" | "claimSeq" | "returned"> & { began: number };

export async function completeTasks(
  sql: Tag,
  completions: Completion[],
  batches: string[],
  attemptedBy: number | null = null,
  onDependencies?: (ids: number[]) => void,
): Promise<Set<number> | undefined> {
  const held = haveOneResult(completions) ? heldInRuns(sql, completions) : heldOneByOne(sql, completions);
  const [row] = await sql`
    WITH options AS MATERIALIZED (
      SELECT set_config('lock_timeout', '50ms', true)
    ), completed AS (
      UPDATE ${sql.schema}.task
      SET claim_seq = task.claim_seq + 1,
        attempted_by = ${attemptedBy}::integer,
        status = 'completed',
        started = statement_timestamp() - ${held.elapsed} * interval '1 microsecond',
        completed = statement_timestamp(),
        returned = ${held.returned},
        failed = NULL,
        crash_count = NULL
      FROM options, ${held.from}
      WHERE ${held.matches} AND task.claim_seq = held.claim_seq AND task.status = 'created'
      RETURNING task.id, task.dependants
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
      json_agg(id) FILTER (WHERE dependants) AS dependencies, (SELECT count(*) FROM notified) AS notified
    FROM completed
  `;
  const ids: number[] | null = row!.ids;
  if (row!.dependencies !== null) onDependencies?.(row!.dependencies);
  return ids === null ? undefined : new Set(ids);
}

interface Held {
  readonly from: unknown;
  readonly matches: unknown;
  readonly returned: unknown;
  readonly elapsed: unknown;
}

function haveOneResult(completions: Completion[]): boolean {
  const { returned } = completions[0]!;
  return completions.every((completion) => completion.returned === returned);
}

function heldOneByOne(sql: Tag, completions: Completion[]): Held {
  return {
    from: sql.fragment`unnest(
        ${listOf(completions, ({ id }) => id)}::bigint[], ${listOf(completions, ({ claimSeq }) => claimSeq)}::integer[],
        ${completions.map(({ returned }) => returned)}::text[], ${elapsedOf(completions)}::bigint[]
      ) AS held (id, claim_seq, returned, elapsed)`,
    matches: sql.raw("task.id = held.id"),
    returned: sql.raw("held.returned"),
    elapsed: sql.raw("held.elapsed"),
  };
}

function heldInRuns(sql: Tag, completions: Completion[]): Held {
  const sorted = isSorted(completions) ? completions : completions.toSorted((a, b) => a.id - b.id);
  const runs: { id: number; claimSeq: number; place: number; length: number }[] = [];
  let run: (typeof runs)[number] | undefined;
  for (const [i, { id, claimSeq }] of sorted.entries()) {
    if (run && id === run.id + run.length && claimSeq === run.claimSeq) run.length++;
    else runs.push(run = { id, claimSeq, place: i + 1, length: 1 });
  }
  return {
    from: sql.fragment`unnest(
        ${listOf(runs, ({ id }) => id)}::bigint[], ${listOf(runs, ({ length }) => length)}::integer[],
        ${listOf(runs, ({ claimSeq }) => claimSeq)}::integer[], ${listOf(runs, ({ place }) => place)}::integer[]
      ) AS held (id, length, claim_seq, place)`,
    matches: sql.raw("task.id >= held.id AND task.id < held.id + held.length"),
    returned: sql.fragment`${sorted[0]!.returned}::text`,
    elapsed: sql.fragment`(${elapsedOf(sorted)}::bigint[])[held.place + (task.id - held.id)::integer]`,
  };
}

function isSorted(completions: Completion[]): boolean {
  for (let i = 1; i < completions.length; i++) if (completions[i]!.id < completions[i - 1]!.id) return false;
  return true;
}

function listOf<T>(items: T[], numberOf: (item: T) => number): string {
  let list = "";
  for (const item of items) list += `,${numberOf(item)}`;
  return `{${list.slice(1)}}`;
}

function elapsedOf(completions: Completion[]): string {
  const now = performance.now();
  return listOf(completions, ({ began }) => Math.round((now - began) * 1000));
}

export async function completeTask(
  sql: Tag,
  { id, claimSeq, returned, began }: Pick<Outcome, "id" | "claimSeq" | "returned" | "began">,
  batchId: string | null,
  attemptedBy: number | null = null,
): Promise<boolean> {
  const elapsed = (performance.now() - (began ?? 0)) / 1000;
  const [row] = await sql`
    WITH settled AS (
      UPDATE ${sql.schema}.task
      SET claim_seq = claim_seq + 1,
        attempted_by = ${attemptedBy}::integer,
        status = 'completed',
        started = statement_timestamp() - make_interval(secs => ${elapsed}),
        completed = statement_timestamp(),
        returned = ${returned},
        failed = NULL,
        crash_count = NULL
      WHERE id = ${id} AND claim_seq = ${claimSeq} AND status = 'created'
      RETURNING id, dependants
    ), waiter AS (
      DELETE FROM ${sql.schema}.result_waiter
      WHERE task_id = ${id} AND EXISTS (SELECT FROM settled)
      RETURNING task_id
    ), ended AS (
      DELETE FROM ${sql.schema}.claim_batch
      WHERE id = ${batchId} AND EXISTS (SELECT FROM settled)
    )
    SELECT 1 / count(*) AS held, -- fails on purpose, with DIVISION_BY_ZERO, if the attempt does not hold the task
      bool_or(dependants) AS dependants, (SELECT count(pg_notify(${sql.schema}.ended_channel(), '')) FROM waiter) AS notified
    FROM settled
  `;
  return row === undefined || row.dependants === true; // a reply in a pipeline may come without its row
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
