import type { Tag } from "../../../src/database/driver.ts";
import type { TaskStatus } from "../../../src/task/record.ts";
import { toNumber } from "../../../src/store/rows.ts";

/** A consumer as it introduces itself. */
export interface ConsumerInfo {
  id: string;
  host: string;
  pid: number;
  version: string;
  queues: string[];
  tasks: string[];
  concurrency: number;
}

/** Registers a consumer, whose lease then runs for `lease` seconds. */
export async function registerConsumer(sql: Tag, info: ConsumerInfo, lease: number): Promise<void> {
  await sql`
    INSERT INTO ${sql.schema}.consumer (id, host, pid, version, queues, tasks, concurrency, lease_until)
    VALUES (
      ${info.id}, ${info.host}, ${info.pid}, ${info.version}, ${info.queues}::text[], ${info.tasks}::text[],
      ${info.concurrency}, now() + make_interval(secs => ${lease})
    )
    ON CONFLICT (id) DO NOTHING
  `;
}

/** Renews a consumer's lease; false if it was buried, so that its tasks are somebody else's now. */
export async function renewConsumer(sql: Tag, id: string, lease: number): Promise<boolean> {
  const rows = await sql`
    UPDATE ${sql.schema}.consumer
    SET seen = now(), lease_until = now() + make_interval(secs => ${lease})
    WHERE id = ${id}
  `;
  return rows.count > 0;
}

/** Takes a consumer off the list at its end. */
export async function removeConsumer(sql: Tag, id: string): Promise<void> {
  await sql`DELETE FROM ${sql.schema}.consumer WHERE id = ${id}`;
}

/**
 * Buries consumers whose lease has expired. From then on they cannot renew it: a consumer that was only stopped for
 * a while finds its row missing, and knows. The lock of the row decides between burial and a renewal at the last moment.
 */
export async function removeExpiredConsumers(sql: Tag): Promise<string[]> {
  const rows = await sql`
    DELETE FROM ${sql.schema}.consumer
    WHERE id = ANY (ARRAY(
      SELECT id FROM ${sql.schema}.consumer WHERE lease_until < now() FOR UPDATE SKIP LOCKED
    ))
    RETURNING id
  `;
  return rows.map((row) => row.id);
}

/** A task that a dead consumer left behind. */
export interface RescuedTask {
  id: number;
  funcName: string;
  queue: string;
  status: TaskStatus;
}

/**
 * Puts back what up to 20 leases of consumers without a row hold. `not_before` stays: set to now, it would put them
 * behind the whole backlog. From now on they are quarantined. A task whose consumers died three times while it was the
 * quarantined, and so the likely cause, ends `failed`. One that somebody's open transaction has locked must not make all
 * the others wait: its lease stays for the next round.
 */
export async function rescueTasks(sql: Tag): Promise<RescuedTask[]> {
  const rows = await sql`
    WITH orphaned AS MATERIALIZED (
      SELECT claim_batch.id, claim_batch.ids, claim_batch.claim_seqs, claim_batch.quarantined
      FROM ${sql.schema}.claim_batch
      WHERE NOT EXISTS (SELECT FROM ${sql.schema}.consumer WHERE consumer.id = claim_batch.consumer_id)
      ORDER BY claim_batch.id
      LIMIT 20
      FOR UPDATE SKIP LOCKED
    ), left_behind AS MATERIALIZED (
      SELECT orphaned.id AS batch_id, orphaned.quarantined, claim.id, claim.claim_seq
      FROM orphaned, unnest(orphaned.ids, orphaned.claim_seqs) AS claim (id, claim_seq)
    ), held AS MATERIALIZED (
      SELECT task.id, left_behind.quarantined, left_behind.quarantined AND task.crash_count >= 2 AS exhausted
      FROM left_behind
      JOIN ${sql.schema}.task
        ON task.id = left_behind.id AND task.claim_seq = left_behind.claim_seq AND task.status = 'created'
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
    ), rescued AS (
      UPDATE ${sql.schema}.task
      SET claim_seq = task.claim_seq + 1,
        rescues = task.rescues + 1,
        crash_count = task.crash_count + held.quarantined::integer,
        status = CASE WHEN held.exhausted THEN 'failed' ELSE 'created' END,
        failed = CASE WHEN held.exhausted THEN now() END,
        errors = CASE
          WHEN held.exhausted THEN task.errors || jsonb_build_array(jsonb_build_object(
            'name', 'ConsumerDied',
            'message', 'Three consumers in a row died while they ran this task',
            'at', now(), 'attempt', task.retry_attempts + task.rescues + 1
          ))
          ELSE task.errors
        END
      FROM held
      WHERE task.id = held.id
      RETURNING task.id, task.claim_seq, task.status, task.not_before, task.priority, task.queue, task.func_name
    ), placed AS (
      INSERT INTO ${sql.schema}.ready (id, claim_seq, not_before, priority, quarantined, queue, func_name)
      SELECT id, claim_seq, not_before, priority, true, queue, func_name
      FROM rescued
      WHERE status = 'created'
      RETURNING queue
    ), waiter AS (
      DELETE FROM ${sql.schema}.result_waiter
      USING rescued
      WHERE result_waiter.task_id = rescued.id AND rescued.status = 'failed'
      RETURNING result_waiter.task_id
    ), notified AS MATERIALIZED (
      SELECT pg_notify(${sql.schema}.channel(queue), '') FROM (SELECT DISTINCT queue FROM placed) AS filled
      UNION ALL
      SELECT pg_notify(${sql.schema}.ended_channel(), '') WHERE EXISTS (SELECT FROM waiter)
    )
    SELECT id, func_name, queue, status, (SELECT count(*) FROM notified) AS notified FROM rescued
  `;
  return rows.map((row) => ({ id: toNumber(row.id), funcName: row.func_name, queue: row.queue, status: row.status }));
}
