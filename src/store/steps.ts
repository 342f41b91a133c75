import { formatTime, parseTime } from "../database/times.ts";
import type { Tag } from "../database/driver.ts";
import type { ErrorRow } from "./rows.ts";

/** What a step does: it calls a function, waits, or undoes another one. */
export type StepKind = "step" | "sleep" | "signal" | "call" | "compensation";

/** A step as it is to be stored: one that has ended, or one that waits. */
export interface NewStep {
  readonly name: string;
  readonly key: string;
  readonly kind: StepKind;
  readonly status: "waiting" | "completed" | "failed";
  /** Null while it waits. */
  readonly seq: number | null;
  readonly version: number;
  readonly attempt: number;
  /** How often a step with retries of its own has failed. */
  readonly failures: number;
  /** When it began and ended, by `performance.now()`; `ended` is null while it waits. */
  readonly began: number;
  readonly ended: number | null;
  /** When its wait ends: in so many seconds, or at a time; null keeps the time that is stored. */
  readonly due: number | Date | null;
  /** The id of the signal that it has received. */
  readonly received: number | null;
  /** The encoded result; null if it failed, waits, or returned undefined. */
  readonly returned: string | null;
  /** Its error as JSON, without `at` and `attempt`; null if there is none. */
  readonly error: string | null;
}

/** A step that has ended in an attempt, and the facts before it that are to be stored with it: failures, ended waits. */
export interface EndedStep {
  readonly id: number;
  readonly claimSeq: number;
  readonly step: NewStep;
  readonly failures: readonly NewStep[];
}

/** A row of `step`, with the name and queue of its task. */
export interface StepRow extends Pick<NewStep, "name" | "key" | "kind" | "status" | "seq" | "version" | "attempt"> {
  readonly func_name: string;
  readonly queue: string;
  readonly failures: number;
  readonly began: Date;
  readonly ended: Date | null;
  /** When a sleep ends, a wait for a signal is given up, or a step is tried again. */
  readonly due: Date | null;
  /** The tasks that a call scheduled, in their order. */
  readonly callees: number[] | null;
  readonly returned: string | null;
  readonly error: Omit<ErrorRow, "at" | "attempt"> | null;
}

/** A signal that no step has received. */
export interface SignalRow {
  readonly id: number;
  readonly name: string;
  readonly payload: string | null;
  readonly sent: Date;
}

/** What is stored of a task's handler. */
export interface StoredSteps {
  /** In the order in which they ended; those that wait come last. */
  readonly steps: StepRow[];
  /** In the order in which they were sent. */
  readonly signals: SignalRow[];
  /** The time of the database. */
  readonly now: Date;
}

/** Reads the steps of a task, and the signals that no step has received, in one statement. */
export async function readSteps(sql: Tag, id: number): Promise<StoredSteps> {
  const [row] = await sql`
    SELECT task.func_name, task.queue, clock_timestamp() AS now, (
      SELECT json_agg(own ORDER BY own.seq, own.began, own.name, own.key)
      FROM (
        SELECT name, key, kind, status, seq, version, attempt, failures, began, ended, due, callees, returned, error
        FROM ${sql.schema}.step
        WHERE step.task_id = ${id}::bigint
      ) AS own
    ) AS steps, (
      SELECT json_agg(own ORDER BY own.id)
      FROM (SELECT id, name, payload, sent FROM ${sql.schema}.signal WHERE signal.task_id = ${id}::bigint) AS own
    ) AS signals
    FROM (SELECT) AS once
    LEFT JOIN ${sql.schema}.task ON task.id = ${id}::bigint
  `;
  const { func_name, queue, now, steps, signals } = row!;
  return {
    steps: (steps ?? []).map((step: StepJson) => ({
      ...step,
      began: parseTime(step.began),
      ended: step.ended === null ? null : parseTime(step.ended),
      due: step.due === null ? null : parseTime(step.due),
      func_name,
      queue,
    })),
    signals: (signals ?? []).map((signal: SignalJson) => ({ ...signal, sent: parseTime(signal.sent) })),
    now,
  };
}

/** Rows as JSON has them. */
type StepJson = Omit<StepRow, "began" | "ended" | "due"> & { began: string; ended: string | null; due: string | null };
type SignalJson = Omit<SignalRow, "sent"> & { sent: string };

/** Whether a step of a task is stored, and does not wait. */
export async function isStored(sql: Tag, id: number, { name, key }: Pick<NewStep, "name" | "key">): Promise<boolean> {
  const rows = await sql`
    SELECT
    FROM ${sql.schema}.step
    WHERE task_id = ${id}::bigint AND name = ${name}::text AND key = ${key}::text AND status <> 'waiting'
  `;
  return rows.count > 0;
}

/** The columns of a step as they are read from JSON: {@linkcode toStepJson} makes it. */
const MEMO =
  `task_id bigint, claim_seq integer, ordinal integer, name text, key text, kind text, status text, seq integer,
        version integer, attempt integer, failures integer, ran double precision, age double precision,
        delay double precision, due timestamptz, received bigint, returned text, error text`;

const COLUMNS = "task_id, name, key, kind, status, seq, version, attempt, failures, began, ended, due, returned, error";

