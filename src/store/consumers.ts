import type { Tag } from "../database/driver.ts";
import type { AttemptedBy } from "../events.ts";
import type { TaskStatus } from "../task/record.ts";
import { noteLostConsumers } from "./alerts.ts";
import { lastError, noteFailures } from "./failed_tasks.ts";
import { isUnplaced, placeInReady, placeInWaiting } from "./placement.ts";
import { type ErrorRow, toNumber } from "./rows.ts";
import { attemptOf, duplicateError, failDuplicates, findDuplicates } from "./unique.ts";

/** A consumer as it registers. */
export interface ConsumerInfo {
  id: string;
  /** What operators call it. */
  name?: string | null;
  host: string;
  pid: number;
  version: string;
  release?: string | null;
  queues: string[];
  /** Whether it serves all queues, also those that appear later. */
  allQueues?: boolean;
  tasks: string[];
  concurrency: number;
  /** The resident memory of the process, in bytes. */
  memory?: number | null;
}

/**
 * Registers a consumer with a lease of `lease` seconds; resolves to the id of its process, which is what its claims and
 * attempts store.
 */
export async function registerConsumer(sql: Tag, info: ConsumerInfo, lease: number): Promise<number> {
  const { name = null, host, pid, version, release = null, allQueues = false, memory = null } = info;
  const [row] = await sql`
    WITH process AS (
      INSERT INTO ${sql.schema}.consumer_process (host, pid, release)
      VALUES (${host}, ${pid}, ${release})
      ON CONFLICT (host, pid, COALESCE(release, '')) DO UPDATE SET seen = now()
      RETURNING id
    ), registered AS (
      INSERT INTO ${sql.schema}.consumer (
        id, consumer_name, host, pid, version, release, queues, all_queues, tasks, concurrency, memory, process_id, lease_until
      )
      SELECT ${info.id}::uuid, ${name}::text, ${host}, ${pid}::integer, ${version}, ${release}, ${info.queues}::text[], ${allQueues},
        ${info.tasks}::text[], ${info.concurrency}::integer, ${memory}::bigint, process.id,
        now() + make_interval(secs => ${lease})
      FROM process
      ON CONFLICT (id) DO NOTHING
    )
    SELECT id FROM process
  `;
  return row!.id;
}

/**
 * Renews a consumer's lease, and stores the memory of its process in bytes; false if the consumer was removed, so that
 * other consumers may have its tasks.
 */
export async function renewConsumer(
  sql: Tag,
  id: string,
  lease: number,
  memory: number | null = null,
): Promise<boolean> {
  const rows = await sql`
    UPDATE ${sql.schema}.consumer
    SET seen = now(), lease_until = now() + make_interval(secs => ${lease}), memory = ${memory}::bigint
    WHERE id = ${id}
  `;
  return rows.count > 0;
}

/** Removes a consumer that stops. */
export async function removeConsumer(sql: Tag, id: string): Promise<void> {
  await sql`DELETE FROM ${sql.schema}.consumer WHERE id = ${id}`;
}

/**
 * Removes consumers whose lease has expired; resolves to their ids. They cannot renew it any more: a consumer that was
 * only suspended finds its row missing. The row's lock decides between the removal and a renewal at the last moment.
 */
export async function removeExpiredConsumers(sql: Tag): Promise<string[]> {
  const rows = await sql`
    WITH removed AS (
      DELETE FROM ${sql.schema}.consumer
      WHERE id = ANY (ARRAY(
        SELECT id FROM ${sql.schema}.consumer WHERE lease_until < now() FOR UPDATE SKIP LOCKED
      ))
      RETURNING id, host, pid, release, queues, seen
    ), ${noteLostConsumers(sql)}
    SELECT id FROM removed
  `;
  return rows.map((row) => row.id);
}

/** A task that a crashed consumer left behind. */
export interface RescuedTask {
  id: number;
  funcName: string;
  queue: string;
  status: TaskStatus;
  concurrencyKey: string | null;
  rateKey: string | null;
  /** The consumer that crashed; null if it was of a release that did not store that. */
  attemptedBy: AttemptedBy | null;
  /** The error that it failed with; null if it runs again. */
  error: Pick<ErrorRow, "name" | "message"> | null;
}

/** The tasks to rescue: those whose ids are in a range, `without` some. The batches of the others stay. */
export interface RescueRange {
  readonly from: number;
  readonly to: number;
  readonly without: readonly number[];
}

const WHOLE_RANGE: RescueRange = { from: 0, to: Number.MAX_SAFE_INTEGER, without: [] };

/**
 * Puts back the tasks of up to 20 claim batches whose consumers have no row. `not_before` stays: set to now, it would
 * put them behind the whole backlog. A single crash concerns every task that the machine held. A task that was held
 * through two crashes in a row, without a settled attempt in between, is quarantined: from then on it is claimed alone,
 * and three crashes in quarantine, of which it is the likely cause, end it as `failed`. A task that an open transaction
 * has locked must not hold up the others: its batch stays for the next round.
 */
