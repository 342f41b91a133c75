import type { Tag } from "../database/driver.ts";
import { toNumber } from "./rows.ts";

/** Rows that a check looks at: waiting tasks, or steps. */
const MOST_WAITING = 20_000;
const MOST_STEPS = 100_000;

/** A suspended task that nothing moves on. */
export interface StuckWait {
  readonly id: number;
  readonly priority: number;
}

/**
 * Finds suspended tasks that should have gone on: they wait for callees of which none is open, for a signal that was sent
 * a minute ago, or for nothing at all. Edits by hand leave such ones. It looks at 20,000 suspended tasks.
 */
export async function findStuckWaits(sql: Tag): Promise<StuckWait[]> {
  const rows = await sql`
    SELECT place.id, place.priority
    FROM (
      SELECT id, claim_seq, priority, reason, pending, signals
      FROM ${sql.schema}.waiting
      WHERE suspended
      LIMIT ${MOST_WAITING}
    ) AS place
    JOIN ${sql.schema}.task ON task.id = place.id AND task.claim_seq = place.claim_seq AND task.status = 'created'
    WHERE place.reason = 'suspended' AND place.pending IS NULL AND place.signals IS NULL
      OR place.pending IS NOT NULL AND NOT EXISTS (
        SELECT
        FROM ${sql.schema}.dependency
        WHERE dependency.task_id = place.id AND dependency.called AND dependency.status IS NULL
      )
      OR place.signals IS NOT NULL AND EXISTS (
        SELECT
        FROM ${sql.schema}.signal
        WHERE signal.task_id = place.id AND signal.name = ANY (place.signals)
          AND signal.sent < now() - interval '1 minute'
      )
    ORDER BY place.id
    LIMIT 100
  `;
  return rows.map(({ id, priority }) => ({ id: toNumber(id), priority }));
}

/** A task that waits for a signal. */
export interface LongWait {
  readonly id: number;
  readonly funcName: string;
  readonly signal: string;
  readonly seconds: number;
}

/** Finds tasks that have waited for a signal for longer than `days`, the longest first: of 20,000 suspended ones. */
export async function findLongWaits(sql: Tag, days: number): Promise<LongWait[]> {
  const rows = await sql`
    SELECT step.task_id AS id, place.func_name AS "funcName", step.name AS signal,
      EXTRACT(epoch FROM now() - step.began)::double precision AS seconds
    FROM (
      SELECT id, func_name, signals
      FROM ${sql.schema}.waiting
      WHERE suspended AND signals IS NOT NULL
      LIMIT ${MOST_WAITING}
    ) AS place
    JOIN ${sql.schema}.step ON step.task_id = place.id AND step.name = ANY (place.signals)
    WHERE step.kind = 'signal' AND step.status = 'waiting' AND step.began < now() - make_interval(days => ${days}::integer)
    ORDER BY step.began, step.task_id
    LIMIT 100
  `;
  return rows.map((row) => ({ ...row, id: toNumber(row.id) }) as unknown as LongWait);
}

/** Steps and signals of tasks that have no record. */
export interface Orphans {
  readonly steps: number;
  readonly signals: number;
}

/**
 * Counts the tasks without a record that have steps, or signals: among the first and last 100,000 steps and the first
 * 100,000 signals by the ids of the tasks, as it is the oldest records that are deleted.
 */
export async function countOrphans(sql: Tag): Promise<Orphans> {
  const [row] = await sql`
    WITH stepped AS MATERIALIZED (
      (SELECT task_id FROM ${sql.schema}.step ORDER BY task_id LIMIT ${MOST_STEPS})
      UNION
      (SELECT task_id FROM ${sql.schema}.step ORDER BY task_id DESC LIMIT ${MOST_STEPS})
    ), signalled AS MATERIALIZED (
      SELECT DISTINCT task_id
      FROM (SELECT task_id FROM ${sql.schema}.signal ORDER BY task_id LIMIT ${MOST_STEPS}) AS first
    )
    SELECT (
        SELECT count(*)::integer FROM stepped
        WHERE NOT EXISTS (SELECT FROM ${sql.schema}.task WHERE task.id = stepped.task_id)
      ) AS steps, (
        SELECT count(*)::integer FROM signalled
        WHERE NOT EXISTS (SELECT FROM ${sql.schema}.task WHERE task.id = signalled.task_id)
      ) AS signals
  `;
  return { steps: row!.steps, signals: row!.signals };
}

/** A name of a task's steps that has many keys. */
export interface ManySteps {
  readonly id: number;
  readonly name: string;
  readonly count: number;
}

/** Finds names of steps with more than `most` keys in one task, the most first: among the newest 100,000 steps. */
export async function findManySteps(sql: Tag, most: number): Promise<ManySteps[]> {
  const rows = await sql`
    SELECT task_id AS id, name, count(*)::integer AS count
    FROM (SELECT task_id, name FROM ${sql.schema}.step ORDER BY task_id DESC LIMIT ${MOST_STEPS}) AS newest
    GROUP BY task_id, name
    HAVING count(*) > ${most}::bigint
    ORDER BY count DESC, task_id
    LIMIT 100
  `;
  return rows.map((row) => ({ ...row, id: toNumber(row.id) }) as unknown as ManySteps);
}

/** A task whose last attempt ended with StepsChanged. */
export interface ChangedSteps {
  readonly id: number;
  readonly funcName: string;
  /** Names of steps and what to do: Firefly's own text, without data of the handler's. */
  readonly message: string;
}

/** Finds tasks that rest until the code of their steps is mended: of 20,000 that wait for their time, and 20,000 ready ones. */
export async function findChangedSteps(sql: Tag): Promise<ChangedSteps[]> {
  const rows = await sql`
    SELECT task.id, task.func_name::text AS "funcName", task.errors -> -1 ->> 'message' AS message
    FROM (
      (
        SELECT id, claim_seq
        FROM ${sql.schema}.waiting
        WHERE reason = 'time' AND suspended IS NULL
        ORDER BY queue, not_before
        LIMIT ${MOST_WAITING}
      )
      UNION ALL
      (SELECT id, claim_seq FROM ${sql.schema}.ready WHERE length = 1 LIMIT ${MOST_WAITING})
    ) AS place
    JOIN ${sql.schema}.task ON task.id = place.id AND task.claim_seq = place.claim_seq AND task.status = 'created'
    WHERE task.errors -> -1 ->> 'name' = 'StepsChanged'
    ORDER BY task.id
    LIMIT 100
  `;
  return rows.map((row) => ({ ...row, id: toNumber(row.id) }) as unknown as ChangedSteps);
}
