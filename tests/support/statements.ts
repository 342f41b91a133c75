import { makeTag, type Tag } from "../../src/database/driver.ts";
import type { TestDatabase } from "./database.ts";

/** A tag that counts its statements. */
export function counting(tag: Tag): Tag & { calls: number } {
  const counted = Object.assign((strings: TemplateStringsArray, ...values: unknown[]) => {
    counted.calls++;
    return tag(strings, ...values);
  }, { ...tag, calls: 0 });
  return counted as unknown as Tag & { calls: number };
}

/** How many records `act` updates, and how many of these in place (HOT). */
export async function updatesOf(
  db: TestDatabase,
  act: (store: Tag) => Promise<unknown>,
): Promise<{ updated: number; hot: number }> {
  return await db.sql.begin(async (sql) => {
    // The counts of the session's earlier transactions are among them until it reports these.
    const count = async () => {
      const [row] = await sql<{ updated: number; hot: number }[]>`
        SELECT n_tup_upd::int AS updated, n_tup_hot_upd::int AS hot FROM pg_stat_xact_user_tables
        WHERE relid = 'firefly.task'::regclass
      `;
      return row!;
    };
    const before = await count();
    await act(makeTag((build) => build(sql as never) as never, "firefly"));
    const after = await count();
    return { updated: after.updated - before.updated, hot: after.hot - before.hot };
  });
}

/** How many of the database's backends are in a state, or wait for something in it. */
export async function backends(db: TestDatabase, state: string, waitFor: string | null = null): Promise<number> {
  const rows = await db.sql`
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND state = ${state} AND (${waitFor}::text IS NULL OR wait_event_type = ${waitFor})
  `;
  return rows.count;
}

/** Resolves once a statement waits for a lock. */
export async function lockWait(db: TestDatabase): Promise<string> {
  for (;;) {
    const rows = await db.sql`
      SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
    `;
    if (rows.length > 0) return "it waits for the lock";
  }
}
