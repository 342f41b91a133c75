import type { Tag } from "../database/driver.ts";

/**
 * Tries to acquire the wake locks of `queues` for the connection behind `sql`, which must already listen on their
 * channels; resolves to the queues whose locks it acquired. While they are held, every transaction that makes a task of
 * these queues ready notifies.
 */
export async function acquireWakeLocks(sql: Tag, queues: string[]): Promise<string[]> {
  const rows = await sql`
    SELECT name
    FROM unnest(${queues}::text[]) AS requested (name)
    WHERE pg_try_advisory_lock(${sql.schema}._wake_lock(name))
  `;
  return rows.map(({ name }) => name);
}

/** Releases wake locks of the connection behind `sql`, and notifies queues where another consumer may want the lock. */
export async function releaseWakeLocks(
  sql: Tag,
  { queues, consumerId }: { queues: string[]; consumerId: string },
): Promise<void> {
  await sql`
    SELECT pg_advisory_unlock(${sql.schema}._wake_lock(name)), CASE
      WHEN EXISTS (
        SELECT FROM ${sql.schema}.consumer WHERE id <> ${consumerId} AND lease_until > now() AND name = ANY (queues)
      )
      THEN pg_notify(${sql.schema}.channel(name), '')::text
    END
    FROM unnest(${queues}::text[]) AS requested (name)
  `;
}
