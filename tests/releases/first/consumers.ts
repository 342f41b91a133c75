import type { Tag } from "../../../src/database/driver.ts";
import { noteLostConsumers } from "./alerts.ts";

export interface ConsumerInfo {
  id: string;
  name?: string | null;
  host: string;
  pid: number;
  version: string;
  release?: string | null;
  queues: string[];
  allQueues?: boolean;
  tasks: string[];
  concurrency: number;
  memory?: number | null;
}

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

export async function removeConsumer(sql: Tag, id: string): Promise<void> {
  await sql`DELETE FROM ${sql.schema}.consumer WHERE id = ${id}`;
}

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

export interface BatchRow {
  id: string;
  claims: { id: number; claimSeq: number; concurrencyKey: string | null; rateKey: string | null }[];
}

export async function readBatches(sql: Tag, consumerId: string): Promise<BatchRow[]> {
  const rows = await sql`
    SELECT claim.batch_id AS id,
      COALESCE(json_agg(
        json_build_object(
          'id', task.id, 'claimSeq', task.claim_seq, 'concurrencyKey', task.concurrency_key, 'rateKey', task.rate_key
        )
      ) FILTER (WHERE task.id IS NOT NULL), '[]') AS claims
    FROM ${sql.schema}._claimed_task AS claim
    LEFT JOIN LATERAL (
      SELECT task.id, task.claim_seq, task.status, task.concurrency_key, task.rate_key
      FROM ${sql.schema}.task
      WHERE task.id = claim.id
      OFFSET 0
    ) AS task ON task.claim_seq = claim.claim_seq AND task.status = 'created'
    WHERE claim.consumer_id = ${consumerId}
    GROUP BY claim.batch_id
  `;
  return rows.map(({ id, claims }) => ({ id, claims }));
}

export async function endBackend(sql: Tag, pid: number): Promise<void> {
  await sql`SELECT pg_terminate_backend(${pid}::integer)`;
}
