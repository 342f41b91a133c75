import type { Backoff } from "../../../src/task/backoff.ts";
import type { Tag } from "../../../src/database/driver.ts";
import { toNumber } from "../../../src/store/rows.ts";

/** What a consumer asks for. */
export interface ClaimRequest {
  consumerId: string;
  /** The id of the batch's lease, made up by the consumer, so that it knows the lease even if the reply is lost. */
  batchId: string;
  /** The id of a quarantined task's lease; null if the consumer has a quarantined task already. */
  quarantinedBatchId: string | null;
  queues: string[];
  /** The names of the tasks that the consumer knows. */
  names: string[];
  limit: number;
}

/** A task of which this consumer holds the lease. */
export interface ClaimedTask {
  id: number;
  /** The fence: whoever ends the claim must find it unchanged. */
  claimSeq: number;
  batchId: string;
  quarantined: boolean;
  funcName: string;
  queue: string;
  params: string;
  attempt: number;
  retryAttempts: number;
  snoozes: number;
  maxRetries: number | null;
  retryDelay: number | null;
  backoff: Backoff | null;
  timeout: number | null;
}

/** What came of a claim. */
export interface Claim {
  /** False if the consumer's lease has expired or it was buried: it must register anew. */
  alive: boolean;
  /** Most urgent first. */
  tasks: ClaimedTask[];
  /** How many rows it took out of `ready`: with those of records that are gone, or want to run no more. */
  taken: number;
  /** Seconds until the next waiting task is due; null if there is none. */
  nextDue: number | null;
}

/**
 * Claims up to `limit` ready tasks of `queues`, most urgent first, and at most one quarantined.
 *
 * Each queue is one probe of the index, in its order; `queue = ANY (…)` would sort everything that is ready. The
 * locking subqueries are materialized, since the planner may run one more than once and so claim more than `limit`.
 * A row of `ready` that is visible and can be locked is current: whatever ends it deletes it. Only the record says
 * whether the task still wants to run: a row that was deleted or edited by hand drops out in the join.
 */
export async function claimTasks(sql: Tag, request: ClaimRequest): Promise<Claim> {
  const { consumerId, batchId, quarantinedBatchId, queues, names, limit } = request;
  const rows = await sql`
    WITH served AS MATERIALIZED (
      SELECT served.name
      FROM unnest(${queues}::text[]) AS served (name)
      WHERE NOT EXISTS (SELECT FROM ${sql.schema}.queue WHERE queue.name = served.name AND queue.paused)
        AND EXISTS (SELECT FROM ${sql.schema}.consumer WHERE id = ${consumerId}::uuid AND lease_until > now())
    ), due AS MATERIALIZED (
      SELECT next.place
      FROM served, LATERAL (
        SELECT ready.ctid AS place, ready.priority, ready.not_before, ready.id
        FROM ${sql.schema}.ready
        WHERE ready.queue = served.name AND ready.func_name = ANY (${names}::text[]) AND NOT ready.quarantined
        ORDER BY ready.priority DESC, ready.not_before, ready.id
        LIMIT ${limit}::bigint
        FOR UPDATE SKIP LOCKED
      ) AS next
      ORDER BY next.priority DESC, next.not_before, next.id
      LIMIT ${limit}::bigint
    ), quarantined AS MATERIALIZED (
      SELECT next.place
      FROM served, LATERAL (
        SELECT ready.ctid AS place, ready.priority, ready.not_before, ready.id
        FROM ${sql.schema}.ready
        WHERE ready.queue = served.name AND ready.func_name = ANY (${names}::text[]) AND ready.quarantined
        ORDER BY ready.priority DESC, ready.not_before, ready.id
        LIMIT 1
        FOR UPDATE SKIP LOCKED
      ) AS next
      WHERE ${quarantinedBatchId}::uuid IS NOT NULL
      ORDER BY next.priority DESC, next.not_before, next.id
      LIMIT 1
    ), taken AS (
      DELETE FROM ${sql.schema}.ready
      WHERE ctid = ANY (ARRAY(SELECT place FROM due UNION ALL SELECT place FROM quarantined))
      RETURNING id, claim_seq, quarantined
    ), claimed AS (
      SELECT task.id, task.claim_seq, taken.quarantined, task.func_name, task.queue, task.params,
        task.retry_attempts + task.rescues + 1 AS attempt, task.retry_attempts, task.snoozes,
        task.max_retries, task.retry_delay, task.backoff, task.timeout, task.priority, task.not_before
      FROM taken
      JOIN ${sql.schema}.task ON task.id = taken.id AND task.claim_seq = taken.claim_seq AND task.status = 'created'
    ), leased AS (
      INSERT INTO ${sql.schema}.claim_batch (id, consumer_id, quarantined, ids, claim_seqs)
      SELECT CASE WHEN quarantined THEN ${quarantinedBatchId}::uuid ELSE ${batchId}::uuid END, ${consumerId}::uuid, quarantined,
        array_agg(id), array_agg(claim_seq)
      FROM claimed
      GROUP BY quarantined
    ), next_due AS (
      SELECT min(next.not_before) AS due
      FROM unnest(${queues}::text[]) AS served (name), LATERAL (
        SELECT waiting.not_before
        FROM ${sql.schema}.waiting
        WHERE waiting.queue = served.name AND waiting.reason = 'time'
        ORDER BY waiting.not_before
        LIMIT 1
      ) AS next
    )
    SELECT claimed.*, (SELECT count(*)::integer FROM taken) AS taken,
      EXTRACT(epoch FROM next_due.due - now())::double precision AS next_due,
      EXISTS (SELECT FROM ${sql.schema}.consumer WHERE id = ${consumerId}::uuid AND lease_until > now()) AS alive
    FROM next_due
    LEFT JOIN claimed ON true
    ORDER BY claimed.priority DESC, claimed.not_before, claimed.id
  `;
  const tasks = rows.filter((row) => row.id !== null).map((row): ClaimedTask => ({
    id: toNumber(row.id),
    claimSeq: toNumber(row.claim_seq),
    batchId: row.quarantined ? quarantinedBatchId! : batchId,
    quarantined: row.quarantined,
    funcName: row.func_name,
    queue: row.queue,
    params: row.params,
    attempt: row.attempt,
    retryAttempts: row.retry_attempts,
    snoozes: row.snoozes,
    maxRetries: row.max_retries,
    retryDelay: row.retry_delay,
    backoff: row.backoff,
    timeout: row.timeout,
  }));
  const { alive, taken, next_due: nextDue } = rows[0]!;
  return { alive, tasks, taken, nextDue };
}