export async function rescueTasks(sql: Tag, { from, to, without }: RescueRange = WHOLE_RANGE): Promise<RescuedTask[]> {
  const back = { from: sql.raw("(SELECT * FROM rescued WHERE status = 'created') AS back") };
  const rows = await sql`
    WITH orphaned AS MATERIALIZED (
      SELECT claim_batch.id
      FROM ${sql.schema}.claim_batch
      WHERE NOT EXISTS (SELECT FROM ${sql.schema}.consumer WHERE consumer.id = claim_batch.consumer_id)
      ORDER BY claim_batch.id
      LIMIT 20
      FOR UPDATE SKIP LOCKED
    ), left_behind AS MATERIALIZED (
      SELECT claim.*
      FROM orphaned
      JOIN ${sql.schema}._claimed_task AS claim ON claim.batch_id = orphaned.id
    ), held AS MATERIALIZED (
      -- The crashes in a row: two beside other tasks, then three in quarantine.
      SELECT task.id, left_behind.claimed, left_behind.attempted_by,
        CASE WHEN process.id IS NOT NULL THEN
          jsonb_build_object('host', process.host, 'pid', process.pid, 'release', process.release)
        END AS process,
        COALESCE(left_behind.quarantined AND task.crash_count >= 4, false) AS exhausted
      FROM left_behind
      JOIN ${sql.schema}.task
        ON task.id = left_behind.id AND task.claim_seq = left_behind.claim_seq AND task.status = 'created'
      LEFT JOIN ${sql.schema}.consumer_process AS process ON process.id = left_behind.attempted_by
      WHERE task.id BETWEEN ${from} AND ${to} AND task.id <> ALL (${[...without]}::bigint[])
      ORDER BY task.id
      FOR UPDATE OF task SKIP LOCKED
    ), passed_over AS (
      SELECT left_behind.batch_id
      FROM left_behind
      JOIN ${sql.schema}.task
        ON task.id = left_behind.id AND task.claim_seq = left_behind.claim_seq AND task.status = 'created'
      WHERE left_behind.id NOT IN (SELECT id FROM held)
    ), ended AS (
      DELETE FROM ${sql.schema}.claim_batch
      WHERE id = ANY (ARRAY(SELECT id FROM orphaned)) AND id NOT IN (SELECT batch_id FROM passed_over)
    ), ${findDuplicates(sql, sql.raw("(SELECT id FROM held WHERE NOT exhausted) AS held"))}, rescued AS (
      UPDATE ${sql.schema}.task
      SET claim_seq = task.claim_seq + 1,
        rescues = COALESCE(task.rescues, 0) + 1,
        crash_count = COALESCE(task.crash_count, 0) + 1,
        status = CASE WHEN held.exhausted OR duplicate.id IS NOT NULL THEN 'failed' ELSE 'created' END,
        started = held.claimed,
        failed = CASE WHEN held.exhausted OR duplicate.id IS NOT NULL THEN now() END,
        attempted_by = held.attempted_by,
        errors = CASE
          WHEN held.exhausted THEN COALESCE(task.errors, '[]') || jsonb_build_array(jsonb_build_object(
            'name', 'ConsumerCrashed',
            'message', 'Five consumers in a row crashed while they held this task',
            'at', now(), 'attempt', ${attemptOf(sql)}
          ) || COALESCE(held.process, '{}'))
          WHEN duplicate.id IS NOT NULL THEN COALESCE(task.errors, '[]') || ${duplicateError(sql)}
          ELSE task.errors
        END
      FROM held
      LEFT JOIN duplicate ON duplicate.id = held.id
      WHERE task.id = held.id
      RETURNING task.id, task.claim_seq, task.status, task.not_before, task.priority, task.queue, task.func_name,
        task.concurrency_key, task.rate_key, task.crash_count >= 2 AS quarantined, held.process, task.failed,
        ${lastError(sql)}
    ), noted AS (
      ${noteFailures(sql, sql.raw("rescued"))}
    ), placed AS (
      ${placeInReady(sql, back)}
    ), placed_waiting AS (
      ${placeInWaiting(sql, { ...back, admits: true })}
    ), waiter AS (
      DELETE FROM ${sql.schema}.result_waiter
      USING rescued
      WHERE result_waiter.task_id = rescued.id AND rescued.status = 'failed'
      RETURNING result_waiter.task_id
    ), notified AS MATERIALIZED (
      SELECT ${sql.schema}._notify(queue)
      FROM (SELECT DISTINCT queue FROM rescued WHERE status = 'created') AS filled
      UNION ALL
      SELECT pg_notify(${sql.schema}.ended_channel(), '') WHERE EXISTS (SELECT FROM waiter)
    )
    SELECT id, func_name, queue, status, concurrency_key, rate_key, process, error,
      (SELECT count(*) FROM notified) AS notified
    FROM rescued
  `;
  return rows.map((row) => ({
    id: toNumber(row.id),
    funcName: row.func_name,
    queue: row.queue,
    status: row.status,
    concurrencyKey: row.concurrency_key,
    rateKey: row.rate_key,
    attemptedBy: row.process,
    error: row.error,
  }));
}

