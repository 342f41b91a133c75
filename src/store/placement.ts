import type { Tag } from "../database/driver.ts";

/*
 * A task that is to run stands in `ready` if it is due and has no limit. Otherwise it stands in `waiting`, with the
 * reason: its time, else its concurrency key, else its rate key. The statements that put tasks back after a claim, a
 * wait or a crash share this rule as parts of their text, since the hot path calls no function of the database.
 *
 * The rule stands again in the SQL functions _place() and _place_inserted(), since an INSERT from anywhere is a scheduled
 * task and no text of this package is there then. parkUnknownTasks() and requeueUnplaced() do not decide: all of
 * their tasks go to `waiting`, for a reason of their own.
 */

/** The tasks to place. */
export interface Placement {
  /**
   * An item of FROM with the columns id, claim_seq, not_before, priority, quarantined, queue, func_name, concurrency_key
   * and rate_key, such as the name of a CTE: `sql.raw("moved")`.
   */
  readonly from: unknown;
  /** A condition that tells which of them are due. By default all are, whatever their `not_before`: they were once. */
  readonly isDue?: unknown;
}

/** An INSERT into `ready` of the tasks that may be claimed. It returns nothing, unless RETURNING follows. */
export function placeInReady(sql: Tag, { from, isDue = sql.raw("true") }: Placement): unknown {
  return sql
    .fragment`INSERT INTO ${sql.schema}.ready (id, claim_seq, not_before, priority, quarantined, queue, func_name)
      SELECT id, claim_seq, not_before, priority, quarantined, queue, func_name
      FROM ${from}
      WHERE ${isDue} AND concurrency_key IS NULL AND rate_key IS NULL`;
}

/**
 * An INSERT into `waiting` of the other tasks: those that are not due, and those that join the limit queues of their
 * keys. With `admits`, consumers will soon admit tasks of these keys; without, the caller does.
 */
export function placeInWaiting(
  sql: Tag,
  { from, isDue = sql.raw("true"), admits }: Placement & { readonly admits: boolean },
): unknown {
  const admitAt = admits
    ? sql.fragment`CASE WHEN ${isDue} THEN statement_timestamp() END`
    : sql.raw("NULL::timestamptz");
  return sql.fragment`INSERT INTO ${sql.schema}.waiting (
        id, claim_seq, not_before, priority, quarantined, queue, func_name, concurrency_key, rate_key, reason, admit_at
      )
      SELECT id, claim_seq, not_before, priority, quarantined, queue, func_name, concurrency_key, rate_key,
        CASE WHEN NOT (${isDue}) THEN 'time' WHEN concurrency_key IS NULL THEN 'rate' ELSE 'concurrency' END, ${admitAt}
      FROM ${from}
      WHERE NOT (${isDue}) OR concurrency_key IS NOT NULL OR rate_key IS NOT NULL`;
}

/**
 * A condition of WHERE: the record `seen` is to run, and stands neither in `ready`, nor in `waiting`, nor in a batch of
 * claims. All in one statement, since a record changes its place with every claim and stands in one in each snapshot.
 */
export function isUnplaced(sql: Tag): unknown {
  return sql.fragment`seen.status = 'created'
        AND NOT COALESCE((
          -- The run that begins last before the task reaches over it, or none does.
          SELECT ready.id + ready.length > seen.id
          FROM ${sql.schema}.ready
          WHERE ready.queue = seen.queue AND ready.priority = seen.priority AND ready.not_before = seen.not_before
            AND ready.id <= seen.id AND ready.claim_seq = seen.claim_seq
          ORDER BY ready.id DESC
          LIMIT 1
        ), false)
        AND (
          -- Not EXISTS, for which the planner might read all of them.
          SELECT true FROM ${sql.schema}.waiting WHERE waiting.id = seen.id AND waiting.claim_seq = seen.claim_seq LIMIT 1
        ) IS NULL
        AND NOT EXISTS (
          SELECT FROM ${sql.schema}._claimed_task AS claim
          WHERE claim.id = seen.id AND claim.claim_seq = seen.claim_seq
        )`;
}
