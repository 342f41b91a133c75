import type { Tag } from "../database/driver.ts";
import { toNumber } from "./rows.ts";

/** What a suspended task waits for. `retry`: a step of it has failed, and is tried again later. */
export type WaitKind = "signal" | "sleep" | "call" | "retry";

/** Every kind, in the order in which pages list them. */
export const WAIT_KINDS: readonly WaitKind[] = ["signal", "sleep", "call", "retry"];

/** A wait of a kind, and of a name unless any will do. */
export interface WaitedFor {
  readonly kind: WaitKind;
  readonly name: string | null;
}

/** Counting the tasks that wait for one thing stops here, and looking for them there. */
const [MOST_AWAITED, MOST_LOOKED] = [1_000, 10_000];
/** How many names of things that are waited for are read. */
const MOST_NAMES = 300;

/** The tasks that wait for something of one kind and name. */
export interface Waits extends WaitedFor {
  readonly name: string;
  /** How many there are: up to 1,000. */
  readonly tasks: number;
  /** Whether there are more than 1,000. */
  readonly more: boolean;
  /** The task that has waited longest, and since when. */
  readonly oldest: number;
  readonly since: Date;
}

/** The kinds of rows of `step` that a wait of each kind has. */
const STEP_KINDS: Readonly<Record<WaitKind, readonly string[]>> = {
  signal: ["signal"],
  sleep: ["sleep"],
  call: ["call"],
  retry: ["step", "compensation"],
};

/**
 * A part of WITH RECURSIVE, called `awaited`: the kinds and names of steps that wait, and NULL at the end. It steps from
 * each to the next by one probe of the index `step_waiting`.
 */
export function awaitedSteps(sql: Tag): unknown {
  return sql.fragment`awaited AS (
      (SELECT kind, name FROM ${sql.schema}.step WHERE status = 'waiting' ORDER BY kind, name LIMIT 1)
      UNION ALL
      SELECT next.kind, next.name
      FROM awaited
      CROSS JOIN LATERAL (
        SELECT step.kind, step.name
        FROM ${sql.schema}.step
        WHERE step.status = 'waiting' AND (step.kind, step.name) > (awaited.kind, awaited.name)
        ORDER BY step.kind, step.name
        LIMIT 1
      ) AS next
    )`;
}

/** Whether the task of a row of `step` is suspended, not over or about to go on. */
export function isSuspended(sql: Tag): unknown {
  return sql.fragment`EXISTS (
          SELECT FROM ${sql.schema}.waiting
          WHERE waiting.id = step.task_id AND waiting.suspended
            AND (waiting.reason = 'suspended' OR waiting.not_before > statement_timestamp())
        )`;
}

/**
 * Counts what suspended tasks wait for by kind and name, of the first 300 names: up to 1,001 of each, the oldest first. So
 * it takes as long with 100,000 sleepers as with 1,000.
 */
export async function readWaits(sql: Tag): Promise<Waits[]> {
  const rows = await sql`
    WITH RECURSIVE ${awaitedSteps(sql)}
    SELECT CASE WHEN awaited.kind IN ('step', 'compensation') THEN 'retry' ELSE awaited.kind END AS kind, awaited.name,
      count(*)::integer AS tasks, count(*) > ${MOST_AWAITED}::integer AS more, min(row.began) AS since,
      (array_agg(row.task_id ORDER BY row.began, row.task_id))[1] AS oldest
    FROM (SELECT kind, name FROM awaited LIMIT ${MOST_NAMES}::bigint) AS awaited
    CROSS JOIN LATERAL (
      SELECT first.began, first.task_id
      FROM (
        SELECT step.task_id, step.began
        FROM ${sql.schema}.step
        WHERE step.status = 'waiting' AND step.kind = awaited.kind AND step.name = awaited.name
          -- Not the step that says that a task compensates.
          AND (step.kind <> 'compensation' OR step.due IS NOT NULL)
        ORDER BY step.began, step.task_id
        LIMIT ${MOST_LOOKED}::bigint
      ) AS first
      -- LIMIT looks each up by its id, where the planner would read all that wait. A task that was cancelled keeps its row.
      CROSS JOIN LATERAL (
        SELECT FROM ${sql.schema}.waiting
        WHERE waiting.id = first.task_id AND waiting.suspended
          AND (waiting.reason = 'suspended' OR waiting.not_before > statement_timestamp())
        LIMIT 1
      ) AS place
      LIMIT ${MOST_AWAITED + 1}::bigint
    ) AS row
    GROUP BY 1, 2
    ORDER BY tasks DESC, 1, awaited.name COLLATE "C"
  `;
  return rows.map((row) => ({
    kind: row.kind,
    name: row.name,
    tasks: Math.min(row.tasks, MOST_AWAITED),
    more: row.more,
    oldest: toNumber(row.oldest),
    since: row.since,
  }));
}

/** Whether a row with `kind` and `name` is one of these waits. */
export function matchesWait(sql: Tag, waits: readonly WaitedFor[], row: string): unknown {
  const pairs = waits.flatMap(({ kind, name }) => STEP_KINDS[kind].map((kind) => ({ kind, name })));
  return sql.fragment`EXISTS (
          SELECT
          FROM json_to_recordset(${JSON.stringify(pairs)}::text::json) AS sought (kind text, name text)
          WHERE sought.kind = ${sql.raw(row)}.kind AND (sought.name IS NULL OR sought.name = ${sql.raw(row)}.name)
        )`;
}

/** The condition that a record of `task` is suspended and waits for one of these. */
export function awaitsOne(sql: Tag, waits: readonly WaitedFor[]): unknown {
  return sql.fragment`EXISTS (
        SELECT
        FROM ${sql.schema}.step
        WHERE step.task_id = task.id AND step.status = 'waiting' AND ${matchesWait(sql, waits, "step")}
          AND ${isSuspended(sql)}
      )`;
}
