import { registerDefinitions } from "../../src/store/definitions.ts";
import { admitTasks } from "../../src/store/limits.ts";
import type { TestDatabase } from "./database.ts";

/** Stores the limits of `test.task`. */
export async function limit(
  db: TestDatabase,
  { concurrency = null, rate = null, per = 60, name = "test.task" }: {
    concurrency?: number | null;
    rate?: number | null;
    per?: number;
    name?: string;
  },
): Promise<void> {
  const none = { queue: null, retain_completed: null, retain_failed: null };
  const limits = { concurrency_limit: concurrency, rate_limit: rate, rate_per: rate && per };
  await registerDefinitions(db.store, [{ func_name: name, ...limits, ...none }]);
}

/** Inserts `count` tasks under limits. */
export async function insertMany(db: TestDatabase, count: number, columns: Record<string, unknown>): Promise<number[]> {
  const rows = Array.from({ length: count }, () => ({ func_name: "test.task", ...columns }));
  const inserted = await db.sql`INSERT INTO firefly.task ${db.sql(rows)} RETURNING id`;
  return inserted.map(({ id }) => Number(id));
}

/** Admits tasks until none moves. */
export async function admit(db: TestDatabase, concurrencyKeys: string[], rateKeys: string[] = []): Promise<number> {
  let total = 0;
  for (;;) {
    const { admitted, again } = await admitTasks(db.store, { concurrencyKeys, rateKeys });
    total += admitted;
    if (!again || admitted === 0) return total;
  }
}

/** The ids of the tasks in `ready`, in the order of claims. */
export async function ready(db: TestDatabase): Promise<number[]> {
  const rows = await db.sql`SELECT id FROM firefly.ready ORDER BY priority DESC, not_before, id`;
  return rows.map(({ id }) => Number(id));
}

/** The waiting tasks, each with its reason. */
export async function waiting(db: TestDatabase): Promise<Record<number, string>> {
  const rows = await db.sql`SELECT id, reason FROM firefly.waiting ORDER BY id`;
  return Object.fromEntries(rows.map(({ id, reason }) => [id, reason]));
}

/** How many slots are held, by key. */
export async function slots(db: TestDatabase): Promise<Record<string, number>> {
  const rows = await db.sql`SELECT key, count(*)::int AS count FROM firefly.slot GROUP BY key ORDER BY key`;
  return Object.fromEntries(rows.map(({ key, count }) => [key, count]));
}