/** Moves up to 1,000 tasks whose time has come from `waiting` to `ready`, and rings; resolves to how many. */
export async function promoteDueTasks(sql: Tag, queues: string[]): Promise<number> {
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
      RETURNING id, claim_seq, not_before, priority, queue, func_name
    ), placed AS (
      INSERT INTO ${sql.schema}.ready (id, claim_seq, not_before, priority, queue, func_name)
      SELECT id, claim_seq, not_before, priority, queue, func_name FROM moved
      RETURNING queue
    ), notified AS MATERIALIZED (
      SELECT pg_notify(${sql.schema}.channel(queue), '') FROM (SELECT DISTINCT queue FROM placed) AS filled
    )
    SELECT (SELECT count(*) FROM placed)::integer AS moved, (SELECT count(*) FROM notified) AS notified
  `;
  return row!.moved;
}

/**
 * Moves tasks that no live consumer of their queue knows out of the claim's way, from the first 10,000 of each queue.
 * Skipping 100,000 of them costs every claim 15 ms. Quarantined tasks stay, since they are few, and `waiting` would forget what
 * they are: the consumers that know one may have died of it.
 */
export async function parkUnknownTasks(sql: Tag, queues: string[]): Promise<number> {
  const rows = await sql`
    WITH stranger AS MATERIALIZED (
      SELECT head.place
      FROM unnest(${queues}::text[]) AS served (name), LATERAL (
        SELECT ready.ctid AS place, ready.queue, ready.func_name, ready.quarantined
        FROM ${sql.schema}.ready
        WHERE ready.queue = served.name
        ORDER BY ready.priority DESC, ready.not_before, ready.id
        LIMIT 10000
      ) AS head
      WHERE NOT head.quarantined AND NOT EXISTS (
        SELECT FROM ${sql.schema}.consumer
        WHERE consumer.lease_until > now()
          AND head.queue = ANY (consumer.queues) AND head.func_name = ANY (consumer.tasks)
      )
    ), held AS MATERIALIZED (
      SELECT ctid AS place
      FROM ${sql.schema}.ready
      WHERE ctid = ANY (ARRAY(SELECT place FROM stranger))
      FOR UPDATE SKIP LOCKED
    ), moved AS (
      DELETE FROM ${sql.schema}.ready
      WHERE ctid = ANY (ARRAY(SELECT place FROM held))
      RETURNING id, claim_seq, not_before, priority, queue, func_name
    )
    INSERT INTO ${sql.schema}.waiting (id, claim_seq, not_before, priority, queue, func_name, reason)
    SELECT id, claim_seq, not_before, priority, queue, func_name, 'unknown' FROM moved
  `;
  return rows.count;
}

/** Takes back what was parked as unknown and is known to the caller, and rings; resolves to how many. */
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
      RETURNING id, claim_seq, not_before, priority, queue, func_name
    ), placed AS (
      INSERT INTO ${sql.schema}.ready (id, claim_seq, not_before, priority, queue, func_name)
      SELECT id, claim_seq, not_before, priority, queue, func_name FROM moved
      RETURNING queue
    ), notified AS MATERIALIZED (
      SELECT pg_notify(${sql.schema}.channel(queue), '') FROM (SELECT DISTINCT queue FROM placed) AS filled
    )
    SELECT (SELECT count(*) FROM placed)::integer AS moved, (SELECT count(*) FROM notified) AS notified
  `;
  return row!.moved;
}
