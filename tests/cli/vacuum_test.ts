import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { vacuumTables } from "../../src/schema/vacuum.ts";
import { resolveConnection } from "../../src/database/settings.ts";
import { readDeadRows } from "../../src/store/health.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { jsonLines, testProject } from "../support/project.ts";
import { rolesDatabase } from "../support/roles.ts";
import { until } from "../support/waiting.ts";

/** Deletes 2,000 rows of `queue`, and waits until the server has counted them. */
async function deleteQueues(db: TestDatabase): Promise<void> {
  await db.sql`ALTER TABLE firefly.queue SET (autovacuum_enabled = false)`;
  await db.sql`INSERT INTO firefly.queue (name) SELECT 'q' || i FROM generate_series(1, 2000) AS i`;
  await db.sql`DELETE FROM firefly.queue WHERE name LIKE 'q%'`;
  await db.sql`SELECT pg_stat_force_next_flush()`;
  await until(async () =>
    (await readDeadRows(db.records)).some(({ table, dead }) => table === "queue" && dead === 2000)
  );
}

Deno.test("vacuum removes the dead rows of all tables, or of those named", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await deleteQueues(db);
  const one = await project.run("vacuum", "task", "--json");
  const all = await project.run("vacuum", "--json");
  const table = await project.run("vacuum", "queue", "ready", "--table");

  assertEquals(jsonLines(one.stdout).map(({ table }) => table), ["task"]);
  const [first, ...rest] = jsonLines(all.stdout);
  assertEquals([first.table, first.dead_before, first.dead_after, rest.length > 15], ["queue", 2000, 0, true]);
  assertMatch(table.stdout, /^TABLE +REMOVED +LEFT +TOOK\nqueue +0 +0 +.*\nready +0 +0 +.*\n$/);
  const dead = await readDeadRows(db.records);
  assertEquals(dead.find(({ table }) => table === "queue")!.dead, 0);
});

Deno.test("vacuum says that a transaction keeps dead rows", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  const holder = await db.sql.reserve();
  await holder`BEGIN ISOLATION LEVEL REPEATABLE READ`;
  await holder`SELECT 1`;
  await deleteQueues(db);

  const { code, stdout, stderr } = await project.run("vacuum", "queue", "--table");

  await holder`ROLLBACK`;
  holder.release();
  assertEquals(code, 0);
  assertMatch(stdout, /queue +0 +2000/);
  assertEquals(stderr, "Transactions may still see rows of queue: firefly doctor names them\n");
});

Deno.test("vacuum refuses tables that do not exist, a schema without any, and roles that do not own them", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  const missing = await project.run("vacuum", "jobs");
  const empty = await project.run("vacuum", "--schema", "nowhere");
  assertEquals([missing.code, empty.code], [1, 1]);
  assertStringIncludes(missing.stderr, 'schema "firefly" has no table "jobs", only alert, ');
  assertStringIncludes(empty.stderr, 'there are no tables in schema "nowhere"');

  await using roles = await rolesDatabase();
  const settings = await resolveConnection(roles.urlOf("consumer"));
  const error = await Array.fromAsync(vacuumTables(settings, roles.schema)).catch((error) => error.message);
  assertMatch(String(error), /^Cannot vacuum as this user does not own ".*": run it as the owner, who ran "migrate"$/);
});

Deno.test("vacuum outlives the statement_timeout of its role", async () => {
  await using db = await testDatabase();
  await deleteQueues(db);
  // 50 ms a page or so: more than a second for the table.
  const slowly = "statement_timeout=600&vacuum_cost_delay=50&vacuum_cost_limit=1";
  await using project = await testProject({ database: `${db.url}?${slowly}` });

  const { code, stdout } = await project.run("vacuum", "queue", "--json");

  const [{ seconds, dead_after }] = jsonLines(stdout);
  assertEquals([code, dead_after, seconds > 0.6], [0, 0, true]);
});
