import type { Tag } from "../database/driver.ts";
import type { LeftReason, LeftTask } from "../task/record.ts";
import { forgetFailures } from "./failed_tasks.ts";
import { toNumber } from "./rows.ts";

/** A task as it was listed. */
export interface Chosen {
  readonly id: number;
  /** Its `claim_seq` in the list: a task whose `claim_seq` differs by now is left alone. Null accepts any. */
  readonly claimSeq: number | null;
}

/** The outcome of a bulk operation. */
export interface BulkResult {
  /** How many tasks it changed. */
  readonly done: number;
  /** Tasks that changed since they were listed: the filter may no longer match them. */
  readonly changed: number[];
  /** The other tasks, each with the reason for which it was left alone. */
  readonly left: LeftTask[];
}

/** The new place of a task; null keeps what it has. `delay`, in seconds, and `notBefore` exclude each other. */
export interface PlaceChange {
  readonly notBefore: Date | null;
  readonly delay: number | null;
  readonly queue: string | null;
  readonly priority: number | null;
}

/*
 * Each of these locks the records in the order of their ids, and waits for any transaction that holds one: a list may
 * be old by then. `claim_seq` tells whether the record is still as it was listed, since every settle, cancel, retry and
 * replace increments it. A claim does not change the record. So where only tasks that are not running are meant (`idle`),
 * the statement first takes the task out of `ready` or `waiting`: either it gets the row or a claim does.
 */

/** Cancels tasks that have not ended. */
export async function cancelTasks(sql: Tag, chosen: Chosen[], { idle = false } = {}): Promise<BulkResult> {
  const rows = await sql`
    WITH held AS MATERIALIZED (
      ${lockChosen(sql, chosen)}
    ), taken AS MATERIALIZED (
      SELECT id, status, CASE
        WHEN unchanged AND status = 'created' AND ${idle}::boolean
        THEN ${sql.schema}._unplace(id, queue, priority, not_before)
        ELSE unchanged
      END AS unchanged
      FROM held
    )
    SELECT id, unchanged, status AS reason,
      CASE WHEN unchanged AND status = 'created' THEN ${sql.schema}.cancel(id) END AS done
    FROM taken
  `;
  return resultOf(rows);
}

/** Schedules failed and cancelled tasks again. */
export async function retryTasks(sql: Tag, chosen: Chosen[]): Promise<BulkResult> {
  const rows = await sql`
    WITH held AS MATERIALIZED (
      ${lockChosen(sql, chosen)}
    ), outcome AS MATERIALIZED (
      -- Sorted, so that all are locked before the first is retried: that revives its dependants, of which this would
      -- see no more. One that was revived by another is \`created\` then.
      SELECT *, CASE WHEN unchanged THEN ${sql.schema}._retry(id) END AS kept_by FROM held ORDER BY id
    )
    SELECT id, unchanged, CASE
      WHEN status <> 'created' AND kept_by = 'created' THEN 'done'
      WHEN kept_by <> 'created' THEN kept_by
      WHEN ${sql.schema}._is_claimed(id, claim_seq) THEN 'running'
      ELSE 'waiting'
    END AS reason
    FROM outcome
  `;
  return resultOf(rows);
}

/** Makes tasks due now that wait for their time. */
export async function runTasks(sql: Tag, chosen: Chosen[]): Promise<BulkResult> {
  const rows = await sql`
    WITH held AS MATERIALIZED (
      ${lockChosen(sql, chosen)}
    )
    SELECT id, unchanged, CASE WHEN unchanged THEN ${sql.schema}._run(id) END AS reason FROM held
  `;
  return resultOf(rows);
}

/** Gives tasks that have not started another time, queue or priority. */
export async function rescheduleTasks(
  sql: Tag,
  chosen: Chosen[],
  { notBefore, delay, queue, priority }: PlaceChange,
): Promise<BulkResult> {
  const rows = await sql`
    WITH held AS MATERIALIZED (
      ${lockChosen(sql, chosen)}
    )
    SELECT id, unchanged, CASE WHEN unchanged THEN ${sql.schema}._reschedule(
      id, COALESCE(${notBefore}::timestamptz, now() + make_interval(secs => ${delay}::double precision)),
      ${queue}::text, ${priority}::integer
    ) END AS reason
    FROM held
  `;
  return resultOf(rows);
}