/** The values of {@linkcode COLUMNS} without the first, of a row of `memo`. A time that the server cannot add is never. */
const VALUES = `memo.name, memo.key, memo.kind, memo.status, memo.seq, memo.version, memo.attempt, memo.failures,
        clock_timestamp() - make_interval(secs => memo.age + memo.ran),
        CASE WHEN memo.status <> 'waiting' THEN clock_timestamp() - make_interval(secs => memo.age) END,
        COALESCE(memo.due, CASE
          WHEN memo.delay > 1e11 THEN 'infinity'
          ELSE clock_timestamp() + make_interval(secs => memo.delay)
        END), memo.returned, memo.error::jsonb`;

/** A step is stored over one that waits, and over no other: when that began, and for what it waited, stays. */
const OVER_WAITING = `ON CONFLICT (task_id, name, key) DO UPDATE
      SET status = excluded.status, seq = excluded.seq, version = excluded.version, attempt = excluded.attempt,
        failures = excluded.failures, ended = excluded.ended, due = COALESCE(excluded.due, old.due),
        returned = excluded.returned, error = excluded.error
      WHERE old.status = 'waiting'`;

/**
 * Stores steps of many attempts, each only if the attempt still holds its task and no other attempt has stored the step.
 * Resolves to which of them it stored. It waits for no lock: a record that is being deleted is left over.
 *
 * The lock is the weakest that keeps a record from being deleted, so that no step stays behind without one. A rescue
 * may pass it: then the step is stored all the same, and the attempt that has just begun is fenced off by the key.
 */
export async function storeSteps(sql: Tag, ended: readonly EndedStep[]): Promise<boolean[]> {
  const rows = ended.flatMap(({ id, claimSeq, step, failures }, ordinal) => [
    ...failures.map((failure) => toStepJson(failure, { id, claimSeq, ordinal: null })),
    toStepJson(step, { id, claimSeq, ordinal }),
  ]);
  const [row] = await sql`
    WITH memo AS MATERIALIZED (
      SELECT * FROM json_to_recordset(${JSON.stringify(rows)}::text::json) AS memo (${sql.raw(MEMO)})
    ), held AS MATERIALIZED (
      -- By the ids alone: the steps are joined by the fences, too.
      SELECT id, claim_seq
      FROM ${sql.schema}.task
      WHERE id = ANY (ARRAY(SELECT task_id FROM memo)) AND status = 'created'
      FOR KEY SHARE SKIP LOCKED
    ), stored AS (
      INSERT INTO ${sql.schema}.step AS old (${sql.raw(COLUMNS)})
      SELECT memo.task_id, ${sql.raw(VALUES)}
      FROM memo
      JOIN held ON held.id = memo.task_id AND held.claim_seq = memo.claim_seq
      ORDER BY memo.task_id, memo.seq
      ${sql.raw(OVER_WAITING)}
      RETURNING task_id, name, key
    )${receive(sql, ended)}
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
export async function storeStep(sql: Tag, ended: EndedStep): Promise<void> {
  const { id, claimSeq, step, failures } = ended;
  const rows = [...failures, step].map((each) => toStepJson(each, { id, claimSeq, ordinal: null }));
  await sql`
    WITH held AS MATERIALIZED (
      SELECT id
      FROM ${sql.schema}.task
      WHERE id = ${id}::bigint AND claim_seq = ${claimSeq}::integer AND status = 'created'
      FOR SHARE
    ), memo AS MATERIALIZED (
      SELECT * FROM json_to_recordset(${JSON.stringify(rows)}::text::json) AS memo (${sql.raw(MEMO)})
    ), stored AS (
      INSERT INTO ${sql.schema}.step AS old (${sql.raw(COLUMNS)})
      SELECT held.id, ${sql.raw(VALUES)}
      FROM held
      CROSS JOIN memo
      ORDER BY memo.seq
      ${sql.raw(OVER_WAITING)}
      RETURNING task_id, name, key
    ), received AS (
      -- In any case: sessions prepare the statement once, by its text here.
      DELETE FROM ${sql.schema}.signal
      USING memo
      JOIN stored USING (task_id, name, key)
      WHERE signal.id = memo.received AND signal.task_id = memo.task_id
    )
    SELECT 1 / count(*) AS held -- fails on purpose, with DIVISION_BY_ZERO, if the step was not stored
    FROM stored
    WHERE name = ${step.name}::text AND key = ${step.key}::text
  `;
}

/** A CTE that deletes the signals which the stored steps have received; nothing if there are none, as usual. */
function receive(sql: Tag, ended: readonly EndedStep[]): unknown {
  const hasReceived = ended.some(({ step, failures }) => [step, ...failures].some(({ received }) => received !== null));
  return hasReceived
    ? sql.fragment`, received AS (
      DELETE FROM ${sql.schema}.signal
      USING memo
      JOIN stored USING (task_id, name, key)
      WHERE signal.id = memo.received AND signal.task_id = memo.task_id
    )`
    : sql.raw("");
}

/** A step as the statements read it. Its times are durations, since all times come from the database's clock. */
export function toStepJson(
  { began, ended, due, ...step }: NewStep,
  { id, claimSeq, ordinal }: { id: number; claimSeq?: number; ordinal?: number | null },
): object {
  const now = performance.now();
  return {
    task_id: id,
    claim_seq: claimSeq,
    ordinal,
    ...step,
    ran: Math.max(0, (ended ?? now) - began) / 1000,
    age: Math.max(0, now - (ended ?? now)) / 1000,
    delay: typeof due === "number" ? due : null,
    due: due instanceof Date ? formatTime(due) : null,
  };
}
