import { assertEquals, assertStringIncludes } from "@std/assert";
import { gradeConnections, gradeNotifications } from "../../src/doctor/server_checks.ts";
import { gradeHolder } from "../../src/doctor/schema_checks.ts";
import { SCHEMA_PARTS } from "../../src/schema_parts.ts";
import { schemaModule } from "../../scripts/describe_schema.ts";
import { expireConsumer, insertTask, startConsumer } from "../steps.ts";
import { type TestDatabase, testDatabase } from "../database.ts";
import { jsonLines, testProject } from "./project.ts";

/** What the doctor says of a database. */
async function doctor(database: string, ...flags: string[]) {
  await using project = await testProject({ database });
  const { code, stdout } = await project.run("doctor", "--json", ...flags);
  const bad = jsonLines(stdout).filter(({ verdict }) => verdict !== "ok" && verdict !== "note");
  const verdicts = Object.fromEntries(bad.map(({ check, verdict }) => [check, verdict]));
  delete verdicts.settings; // how the server of the tests is set is not their business
  return { code, verdicts, text: stdout };
}

Deno.test("SCHEMA_PARTS is what the migrations make: else run deno task schema", async () => {
  assertStringIncludes(await schemaModule(), SCHEMA_PARTS);
});

Deno.test("doctor finds nothing wrong with a new database", async () => {
  await using db = await testDatabase();
  const { code, verdicts, text } = await doctor(db.url);
  assertEquals([code, verdicts], [0, {}], text);
});

Deno.test("doctor exits with 6 when the database cannot be reached, and skips the rest", async () => {
  const { code, verdicts } = await doctor("postgres://postgres@127.0.0.1:1/nowhere");
  assertEquals([code, verdicts.connection, verdicts.schema, verdicts.crons], [6, "wrong", "skipped", "skipped"]);
});

const BROKEN: [what: string, check: string, breakIt: (db: TestDatabase) => Promise<unknown>][] = [
  ["a dropped index", "indexes", (db) => db.sql`DROP INDEX firefly.ready_order`],
  ["an invalid index", "indexes", async (db) => {
    await insertTask(db);
    await insertTask(db);
    await db.sql`CREATE UNIQUE INDEX CONCURRENTLY twins ON firefly.task (func_name)`.catch(() => {});
  }],
  ["a missing column", "drift", (db) => db.sql`ALTER TABLE firefly.task DROP COLUMN snoozes CASCADE`],
  ["a disabled trigger", "drift", (db) => db.sql`ALTER TABLE firefly.task DISABLE TRIGGER place_inserted`],
  ["an edited migration", "schema", (db) => db.sql`UPDATE firefly.migration SET checksum = 'x' WHERE version = 2`],
  [
    "a newer schema",
    "schema",
    (db) => db.sql`INSERT INTO firefly.migration (version, name, checksum, oldest) VALUES (99, 'later', 'x', 99)`,
  ],
  ["a queue without consumers", "queues", (db) => insertTask(db)],
  ["an unknown name", "task names", async (db) => {
    await startConsumer(db, { tasks: ["test.tasks"] });
    await insertTask(db);
  }],
  [
    "a table without autovacuum",
    "dead rows",
    (db) => db.sql`ALTER TABLE firefly.ready SET (autovacuum_enabled = false)`,
  ],
];
for (const [what, check, breakIt] of BROKEN) {
  Deno.test(`doctor exits with 6 for ${what}`, async () => {
    await using db = await testDatabase();
    await breakIt(db);
    const { code, verdicts, text } = await doctor(db.url);
    assertEquals([code, verdicts[check]], [6, "wrong"], text);
  });
}

Deno.test("doctor warns of a consumer that died, with exit code 6 only if it is strict", async () => {
  await using db = await testDatabase();
  await expireConsumer(db, await startConsumer(db));
  assertEquals((await doctor(db.url)).code, 0);
  const { code, verdicts } = await doctor(db.url, "--strict");
  assertEquals([code, verdicts], [6, { consumers: "warning" }]);
});

Deno.test("the verdicts on notifications, connections and old transactions", () => {
  assertEquals([0, 0.1, 0.5].map((usage) => gradeNotifications(usage).verdict), ["ok", "warning", "wrong"]);
  assertEquals([79, 80, 95].map((used) => gradeConnections(used, 100).verdict), ["ok", "warning", "wrong"]);
  assertEquals([299, 300, 3600].map((seconds) => gradeHolder({ seconds, transactions: 0 })), [
    "ok",
    "warning",
    "wrong",
  ]);
});