/**
 * Deletes records. A running attempt of a deleted task can no longer settle it, and its consumer is notified to abort it.
 * Consumers are also notified where this frees a slot of a limit, and programs that wait for a deleted task's result.
 */
export async function deleteTasks(sql: Tag, chosen: Chosen[], { idle = false } = {}): Promise<BulkResult> {
  const rows = await sql`
    WITH held AS MATERIALIZED (
      ${lockChosen(sql, chosen)}
    ), taken AS MATERIALIZED (
      SELECT id, status, unchanged, limited,
        CASE
          WHEN unchanged AND status = 'created' THEN ${sql.schema}._unplace(id, queue, priority, not_before)
        END AS stood
      FROM held
    ), deleted AS (
      DELETE FROM ${sql.schema}.task
      USING taken
      WHERE task.id = taken.id AND taken.unchanged AND (taken.status <> 'created' OR taken.stood OR NOT ${idle}::boolean)
      RETURNING task.id, taken.status = 'created' AND (taken.limited OR NOT taken.stood) AS notifies
    ), forgotten AS (
      ${
    forgetFailures(sql, sql.raw("SELECT deleted.id FROM deleted JOIN taken USING (id) WHERE taken.status = 'failed'"))
  }
    ), waiter AS (
      DELETE FROM ${sql.schema}.result_waiter
      USING deleted
      WHERE result_waiter.task_id = deleted.id
      RETURNING result_waiter.task_id
    ), notified AS MATERIALIZED (
      SELECT pg_notify(${sql.schema}.control_channel(), '') WHERE EXISTS (SELECT FROM deleted WHERE notifies)
      UNION ALL
      SELECT pg_notify(${sql.schema}.ended_channel(), '') WHERE EXISTS (SELECT FROM waiter)
    )
    SELECT id, deleted.id IS NOT NULL AS done, status AS reason,
      unchanged AND (deleted.id IS NOT NULL OR status <> 'created') AS unchanged, (SELECT count(*) FROM notified) AS notified
    FROM taken
    LEFT JOIN deleted USING (id)
  `;
  return resultOf(rows);
}

/** A part of a statement that locks the chosen records in the order of their ids. */
function lockChosen(sql: Tag, chosen: Chosen[]): unknown {
  return sql
    .fragment`SELECT task.id, task.status, task.queue, task.priority, task.not_before, task.claim_seq,
        task.claim_seq = COALESCE(chosen.claim_seq, task.claim_seq) AS unchanged,
        task.concurrency_key IS NOT NULL OR task.rate_key IS NOT NULL AS limited
      FROM (
        -- By the ids alone, so that the planner joins what is found, and not all records.
        SELECT * FROM ${sql.schema}.task WHERE id = ANY (${chosen.map(({ id }) => id)}::bigint[]) ORDER BY id FOR UPDATE
      ) AS task
      JOIN unnest(
        ${chosen.map(({ id }) => id)}::bigint[], ${chosen.map(({ claimSeq }) => claimSeq)}::bigint[]
      ) AS chosen (id, claim_seq) ON chosen.id = task.id
      ORDER BY task.id`;
}

function resultOf(
  rows: Iterable<{ id?: string; unchanged?: boolean; done?: boolean; reason?: LeftReason | "done" }>,
): BulkResult {
  const result = { done: 0, changed: [] as number[], left: [] as LeftTask[] };
  for (const { id, unchanged, done, reason } of rows) {
    if (!unchanged) result.changed.push(toNumber(id!));
    else if (done || reason === "done") result.done++;
    else result.left.push({ id: toNumber(id!), reason: reason as LeftReason });
  }
  return result;
}
