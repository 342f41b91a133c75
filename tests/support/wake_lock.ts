import type { TestDatabase } from "./database.ts";

/** The server processes that hold the wake lock of a queue. */
export async function holdersOf({ sql }: TestDatabase, queue = "default"): Promise<number[]> {
  const rows = await sql`
    SELECT pid FROM pg_locks
    WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (classid::bigint << 32) + objid::bigint = firefly._wake_lock(${queue}) AND mode = 'ExclusiveLock' AND granted
  `;
  return rows.map(({ pid }) => pid);
}
