import type { Tag } from "../database/driver.ts";
import type { LimitKeys } from "./limits.ts";
import { placeInReady, placeInWaiting } from "./placement.ts";

/** The outcome of promoting due tasks, with the keys to admit tasks for. */
export interface Promotion extends LimitKeys {
  /** How many tasks were moved. */
  moved: number;
}

/**
 * Moves up to 1,000 due tasks from `waiting` to `ready`, or to their limit queues if they are limited, and notifies.
 * Resolves to the keys of all limit queues that may admit tasks now; the caller admits them afterwards.
 */
export async function promoteDueTasks(sql: Tag, queues: string[]): Promise<Promotion> {
  const [row] = await sql`
    WITH due AS MATERIALIZED (
      SELECT ctid AS place
      FROM ${sql.schema}.waiting
      WHERE queue = ANY (${queues}::text[]) AND reason = 'time' AND not_before <= now()
      ORDER BY not_before
      LIMIT 1000
      FOR UPDATE SKIP LOCKED
    ), moved AS (
      DELETE FROM ${sql.schema}.waiting
      WHERE ctid = ANY (ARRAY(SELECT place FROM due))
      RETURNING waiting.*
    ), placed AS (
      ${placeInReady(sql, { from: sql.raw("moved") })}
      RETURNING queue
    ), placed_waiting AS (
      ${placeInWaiting(sql, { from: sql.raw("moved"), admits: false })}
      RETURNING concurrency_key, rate_key
    ), marked AS MATERIALIZED (
      SELECT ctid AS place
      FROM ${sql.schema}.waiting
      WHERE queue = ANY (${queues}::text[]) AND admit_at <= now()
      LIMIT 1000
      FOR UPDATE SKIP LOCKED
    ), requested AS (
      UPDATE ${sql.schema}.waiting
      SET admit_at = NULL
      WHERE ctid = ANY (ARRAY(SELECT place FROM marked))
      RETURNING concurrency_key, rate_key
    ), limit_queue AS (
      SELECT concurrency_key, rate_key FROM placed_waiting
      UNION
      SELECT concurrency_key, rate_key FROM requested
    ), notified AS MATERIALIZED (
      SELECT ${sql.schema}._notify(queue) FROM (SELECT DISTINCT queue FROM placed) AS filled
    )
    SELECT (SELECT count(*) FROM moved)::integer AS moved, (SELECT count(*) FROM notified) AS notified,
      ARRAY(SELECT DISTINCT concurrency_key FROM limit_queue WHERE concurrency_key IS NOT NULL) AS concurrency_keys,
      ARRAY(SELECT DISTINCT rate_key FROM limit_queue WHERE rate_key IS NOT NULL) AS rate_keys
  `;
  return { moved: row!.moved, concurrencyKeys: row!.concurrency_keys, rateKeys: row!.rate_keys };
}

/** Tasks of one name and queue that were parked. */
export interface ParkedTasks {
  readonly funcName: string;
  readonly queue: string;
  readonly count: number;
}

/**
 * Moves tasks that no live consumer of their queue knows from `ready` to `waiting`, out of the first 10,000 runs of each
 * queue, up to 10,000 tasks a call; resolves to how many of each name and queue. Otherwise every claim skips them: 100,000
 * runs cost it 15 ms. Quarantined tasks stay, since they are few: the consumers that know one may have crashed because of
 * it.
 */
