import type { Tag } from "../database/driver.ts";
import { queueSteps } from "./queue_steps.ts";
import { meets, type TaskConditions } from "./task_lists.ts";
import { toNumber } from "./rows.ts";

/** A place in a list that is in the order of a time: after it comes the next page. */
export interface TimeCursor {
  /** 0 where the list does not go by priority. */
  readonly priority: number;
  /** As PostgreSQL writes it, as a Date has no microseconds. */
  readonly time: string;
  readonly id: number;
}

/** A task that is in a place, with the place after which the list goes on. */
export interface Placed {
  readonly id: number;
  readonly cursor: TimeCursor;
}

/** Before all tasks of any list. */
const START: TimeCursor = { priority: 2 ** 31, time: "-infinity", id: -1 };

function toPlaced({ id, priority = 0, time }: { id?: string; priority?: number; time?: string }): Placed {
  return { id: toNumber(id!), cursor: { priority, time: time!, id: toNumber(id!) } };
}

/**
 * Finds the next tasks that are due, in the order of claims. It reads the beginning of each queue by `ready_order`, so
 * that it takes as long with a million ready tasks. A task whose time has come may still stand in `waiting`, where it is
 * if no consumer of its queue lives.
 */
export async function nextDue(
  sql: Tag,
  { queues, after, limit }: { queues?: readonly string[] | undefined; after: TimeCursor | null; limit: number },
): Promise<Placed[]> {
  const { priority, time, id } = after ?? START;
  const rows = await sql`
    WITH RECURSIVE ${queueSteps(sql, "ready_queue", { table: "ready" })}, due AS (
      SELECT run.id, run.length, run.priority, run.not_before
      FROM ready_queue
      CROSS JOIN LATERAL (
        (
          SELECT ready.id, ready.length, ready.priority, ready.not_before
          FROM ${sql.schema}.ready
          WHERE ready.queue = ready_queue.queue AND ready.priority = ${priority}::bigint
            AND ready.not_before >= ${time}::text::timestamptz
            AND (ready.not_before > ${time}::text::timestamptz OR ready.id + ready.length > ${id}::bigint + 1)
          ORDER BY ready.priority DESC, ready.not_before, ready.id
          LIMIT ${limit}::bigint
        )
        UNION ALL
        (
          SELECT ready.id, ready.length, ready.priority, ready.not_before
          FROM ${sql.schema}.ready
          WHERE ready.queue = ready_queue.queue AND ready.priority < ${priority}::bigint
          ORDER BY ready.priority DESC, ready.not_before, ready.id
          LIMIT ${limit}::bigint
        )
      ) AS run
      WHERE ${queues ?? null}::text[] IS NULL OR ready_queue.queue = ANY (${queues ?? null}::text[])
      UNION ALL
      (
        SELECT waiting.id, 1, waiting.priority, waiting.not_before
        FROM ${sql.schema}.waiting
        WHERE waiting.reason = 'time' AND waiting.not_before <= statement_timestamp()
          AND waiting.concurrency_key IS NULL AND waiting.rate_key IS NULL
          AND (${queues ?? null}::text[] IS NULL OR waiting.queue = ANY (${queues ?? null}::text[]))
        LIMIT 10000
      )
    )
    SELECT task.id, due.priority, due.not_before::text AS time
    FROM due
    CROSS JOIN generate_series(due.id, due.id + due.length - 1) AS task (id)
    WHERE due.priority < ${priority}::bigint
      OR (due.priority = ${priority}::bigint AND (due.not_before, task.id) > (${time}::text::timestamptz, ${id}::bigint))
    ORDER BY due.priority DESC, due.not_before, task.id
    LIMIT ${limit}::bigint
  `;
  return rows.map(toPlaced);
}