/** A claim batch of a consumer, as the database has it. */
export interface BatchRow {
  id: string;
  /** Those of its claims that are current: not ended by any consumer. */
  claims: { id: number; claimSeq: number; concurrencyKey: string | null; rateKey: string | null }[];
}

/** Reads a consumer's claim batches. The reply of a claim that the consumer does not know was lost. */
export async function readBatches(sql: Tag, consumerId: string): Promise<BatchRow[]> {
  const rows = await sql`
    SELECT claim.batch_id AS id,
      COALESCE(json_agg(
        json_build_object(
          'id', task.id, 'claimSeq', task.claim_seq, 'concurrencyKey', task.concurrency_key, 'rateKey', task.rate_key
        )
      ) FILTER (WHERE task.id IS NOT NULL), '[]') AS claims
    FROM ${sql.schema}._claimed_task AS claim
    LEFT JOIN ${sql.schema}.task ON task.id = claim.id AND task.claim_seq = claim.claim_seq AND task.status = 'created'
    WHERE claim.consumer_id = ${consumerId}
    GROUP BY claim.batch_id
  `;
  return rows.map(({ id, claims }) => ({ id, claims }));
}

/**
 * Moves unplaced tasks with ids above `after` to `waiting`: records that are `created` and stand neither in `ready`, nor
 * in `waiting`, nor in a claim batch, as an edit of `claim_seq` or of those tables leaves them. Examines up to 5,000 records a call; resolves to
 * the last id examined, or 0 at the end.
 */
export async function requeueUnplaced(sql: Tag, after: number): Promise<{ last: number; placed: number }> {
  const [row] = await sql`
    WITH seen AS MATERIALIZED (
      SELECT id, status, claim_seq, queue, priority, not_before, dependencies
      FROM ${sql.schema}.task
      WHERE id > ${after}
      ORDER BY id
      LIMIT 5000
    ), unplaced AS MATERIALIZED (
      SELECT seen.id, seen.dependencies
      FROM seen
      WHERE ${isUnplaced(sql)}
    ), held AS MATERIALIZED (
      SELECT task.id
      FROM unplaced
      JOIN ${sql.schema}.task ON task.id = unplaced.id AND task.status = 'created'
      WHERE unplaced.dependencies IS NULL
      ORDER BY task.id
      FOR UPDATE OF task SKIP LOCKED
    ), ${findDuplicates(sql, sql.raw("held"))}, fenced AS (
      -- This makes any place stale that the record got since the snapshot.
      UPDATE ${sql.schema}.task
      SET claim_seq = task.claim_seq + 1, ${failDuplicates(sql)}
      FROM held
      LEFT JOIN duplicate ON duplicate.id = held.id
      WHERE task.id = held.id
      RETURNING task.id, task.claim_seq, task.status, task.not_before, task.priority, task.queue, task.func_name,
        task.concurrency_key, task.rate_key, COALESCE(task.crash_count >= 2, false) AS quarantined, task.failed,
        ${lastError(sql)}
    ), noted AS (
      ${noteFailures(sql, sql.raw("fenced"))}
    ), placed AS (
      INSERT INTO ${sql.schema}.waiting (
        id, claim_seq, not_before, priority, quarantined, queue, func_name, concurrency_key, rate_key, reason
      )
      SELECT id, claim_seq, not_before, priority, quarantined, queue, func_name, concurrency_key, rate_key, 'time'
      FROM fenced
      WHERE status = 'created'
      RETURNING id
    )
    SELECT
      CASE WHEN (SELECT count(*) FROM seen) < 5000 THEN 0 ELSE (SELECT max(id) FROM seen) END AS last,
      (SELECT count(*) FROM placed)::integer + (
        -- Their dependencies are counted under the lock of the record, with a snapshot of the function's own.
        SELECT count(*) FILTER (WHERE ${sql.schema}._requeue_dependant(id))
        FROM unplaced
        WHERE dependencies IS NOT NULL
      )::integer AS placed
  `;
  return { last: toNumber(row!.last), placed: row!.placed };
}

/** Terminates a backend of this role whose statement no session waits for any more. */
export async function endBackend(sql: Tag, pid: number): Promise<void> {
  await sql`SELECT pg_terminate_backend(${pid}::integer)`;
}
