import type { Tag } from "../database/driver.ts";
import type { TaskStatus } from "../task/record.ts";
import { toNumber } from "./rows.ts";

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
    INSERT INTO ${sql.schema}.consumer (id, host, pid, version, queues, tasks, concurrency, doorbell, lease_until)
    VALUES (
      ${info.id}, ${info.host}, ${info.pid}, ${info.version}, ${info.queues}::text[], ${info.tasks}::text[],
      ${info.concurrency}, true, now() + make_interval(secs => ${lease})
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
export async function buryConsumers(sql: Tag): Promise<string[]> {
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
  concurrencyKey: string | null;
  rateKey: string | null;
}

/**
 * Puts back what up to 20 leases of consumers without a row hold. `not_before` stays: set to now, it would put them
 * behind the whole backlog. One death befalls whatever a machine held when it went down; what was there at two in a row,
 * without an end of its own in between, is a suspect from then on: it is claimed alone, and three deaths as the suspect,
 * and so the likely cause, end it `failed`. One that somebody's open transaction has locked must not make all
 * the others wait: its lease stays for the next round.
 */
export async function rescueTasks(sql: Tag): Promise<RescuedTask[]> {
  const rows = await sql`
    WITH orphaned AS MATERIALIZED (
      SELECT lease.id, lease.ids, lease.claim_seqs, lease.suspect
      FROM ${sql.schema}.lease
      WHERE NOT EXISTS (SELECT FROM ${sql.schema}.consumer WHERE consumer.id = lease.consumer_id)
      ORDER BY lease.id
      LIMIT 20
      FOR UPDATE SKIP LOCKED
    ), left_behind AS MATERIALIZED (
      SELECT orphaned.id AS lease_id, orphaned.suspect, claim.id, claim.claim_seq
      FROM orphaned, unnest(orphaned.ids, orphaned.claim_seqs) AS claim (id, claim_seq)
    ), held AS MATERIALIZED (
      -- The deaths in a row: two among others, then three as the suspect.
      SELECT task.id, left_behind.suspect AND task.suspect_deaths >= 4 AS guilty
      FROM left_behind
      JOIN ${sql.schema}.task
        ON task.id = left_behind.id AND task.claim_seq = left_behind.claim_seq AND task.status = 'created'
      ORDER BY task.id
      FOR UPDATE OF task SKIP LOCKED
    ), passed_over AS (
      SELECT left_behind.lease_id
      FROM left_behind
      JOIN ${sql.schema}.task
        ON task.id = left_behind.id AND task.claim_seq = left_behind.claim_seq AND task.status = 'created'
      WHERE left_behind.id NOT IN (SELECT id FROM held)
    ), ended AS (
      DELETE FROM ${sql.schema}.lease
      WHERE id = ANY (ARRAY(SELECT id FROM orphaned)) AND id NOT IN (SELECT lease_id FROM passed_over)
    ), rescued AS (
      UPDATE ${sql.schema}.task
      SET claim_seq = task.claim_seq + 1,
        rescues = task.rescues + 1,
        suspect_deaths = task.suspect_deaths + 1,
        status = CASE WHEN held.guilty THEN 'failed' ELSE 'created' END,
        failed = CASE WHEN held.guilty THEN now() END,
        errors = CASE
          WHEN held.guilty THEN task.errors || jsonb_build_array(jsonb_build_object(
            'name', 'ConsumerDied',
            'message', 'Three consumers in a row died while they ran this task',
            'at', now(), 'attempt', task.retry_attempts + task.rescues + 1
          ))
          ELSE task.errors
        END
      FROM held
      WHERE task.id = held.id
      RETURNING task.id, task.claim_seq, task.status, task.not_before, task.priority, task.queue, task.func_name,
        task.concurrency_key, task.rate_key, task.suspect_deaths >= 2 AS suspect
    ), placed AS (
      INSERT INTO ${sql.schema}.ready (id, claim_seq, not_before, priority, suspect, queue, func_name)
      SELECT id, claim_seq, not_before, priority, suspect, queue, func_name
      FROM rescued
      WHERE status = 'created' AND concurrency_key IS NULL AND rate_key IS NULL
    ), lined_up AS (
      INSERT INTO ${sql.schema}.waiting (
        id, claim_seq, not_before, priority, suspect, queue, func_name, concurrency_key, rate_key, why, look_at
      )
      SELECT id, claim_seq, not_before, priority, suspect, queue, func_name, concurrency_key, rate_key,
        CASE WHEN concurrency_key IS NULL THEN 'rate' ELSE 'concurrency' END, now()
      FROM rescued
      WHERE status = 'created' AND (concurrency_key IS NOT NULL OR rate_key IS NOT NULL)
    ), awaited AS (
      DELETE FROM ${sql.schema}.awaited
      USING rescued
      WHERE awaited.task_id = rescued.id AND rescued.status = 'failed'
      RETURNING awaited.task_id
    ), rung AS MATERIALIZED (
      SELECT ${sql.schema}._ring(queue)
      FROM (SELECT DISTINCT queue FROM rescued WHERE status = 'created') AS filled
      UNION ALL
      SELECT pg_notify(${sql.schema}.ended_channel(), '') WHERE EXISTS (SELECT FROM awaited)
    )
    SELECT id, func_name, queue, status, concurrency_key, rate_key, (SELECT count(*) FROM rung) AS rung FROM rescued
  `;
  return rows.map((row) => ({
    id: toNumber(row.id),
    funcName: row.func_name,
    queue: row.queue,
    status: row.status,
    concurrencyKey: row.concurrency_key,
    rateKey: row.rate_key,
  }));
}

/** A lease of this consumer, as the database has it. */
export interface LeaseRow {
  id: string;
  /** Those of its claims that are current: not ended by anybody. */
  claims: { id: number; claimSeq: number; concurrencyKey: string | null; rateKey: string | null }[];
}

/** Reads a consumer's leases back: a claim that it does not know is one whose reply was lost. */
export async function readLeases(sql: Tag, consumerId: string): Promise<LeaseRow[]> {
  const rows = await sql`
    SELECT lease.id,
      COALESCE(json_agg(
        json_build_object(
          'id', task.id, 'claimSeq', task.claim_seq, 'concurrencyKey', task.concurrency_key, 'rateKey', task.rate_key
        )
      ) FILTER (WHERE task.id IS NOT NULL), '[]') AS claims
    FROM ${sql.schema}.lease
    CROSS JOIN unnest(lease.ids, lease.claim_seqs) AS claim (id, claim_seq)
    LEFT JOIN ${sql.schema}.task ON task.id = claim.id AND task.claim_seq = claim.claim_seq AND task.status = 'created'
    WHERE lease.consumer_id = ${consumerId}
    GROUP BY lease.id
  `;
  return rows.map(({ id, claims }) => ({ id, claims }));
}

/**
 * Puts back `created` records with ids above `after` that stand nowhere: neither ready, nor waiting, nor leased, as
 * an UPDATE by hand leaves them. Looks at up to 5,000 records a call; resolves to the last id seen, or 0 at the end.
 */
export async function placeStrays(sql: Tag, after: number): Promise<{ last: number; placed: number }> {
  const [row] = await sql`
    WITH seen AS MATERIALIZED (
      SELECT id, status, claim_seq, queue, priority, not_before
      FROM ${sql.schema}.task
      WHERE id > ${after}
      ORDER BY id
      LIMIT 5000
    ), stray AS MATERIALIZED (
      SELECT seen.id
      FROM seen
      WHERE seen.status = 'created'
        AND NOT EXISTS (
          SELECT FROM ${sql.schema}.ready
          WHERE ready.queue = seen.queue AND ready.priority = seen.priority AND ready.not_before = seen.not_before
            AND ready.id = seen.id AND ready.claim_seq = seen.claim_seq
        )
        AND NOT EXISTS (
          SELECT FROM ${sql.schema}.waiting WHERE waiting.id = seen.id AND waiting.claim_seq = seen.claim_seq
        )
        AND NOT EXISTS (
          SELECT FROM ${sql.schema}.lease, unnest(lease.ids, lease.claim_seqs) AS claim (id, claim_seq)
          WHERE claim.id = seen.id AND claim.claim_seq = seen.claim_seq
        )
    ), held AS MATERIALIZED (
      SELECT task.id
      FROM stray
      JOIN ${sql.schema}.task ON task.id = stray.id AND task.status = 'created'
      ORDER BY task.id
      FOR UPDATE OF task SKIP LOCKED
    ), fenced AS (
      -- Whatever place the record got since the snapshot becomes stale by this.
      UPDATE ${sql.schema}.task
      SET claim_seq = task.claim_seq + 1
      FROM held
      WHERE task.id = held.id
      RETURNING task.id, task.claim_seq, task.not_before, task.priority, task.queue, task.func_name,
        task.concurrency_key, task.rate_key
    ), placed AS (
      INSERT INTO ${sql.schema}.waiting (
        id, claim_seq, not_before, priority, queue, func_name, concurrency_key, rate_key, why
      )
      SELECT id, claim_seq, not_before, priority, queue, func_name, concurrency_key, rate_key, 'time' FROM fenced
      RETURNING id
    )
    SELECT
      CASE WHEN (SELECT count(*) FROM seen) < 5000 THEN 0 ELSE (SELECT max(id) FROM seen) END AS last,
      (SELECT count(*) FROM placed)::integer AS placed
  `;
  return { last: toNumber(row!.last), placed: row!.placed };
}

/** Ends a backend of this role: one that runs a statement for nobody any more. */
export async function endBackend(sql: Tag, pid: number): Promise<void> {
  await sql`SELECT pg_terminate_backend(${pid}::integer)`;
}