export async function parkUnknownTasks(sql: Tag, queues: string[]): Promise<ParkedTasks[]> {
  const rows = await sql`
    WITH stranger AS MATERIALIZED (
      SELECT head.place, sum(head.length) OVER (ORDER BY head.id) - head.length AS before
      FROM unnest(${queues}::text[]) AS served (name), LATERAL (
        SELECT ready.ctid AS place, ready.id, ready.length, ready.queue, ready.func_name, ready.quarantined
        FROM ${sql.schema}.ready
        WHERE ready.queue = served.name
        ORDER BY ready.priority DESC, ready.not_before, ready.id
        LIMIT 10000
      ) AS head
      WHERE NOT head.quarantined AND NOT EXISTS (
        SELECT FROM ${sql.schema}.consumer
        WHERE consumer.lease_until > now()
          AND (consumer.all_queues OR head.queue = ANY (consumer.queues)) AND head.func_name = ANY (consumer.tasks)
      )
    ), held AS MATERIALIZED (
      SELECT ctid AS place
      FROM ${sql.schema}.ready
      WHERE ctid = ANY (ARRAY(SELECT place FROM stranger WHERE before < 10000))
      FOR UPDATE SKIP LOCKED
    ), deleted AS (
      DELETE FROM ${sql.schema}.ready
      WHERE ctid = ANY (ARRAY(SELECT place FROM held))
      RETURNING id, length, claim_seq, not_before, priority, queue, func_name
    ), moved AS (
      SELECT deleted.id + place AS id, claim_seq, not_before, priority, queue, func_name
      FROM deleted, generate_series(0, deleted.length - 1) AS place
    ), freed AS (
      -- Not by a stale row: its task may be running by now, with a slot.
      DELETE FROM ${sql.schema}.slot
      WHERE ctid = ANY (ARRAY(
        SELECT slot.ctid
        FROM ${sql.schema}.slot
        WHERE until IS NULL AND task_id = ANY (ARRAY(
          SELECT moved.id
          FROM moved
          -- OFFSET 0 has each looked up by its id, however many the planner expects.
          CROSS JOIN LATERAL (SELECT task.claim_seq FROM ${sql.schema}.task WHERE task.id = moved.id OFFSET 0) AS task
          WHERE task.claim_seq = moved.claim_seq
        ))
        FOR UPDATE SKIP LOCKED
      ))
      RETURNING task_id
    ), parked AS (
      INSERT INTO ${sql.schema}.waiting (
        id, claim_seq, not_before, priority, queue, func_name, concurrency_key, rate_key, reason
      )
      SELECT moved.id, moved.claim_seq, moved.not_before, moved.priority, moved.queue, moved.func_name,
        task.concurrency_key, task.rate_key, 'unknown'
      FROM moved
      LEFT JOIN LATERAL (
        SELECT task.concurrency_key, task.rate_key FROM ${sql.schema}.task WHERE task.id = moved.id OFFSET 0
      ) AS task ON true
      RETURNING queue, func_name
    )
    SELECT func_name, queue, count(*)::integer AS count FROM parked GROUP BY func_name, queue ORDER BY queue, func_name
  `;
  return rows.map(({ func_name: funcName, queue, count }) => ({ funcName, queue, count }));
}

/** Moves tasks back that were parked as unknown and that the caller knows, and notifies; resolves to how many. */
export async function unparkKnownTasks(
  sql: Tag,
  { queues, names }: { queues: string[]; names: string[] },
): Promise<number> {
  const [row] = await sql`
    WITH known AS MATERIALIZED (
      SELECT ctid AS place
      FROM ${sql.schema}.waiting
      WHERE reason = 'unknown' AND func_name = ANY (${names}::text[]) AND queue = ANY (${queues}::text[])
      LIMIT 10000
      FOR UPDATE SKIP LOCKED
    ), moved AS (
      DELETE FROM ${sql.schema}.waiting
      WHERE ctid = ANY (ARRAY(SELECT place FROM known))
      RETURNING waiting.*
    ), placed AS (
      ${placeInReady(sql, { from: sql.raw("moved") })}
    ), placed_waiting AS (
      ${placeInWaiting(sql, { from: sql.raw("moved"), admits: true })}
    ), notified AS MATERIALIZED (
      SELECT ${sql.schema}._notify(queue) FROM (SELECT DISTINCT queue FROM moved) AS filled
    )
    SELECT (SELECT count(*) FROM moved)::integer AS moved, (SELECT count(*) FROM notified) AS notified
  `;
  return row!.moved;
}
