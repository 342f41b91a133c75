import { assert } from "@std/assert";
import type postgres from "postgres";
import type { TestDatabase } from "./database.ts";

/** Inserts a task by plain SQL; columns as given. */
export async function insertTask(db: TestDatabase, columns: Record<string, unknown> = {}): Promise<number> {
  const [row] = await db.sql`INSERT INTO firefly.task ${db.sql({ func_name: "test.task", ...columns })} RETURNING id`;
  return Number(row!.id);
}

/** The columns of a record, where NULL stands for none with 0 or an empty list instead. */
export async function recordOf(db: TestDatabase, id: number): Promise<Record<string, unknown>> {
  const [row] = await db.sql`SELECT * FROM firefly.task WHERE id = ${id}`;
  assert(row, `Cannot find task ${id}`);
  const { retry_attempts, rescues, snoozes, crash_count, errors, tags, ...rest } = row;
  return {
    ...rest,
    retry_attempts: retry_attempts ?? 0,
    rescues: rescues ?? 0,
    snoozes: snoozes ?? 0,
    crash_count: crash_count ?? 0,
    errors: errors ?? [],
    tags: tags ?? [],
  };
}

/** Writes rows while no trigger fires: as time ages them, or as a restored backup or a hand leaves them. */
export async function withoutTriggers(
  db: TestDatabase,
  write: (sql: postgres.TransactionSql) => Promise<unknown>,
): Promise<void> {
  await db.sql.begin(async (sql) => {
    await sql`SET LOCAL session_replication_role = replica`;
    await write(sql);
  });
}

/** How many tasks stand in the tables around the record, and how many batches there are: what nothing may be left in when all is done. */
export async function placesOf(db: TestDatabase): Promise<{ ready: number; waiting: number; claimBatches: number }> {
  const [row] = await db.sql`
    SELECT (SELECT count(*)::int FROM firefly._ready_task) AS ready, (SELECT count(*)::int FROM firefly.waiting) AS waiting,
      (SELECT count(*)::int FROM firefly.claim_batch) AS "claimBatches"
  `;
  return row as { ready: number; waiting: number; claimBatches: number };
}

/** How many tasks a schema's queue holds. */
export async function countTasks(db: TestDatabase, schema = "firefly"): Promise<number> {
  const [row] = await db.sql`SELECT count(*)::int AS n FROM ${db.sql(schema)}.task`;
  return row!.n;
}
