import type { Tag } from "../../../src/database/driver.ts";
import { lastError, noteFailures } from "./failed_tasks.ts";
import { placeInWaiting } from "./placement.ts";
import { toNumber } from "./rows.ts";
import { failDuplicates, findDuplicates } from "./unique.ts";

export interface LimitKeys {
  concurrencyKeys: string[];
  rateKeys: string[];
}

export interface Admitted {
  admitted: number;
  again: boolean;
}

export async function admitTasks(sql: Tag, { concurrencyKeys, rateKeys }: LimitKeys): Promise<Admitted> {
  const [row] = await sql`
    SELECT admitted, again
    FROM ${sql.schema}._admit(${concurrencyKeys}::text[], ${rateKeys}::text[])
  `;
  return row as Admitted;
}

export interface UnadmittedTask {
  id: number;
  claimSeq: number;
  quarantined: boolean;
  concurrencyKey: string | null;
  rateKey: string | null;
}

export async function requeueForLimits(sql: Tag, tasks: UnadmittedTask[]): Promise<Set<number>> {
  const back = sql.raw("(SELECT * FROM fenced WHERE status = 'created') AS back");
  const rows = await sql`
    WITH sent AS MATERIALIZED (
      SELECT *
      FROM unnest(
        ${tasks.map(({ id }) => id)}::bigint[], ${tasks.map(({ claimSeq }) => claimSeq)}::bigint[],
        ${tasks.map(({ quarantined }) => String(quarantined))}::boolean[],
        ${tasks.map(({ concurrencyKey }) => concurrencyKey)}::text[], ${tasks.map(({ rateKey }) => rateKey)}::text[]
      ) AS sent (id, claim_seq, quarantined, concurrency_key, rate_key)
    ), held AS MATERIALIZED (
      SELECT sent.*
      FROM (
        SELECT id, claim_seq, status
        FROM ${sql.schema}.task
        WHERE id = ANY (ARRAY(SELECT id FROM sent))
        FOR UPDATE SKIP LOCKED
      ) AS task
      JOIN sent ON sent.id = task.id AND sent.claim_seq = task.claim_seq
      WHERE task.status = 'created'
    ), ${findDuplicates(sql, sql.raw("held"))}, fenced AS (
      UPDATE ${sql.schema}.task
      SET claim_seq = task.claim_seq + 1, concurrency_key = held.concurrency_key, rate_key = held.rate_key,
        ${failDuplicates(sql)}
      FROM held
      LEFT JOIN duplicate ON duplicate.id = held.id
      WHERE task.id = held.id
      RETURNING task.*, held.quarantined, ${lastError(sql)}
    ), noted AS (
      ${noteFailures(sql, sql.raw("fenced"))}
    ), placed_waiting AS (
      ${placeInWaiting(sql, { from: back, admits: true })}
    )
    SELECT id FROM fenced
  `;
  return new Set(rows.map((row) => toNumber(row.id)));
}

export async function startRates(sql: Tag, ids: number[]): Promise<void> {
  await sql`
    UPDATE ${sql.schema}.slot
    SET until = clock_timestamp() + make_interval(secs => per)
    WHERE ctid = ANY (ARRAY(
      SELECT ctid
      FROM ${sql.schema}.slot
      WHERE task_id = ANY (${ids}::bigint[]) AND kind = 'rate' AND until = 'infinity'
      FOR UPDATE SKIP LOCKED
    ))
  `;
}

