import { assertEquals } from "@std/assert";
import type postgres from "postgres";
import { FOR_OWN, HOT_PATH_PLANS } from "../../src/database/session_settings.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { insertMany } from "../support/many_tasks.ts";
import { OPERATIONS } from "../support/many_waits.ts";
import { withoutTriggers } from "../support/records.ts";
import { rowsRead } from "../support/rows_read.ts";
import { clients } from "../support/unique.ts";

/** How many rows of a table a statement about ten tasks may read. */
const FEW = 200;

/** Does each operation by a client; resolves to what reads too many rows of a table. */
async function excessOf(db: TestDatabase, client: postgres.Sql, times = 1): Promise<string[]> {
  const excess: string[] = [];
  for (const [name, operation] of Object.entries(OPERATIONS)) {
    for (let i = 0; i < times; i++) {
      const read = await rowsRead(client, await operation(db));
      for (const [table, rows] of read) if (rows > FEW) excess.push(`${name} reads ${rows} rows of ${table}`);
      await clear(db);
    }
  }
  return excess;
}

/** Takes the tasks of the operations away. */
async function clear(db: TestDatabase): Promise<void> {
  await withoutTriggers(db, async (sql) => {
    for (const table of ["step", "signal", "dependency"]) {
      await sql`
        DELETE FROM ${sql(`firefly.${table}`)} WHERE task_id IN (SELECT id FROM firefly.task WHERE queue = 'default')
      `;
    }
    for (const table of ["task", "ready", "waiting"]) {
      await sql`DELETE FROM ${sql(`firefly.${table}`)} WHERE queue = 'default'`;
    }
    for (const table of ["claim_batch", "consumer", "definition", "ended", "slot"]) {
      await sql`DELETE FROM ${sql(`firefly.${table}`)}`;
    }
  });
}

Deno.test("no statement of a consumer reads what it is not about beside tasks that wait, whatever the planner knows", async () => {
  await using db = await testDatabase();
  await using two = clients(db, 2, { ...FOR_OWN, ...HOT_PATH_PLANS });
  const [early, late] = two.each as [postgres.Sql, postgres.Sql];
  // Or the server may look at the tables at any moment.
  const tables = await db.sql`SELECT tablename AS name FROM pg_tables WHERE schemaname = 'firefly'`;
  for (const { name } of tables) await db.sql.unsafe(`ALTER TABLE firefly."${name}" SET (autovacuum_enabled = off)`);
  await excessOf(db, early, 7); // a session keeps the plans of an empty database
  await insertMany(db);

  const [byOldPlans, withoutStatistics] = [await excessOf(db, early), await excessOf(db, late)];
  await db.sql`ANALYZE`;
  await late`DISCARD PLANS`;
  const withStatistics = await excessOf(db, late);

  assertEquals({ byOldPlans, withoutStatistics, withStatistics }, {
    byOldPlans: [],
    withoutStatistics: [],
    withStatistics: [],
  });
});