/** Finds the next tasks that wait for their time, those whose time comes first before the others, by `waiting_due`. */
export async function nextTimed(
  sql: Tag,
  { queues, after, limit }: { queues?: readonly string[] | undefined; after: TimeCursor | null; limit: number },
): Promise<Placed[]> {
  const { time, id } = after ?? START;
  const rows = await sql`
    WITH RECURSIVE ${queueSteps(sql, "timed_queue", { table: "waiting", where: "reason = 'time'" })}
    SELECT timed.id, timed.not_before::text AS time
    FROM timed_queue
    CROSS JOIN LATERAL (
      SELECT waiting.id, waiting.not_before
      FROM ${sql.schema}.waiting
      WHERE waiting.queue = timed_queue.queue AND waiting.reason = 'time' AND waiting.suspended IS NULL
        AND waiting.not_before > statement_timestamp() AND waiting.not_before >= ${time}::text::timestamptz
        AND (waiting.not_before > ${time}::text::timestamptz OR waiting.id > ${id}::bigint)
      ORDER BY waiting.not_before, waiting.id
      LIMIT ${limit}::bigint
    ) AS timed
    WHERE ${queues ?? null}::text[] IS NULL OR timed_queue.queue = ANY (${queues ?? null}::text[])
    ORDER BY timed.not_before, timed.id
    LIMIT ${limit}::bigint
  `;
  return rows.map(toPlaced);
}

/** Finds the next tasks that run, those that were claimed first before the others: as many as consumers hold. */
export async function nextRunning(
  sql: Tag,
  { after, limit }: { after: TimeCursor | null; limit: number },
): Promise<Placed[]> {
  const { time, id } = after ?? START;
  const rows = await sql`
    SELECT held.id, held.claimed::text AS time
    FROM ${sql.schema}._claimed_task AS held
    -- Each by its id: the planner expects thousands of tasks for each batch, and would read all records instead.
    CROSS JOIN LATERAL (
      SELECT FROM ${sql.schema}.task
      WHERE task.id = held.id AND task.claim_seq = held.claim_seq AND task.status = 'created'
      OFFSET 0
    ) AS task
    WHERE (held.claimed, held.id) > (${time}::text::timestamptz, ${id}::bigint)
    ORDER BY held.claimed, held.id
    LIMIT ${limit}::bigint
  `;
  return rows.map(toPlaced);
}

/** Finds the next tasks below `before` that wait for whatever reason, newest first, and whether it is one of `reasons`. */
export async function nextWaiting(
  sql: Tag,
  { reasons, before, limit }: { reasons: readonly string[]; before: number | null; limit: number },
): Promise<{ id: number; isWanted: boolean }[]> {
  const rows = await sql`
    SELECT id, CASE
      WHEN suspended AND not_before > statement_timestamp() THEN 'suspended' = ANY (${reasons}::text[])
      WHEN reason <> 'time' OR not_before > statement_timestamp() THEN reason = ANY (${reasons}::text[])
      -- Its time has come: it is due, or waits for its limits, although a consumer has yet to move it.
      ELSE (concurrency_key IS NOT NULL OR rate_key IS NOT NULL) AND 'concurrency' = ANY (${reasons}::text[])
    END AS wanted
    FROM ${sql.schema}.waiting
    WHERE ${before}::bigint IS NULL OR id < ${before}::bigint
    ORDER BY id DESC
    LIMIT ${limit}::bigint
  `;
  return rows.map(({ id, wanted }) => ({ id: toNumber(id), isWanted: wanted }));
}

/** Returns those of these tasks that meet the conditions, in their order. */
export async function keepMatching(sql: Tag, ids: readonly number[], conditions: TaskConditions): Promise<number[]> {
  const rows = await sql`
    SELECT listed.id
    FROM unnest(${ids}::bigint[]) WITH ORDINALITY AS listed (id, ordinal)
    JOIN ${sql.schema}.task ON task.id = listed.id
    WHERE ${meets(sql, conditions)}
    ORDER BY listed.ordinal
  `;
  return rows.map(({ id }) => toNumber(id));
}
