import type { Tag } from "../database/driver.ts";
import type { ErrorRow } from "./rows.ts";

/** A step that has ended, as it is to be stored. */
export interface NewStep {
  readonly name: string;
  readonly key: string;
  readonly status: "completed" | "failed";
  readonly seq: number;
  readonly version: number;
  readonly attempt: number;
  /** When it began and ended, by `performance.now()`. */
  readonly began: number;
  readonly ended: number;
  /** The encoded result; null if it failed, or returned undefined. */
  readonly returned: string | null;
  /** Its error as JSON, without `at` and `attempt`; null if it completed. */
  readonly error: string | null;
}

/** A step that has ended in an attempt, and the failures before it that are to be stored with it. */
export interface EndedStep {
  readonly id: number;
  readonly claimSeq: number;
  readonly step: NewStep;
  readonly failures: readonly NewStep[];
}

/** A row of `step`, with the name and queue of its task. */
export interface StepRow {
  readonly func_name: string;
  readonly queue: string;
  readonly name: string;
  readonly key: string;
  readonly status: "completed" | "failed";
  readonly seq: number;
  readonly version: number;
  readonly attempt: number;
  readonly began: Date;
  readonly ended: Date;
  readonly returned: string | null;
  readonly error: Omit<ErrorRow, "at" | "attempt"> | null;
}

/** Reads the steps of a task in the order in which they ended. */
export async function readSteps(sql: Tag, id: number): Promise<StepRow[]> {
  return await sql<StepRow>`
    SELECT step.name, step.key, step.status, step.seq, step.version, step.attempt, step.began, step.ended, step.returned,
      step.error, task.func_name, task.queue
    FROM ${sql.schema}.step
    JOIN ${sql.schema}.task ON task.id = step.task_id
    WHERE step.task_id = ${id}::bigint
    ORDER BY step.seq, step.name, step.key
  `;
}

/** Whether a step of a task is stored. */
export async function isStored(sql: Tag, id: number, { name, key }: Pick<NewStep, "name" | "key">): Promise<boolean> {
  const rows = await sql`
    SELECT FROM ${sql.schema}.step WHERE task_id = ${id}::bigint AND name = ${name}::text AND key = ${key}::text
  `;
  return rows.count > 0;
}

/**
 * Stores steps of many attempts, each only if the attempt still holds its task and no other attempt has stored the step.
 * Resolves to which of them it stored. It waits for no lock: a record that is being deleted is left over.
 *
 * The lock is the weakest that keeps a record from being deleted, so that no step stays behind without one. A rescue
 * may pass it: then the step is stored all the same, and the attempt that has just begun is fenced off by the key.
 */
export async function storeSteps(sql: Tag, ended: readonly EndedStep[]): Promise<boolean[]> {
  const rows = ended.flatMap(({ id, claimSeq, step, failures }, ordinal) => [
    ...failures.map((failure) => toRow(failure, { id, claimSeq, ordinal: null })),
    toRow(step, { id, claimSeq, ordinal }),
  ]);
  const [row] = await sql`
    WITH memo AS MATERIALIZED (
      SELECT *
      FROM json_to_recordset(${JSON.stringify(rows)}::text::json) AS memo (
        task_id bigint, claim_seq integer, ordinal integer, name text, key text, status text, seq integer, version integer,
        attempt integer, ran double precision, age double precision, returned text, error text
      )
    ), held AS MATERIALIZED (
      SELECT task.id, task.claim_seq
      FROM (SELECT DISTINCT task_id, claim_seq FROM memo) AS claim
      JOIN ${sql.schema}.task
        ON task.id = claim.task_id AND task.claim_seq = claim.claim_seq AND task.status = 'created'
      FOR KEY SHARE OF task SKIP LOCKED
    ), stored AS (
      INSERT INTO ${sql.schema}.step
        (task_id, name, key, status, seq, version, attempt, began, ended, returned, error)
      SELECT memo.task_id, memo.name, memo.key, memo.status, memo.seq, memo.version, memo.attempt,
        clock_timestamp() - make_interval(secs => memo.age + memo.ran), clock_timestamp() - make_interval(secs => memo.age),
        memo.returned, memo.error::jsonb
      FROM memo
      JOIN held ON held.id = memo.task_id AND held.claim_seq = memo.claim_seq
      ORDER BY memo.task_id, memo.seq
      ON CONFLICT (task_id, name, key) DO NOTHING
      RETURNING task_id, name, key
    )
    SELECT json_agg(memo.ordinal)::text AS stored
    FROM stored
    JOIN memo USING (task_id, name, key)
    WHERE memo.ordinal IS NOT NULL
  `;
  const stored = new Set<number>(JSON.parse(row!.stored ?? "[]"));
  return ended.map((_, ordinal) => stored.has(ordinal));
}

/**
 * Stores a step in the transaction of its effects. It fails, so that the COMMIT that is sent with it commits nothing, if
 * the attempt no longer holds the task, or another attempt has stored the step: `isNotHeld` recognizes the error. A
 * rescue or cancellation waits for the lock until the transaction has ended.
 */
export async function storeStep(sql: Tag, { id, claimSeq, step, failures }: EndedStep): Promise<void> {
  const rows = [...failures, step].map((each) => toRow(each, { id, claimSeq, ordinal: null }));
  await sql`
    WITH held AS MATERIALIZED (
      SELECT id
      FROM ${sql.schema}.task
      WHERE id = ${id}::bigint AND claim_seq = ${claimSeq}::integer AND status = 'created'
      FOR SHARE
    ), memo AS MATERIALIZED (
      SELECT *
      FROM json_to_recordset(${JSON.stringify(rows)}::text::json) AS memo (
        name text, key text, status text, seq integer, version integer, attempt integer, ran double precision,
        age double precision, returned text, error text
      )
    ), stored AS (
      INSERT INTO ${sql.schema}.step
        (task_id, name, key, status, seq, version, attempt, began, ended, returned, error)
      SELECT held.id, memo.name, memo.key, memo.status, memo.seq, memo.version, memo.attempt,
        clock_timestamp() - make_interval(secs => memo.age + memo.ran), clock_timestamp() - make_interval(secs => memo.age),
        memo.returned, memo.error::jsonb
      FROM held
      CROSS JOIN memo
      ORDER BY memo.seq
      ON CONFLICT (task_id, name, key) DO NOTHING
      RETURNING name, key
    )
    SELECT 1 / count(*) AS held -- fails on purpose, with DIVISION_BY_ZERO, if the step was not stored
    FROM stored
    WHERE name = ${step.name}::text AND key = ${step.key}::text
  `;
}

/** The times of a step are durations, since all times come from the database's clock. */
function toRow(
  { began, ended, ...step }: NewStep,
  { id, claimSeq, ordinal }: { id: number; claimSeq: number; ordinal: number | null },
): object {
  const ran = Math.max(0, ended - began) / 1000;
  const age = Math.max(0, performance.now() - ended) / 1000;
  return { task_id: id, claim_seq: claimSeq, ordinal, ...step, ran, age };
}
