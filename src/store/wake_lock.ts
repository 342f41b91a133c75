import type { Tag } from "../database/driver.ts";

/**
 * Tries to take the doors of `queues` for the connection behind `sql`, which must listen on their channels already;
 * resolves to those that it got. Until they are left, or the connection ends, whoever makes a task ready there rings.
 */
export async function acquireWakeLocks(sql: Tag, queues: string[]): Promise<string[]> {
  const rows = await sql`
    SELECT name
    FROM unnest(${queues}::text[]) AS requested (name)
    WHERE pg_try_advisory_lock(${sql.schema}._wake_lock(name))
  `;
  return rows.map(({ name }) => name);
}

/** Leaves doors that the connection behind `sql` has, and rings where another consumer may want to take one. */
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