export async function returnIdleSlots(sql: Tag): Promise<number> {
  const [row] = await sql`
    WITH old AS MATERIALIZED (
      SELECT DISTINCT slot.task_id
      FROM ${sql.schema}.slot
      WHERE (slot.until IS NULL OR slot.until = 'infinity') AND slot.taken < now() - interval '3 seconds'
    ), holder AS MATERIALIZED (
      SELECT task.*
      FROM old
      CROSS JOIN LATERAL (
        SELECT id, claim_seq, status, queue, func_name, priority, not_before
        FROM ${sql.schema}.task
        WHERE task.id = old.task_id
        OFFSET 0
      ) AS task
    ), idle AS MATERIALIZED (
      SELECT ready.place
      FROM holder AS task, LATERAL (
        SELECT ready.ctid AS place
        FROM ${sql.schema}.ready
        WHERE ready.queue = task.queue AND ready.priority = task.priority AND ready.not_before = task.not_before
          AND ready.id = task.id
        FOR UPDATE SKIP LOCKED
      ) AS ready
      WHERE EXISTS (SELECT FROM ${sql.schema}.queue WHERE queue.name = task.queue AND queue.paused)
        OR NOT EXISTS (
          SELECT FROM ${sql.schema}.consumer
          WHERE consumer.lease_until > now()
            AND (consumer.all_queues OR task.queue = ANY (consumer.queues)) AND task.func_name = ANY (consumer.tasks)
        )
      LIMIT 1000
    ), moved AS (
      DELETE FROM ${sql.schema}.ready WHERE ctid = ANY (ARRAY(SELECT place FROM idle)) RETURNING ready.*
    ), limited AS MATERIALIZED (
      SELECT moved.*, task.concurrency_key, task.rate_key
      FROM moved
      CROSS JOIN LATERAL (
        SELECT claim_seq, concurrency_key, rate_key FROM ${sql.schema}.task WHERE task.id = moved.id OFFSET 0
      ) AS task
      WHERE task.claim_seq = moved.claim_seq
    ), placed_waiting AS (
      ${placeInWaiting(sql, { from: sql.raw("limited"), admits: false })}
    ), dropped AS (
      DELETE FROM ${sql.schema}.slot
      WHERE ctid = ANY (ARRAY(
        SELECT slot.ctid
        FROM ${sql.schema}.slot
        WHERE (slot.until IS NULL OR slot.until = 'infinity') AND slot.task_id IN (
          SELECT limited.id FROM limited
          UNION ALL
          SELECT old.task_id FROM old WHERE old.task_id NOT IN (SELECT id FROM holder WHERE status = 'created')
          UNION ALL
          SELECT holder.id
          FROM holder
          CROSS JOIN LATERAL (
            SELECT claim_seq FROM ${sql.schema}.waiting WHERE waiting.id = holder.id OFFSET 0
          ) AS waiting
          WHERE waiting.claim_seq = holder.claim_seq
        )
        FOR UPDATE OF slot SKIP LOCKED
      ))
      RETURNING slot.task_id
    )
    SELECT count(*)::integer AS returned FROM dropped
  `;
  return row!.returned;
}

export async function deleteEndedSlots(sql: Tag): Promise<void> {
  await sql`
    DELETE FROM ${sql.schema}.slot
    WHERE ctid = ANY (ARRAY(
      SELECT ctid
      FROM ${sql.schema}.slot
      WHERE until < now()
      LIMIT 1000
      FOR UPDATE SKIP LOCKED
    ))
  `;
}

export type LimitCursor = { concurrency: string; rate: string };

export async function waitingKeys(
  sql: Tag,
  after: LimitCursor,
  limit: number,
): Promise<LimitKeys & { next: LimitCursor }> {
  const [row] = await sql`
    WITH RECURSIVE ${keysAfter(sql, "concurrency", after.concurrency, limit)}, ${
    keysAfter(sql, "rate", after.rate, limit)
  }
    SELECT ARRAY(SELECT key FROM concurrency WHERE key IS NOT NULL) AS "concurrencyKeys",
      ARRAY(SELECT key FROM rate WHERE key IS NOT NULL) AS "rateKeys"
  `;
  const { concurrencyKeys, rateKeys } = row as LimitKeys;
  const nextOf = (keys: string[]) => keys.length < limit ? "" : keys.at(-1)!;
  return { concurrencyKeys, rateKeys, next: { concurrency: nextOf(concurrencyKeys), rate: nextOf(rateKeys) } };
}

function keysAfter(sql: Tag, kind: "concurrency" | "rate", after: string, limit: number): unknown {
  const [keys, column, reason] = [sql.raw(kind), sql.raw(`${kind}_key`), sql.raw(`'${kind}'`)];
  const next = (key: unknown) =>
    sql.fragment`(
        SELECT ${column} FROM ${sql.schema}.waiting
        WHERE reason = ${reason} AND ${column} > ${key}
        ORDER BY ${column}
        LIMIT 1
      )`;
  return sql.fragment`${keys} (key, n) AS (
      SELECT ${next(after)}, 1
      UNION ALL
      SELECT ${next(sql.fragment`${keys}.key`)}, n + 1
      FROM ${keys}
      WHERE ${keys}.key IS NOT NULL AND n < ${limit}
    )`;
}
