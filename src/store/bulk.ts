import type { Tag } from "../database/driver.ts";
import { toNumber } from "./rows.ts";

/** A task as a list showed it. */
export interface Chosen {
  readonly id: number;
  /** Its fence at that time: nothing is done to a task that has another one by now. Null means whatever it is. */
  readonly claimSeq: number | null;
}

/** What came of an act on many tasks. */
export interface BulkResult {
  /** How many it was done to. */
  readonly done: number;
  /** Those that changed since they were listed: the filter may or may not hold for them now. */
  readonly changed: number[];
}

/*
 * Each of these locks the records in the order of their ids, and waits for whoever holds one: a list is old when its
 * turn comes. `claim_seq` tells whether the record is still the one that was listed, since it grows with the end of
 * every claim, with cancel, retry and replace. A claim alone changes nothing in the record. So where created tasks are
 * meant and running ones are not (`idle`), the task is first taken out of the place where it waits to be claimed: either
 * the claim gets it or the caller.
 */

/** Cancels tasks that have not ended. */
export async function cancelTasks(sql: Tag, chosen: Chosen[], { idle = false } = {}): Promise<BulkResult> {
  const rows = await sql`
    WITH held AS MATERIALIZED (
      SELECT task.id, task.status, task.claim_seq = COALESCE(chosen.claim_seq, task.claim_seq) AS unchanged
      FROM unnest(
        ${chosen.map(({ id }) => id)}::bigint[], ${chosen.map(({ claimSeq }) => claimSeq)}::bigint[]
      ) AS chosen (id, claim_seq)
      JOIN ${sql.schema}.task ON task.id = chosen.id
      ORDER BY task.id
      FOR UPDATE OF task
    ), taken AS MATERIALIZED (
      SELECT id, status, CASE
        WHEN unchanged AND status = 'created' AND ${idle}::boolean THEN ${sql.schema}._unplace(id)
        ELSE unchanged
      END AS unchanged
      FROM held
    )
    SELECT id, unchanged, CASE WHEN unchanged AND status = 'created' THEN ${sql.schema}.cancel(id) END AS done FROM taken
  `;
  return resultOf(rows);
}

/** Schedules failed and cancelled tasks again. */
export async function retryTasks(sql: Tag, chosen: Chosen[]): Promise<BulkResult> {
  const rows = await sql`
    WITH held AS MATERIALIZED (
      SELECT task.id, task.claim_seq = COALESCE(chosen.claim_seq, task.claim_seq) AS unchanged
      FROM unnest(
        ${chosen.map(({ id }) => id)}::bigint[], ${chosen.map(({ claimSeq }) => claimSeq)}::bigint[]
      ) AS chosen (id, claim_seq)
      JOIN ${sql.schema}.task ON task.id = chosen.id
      ORDER BY task.id
      FOR UPDATE OF task
    )
    SELECT id, unchanged, CASE WHEN unchanged THEN ${sql.schema}.retry(id) END AS done FROM held
  `;
  return resultOf(rows);
}

/**
 * Deletes records. A running attempt of a deleted task is fenced off, as it finds no record to end, and its consumer is
 * told to abort it; so are consumers where a slot of a limit is free by this, and whoever awaits a task's result.
 */
export async function deleteTasks(sql: Tag, chosen: Chosen[], { idle = false } = {}): Promise<BulkResult> {
  const rows = await sql`
    WITH held AS MATERIALIZED (
      SELECT task.id, task.status, task.claim_seq = COALESCE(chosen.claim_seq, task.claim_seq) AS unchanged,
        task.concurrency_key IS NOT NULL OR task.rate_key IS NOT NULL AS limited
      FROM unnest(
        ${chosen.map(({ id }) => id)}::bigint[], ${chosen.map(({ claimSeq }) => claimSeq)}::bigint[]
      ) AS chosen (id, claim_seq)
      JOIN ${sql.schema}.task ON task.id = chosen.id
      ORDER BY task.id
      FOR UPDATE OF task
    ), taken AS MATERIALIZED (
      SELECT id, status, unchanged, limited,
        CASE WHEN unchanged AND status = 'created' THEN ${sql.schema}._unplace(id) END AS stood
      FROM held
    ), deleted AS (
      DELETE FROM ${sql.schema}.task
      USING taken
      WHERE task.id = taken.id AND taken.unchanged AND (taken.status <> 'created' OR taken.stood OR NOT ${idle}::boolean)
      RETURNING task.id, taken.status = 'created' AND (taken.limited OR NOT taken.stood) AS notifies
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
    SELECT id, deleted.id IS NOT NULL AS done,
      unchanged AND (deleted.id IS NOT NULL OR status <> 'created') AS unchanged, (SELECT count(*) FROM notified) AS notified
    FROM taken
    LEFT JOIN deleted USING (id)
  `;
  return resultOf(rows);
}

function resultOf(rows: Iterable<{ id?: string; unchanged?: boolean; done?: boolean }>): BulkResult {
  const all = [...rows];
  return {
    done: all.filter(({ done }) => done).length,
    changed: all.filter(({ unchanged }) => !unchanged).map(({ id }) => toNumber(id!)),
  };
}
