import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { diagnose } from "../../src/doctor/doctor.ts";
import { Target } from "../../src/doctor/target.ts";
import { migrate } from "../../src/schema/migrator.ts";
import { readDeadRows, readHolders } from "../../src/store/health.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { isLeftOut } from "../faults/fault.ts";
import { startPgBouncer } from "../faults/pgbouncer.ts";
import { claimOne, expireConsumer, startConsumer } from "../support/claiming.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";
import { jsonLines, PACKAGE, testProject } from "../support/project.ts";

/** What the doctor says of a database. */
async function doctor(database: string, ...flags: string[]) {
  await using project = await testProject({ database });
  const { code, stdout } = await project.run("doctor", "--json", ...flags);
  const bad = jsonLines(stdout).filter(({ verdict }) => verdict !== "ok" && verdict !== "note");
  const verdicts = Object.fromEntries(bad.map(({ check, verdict }) => [check, verdict]));
  delete verdicts.settings; // how the server of the tests is set is not their business
  const found = Object.fromEntries(jsonLines(stdout).map((line) => [line.check, line]));
  return { code, verdicts, found, text: stdout };
}

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
    await db.sql`CREATE UNIQUE INDEX CONCURRENTLY duplicates ON firefly.task (func_name)`.catch(() => {});
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

Deno.test("doctor warns of a crashed consumer, with exit code 6 only with --strict", async () => {
  await using db = await testDatabase();
  await expireConsumer(db, await startConsumer(db));
  assertEquals((await doctor(db.url)).code, 0);
  const { code, verdicts } = await doctor(db.url, "--strict");
  assertEquals([code, verdicts], [6, { consumers: "warning" }]);
});

Deno.test("doctor names each problem, changes nothing, and exits with 6", async () => {
  await using db = await testDatabase();
  const dead = await startConsumer(db);
  await insertTask(db);
  const { id } = await claimOne(db, dead);
  await expireConsumer(db, dead);
  const unplaced = await insertTask(db);
  await db.sql`DELETE FROM firefly.ready WHERE id = ${unplaced}`;
  await db.sql`INSERT INTO firefly.queue (name, paused) VALUES ('slow', true)`;
  const before = await recordOf(db, id);
  const { code, verdicts, found } = await doctor(db.url);
  assertEquals([code, verdicts], [6, { consumers: "wrong", unplaced: "warning" }]);
  assertStringIncludes(found.consumers.value, "1 task to requeue");
  assertStringIncludes(found.unplaced.value, `: ${unplaced}`);
  assertEquals([found.queues.verdict, found.queues.value], ["note", "paused: slow"]);
  assertEquals(await recordOf(db, id), before);
});

Deno.test("doctor finds a killed consumer, its task, and its cron", async () => {
  await using db = await testDatabase();
  const files = {
    "tasks.ts": `
      import { task } from ${JSON.stringify(PACKAGE)};
      export const nap = task("nap", () => new Promise(() => setInterval(() => {}, 1000)));
      export const tick = task({ name: "tick", cron: "0 0 1 1 *" }, () => {});
    `,
  };
  await using project = await testProject({ files, database: db.url });
  await using consumer = project.start("consume", "--lease", "2s");
  const id = await insertTask(db, { func_name: "nap" });
  await until(async () => (await db.sql`SELECT FROM firefly.claim_batch WHERE ${id} = ANY (ids)`).length > 0);
  assertEquals((await doctor(db.url)).code, 0);
  consumer.kill("SIGKILL");
  await consumer.ended();
  await until(async () => (await db.sql`SELECT FROM firefly.consumer WHERE lease_until < now()`).length > 0);
  const { code, verdicts, found } = await doctor(db.url);
  assertEquals([code, verdicts], [6, { consumers: "wrong", crons: "wrong" }]);
  assertStringIncludes(found.consumers.value, `process ${consumer.process.pid} on `);
  assertEquals(found.crons.value, "no live consumer schedules tick");
});

Deno.test("doctor finds a transaction that holds back vacuum, and the dead rows it keeps", async () => {
  await using db = await testDatabase();
  const holder = await db.sql.reserve();
  await holder`BEGIN ISOLATION LEVEL REPEATABLE READ`;
  const [{ pid }] = await holder`SELECT pg_backend_pid() AS pid` as unknown as [{ pid: number }];
  await db.sql`ALTER TABLE firefly.queue SET (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0)`;
  await db.sql`INSERT INTO firefly.queue (name) SELECT 'q' || i FROM generate_series(1, 60) AS i`;
  await db.sql`DELETE FROM firefly.queue WHERE name LIKE 'q%'`;
  await db.sql`VACUUM firefly.queue`; // counts the dead rows, and must leave them
  const { holders } = await readHolders(db.records);
  assertEquals([holders[0]!.name, holders[0]!.state], [String(pid), "idle in transaction"]);
  const { verdicts, found } = await doctor(db.url);
  assertEquals([verdicts["dead rows"], found["dead rows"].value], ["wrong", "queue has 60"]);
  assertMatch(found["oldest transaction"].value, /^\d+ s old$/);
  await holder`ROLLBACK`;
  holder.release();
  // Autovacuum, which analyzes the table by now, may hold the rows for a moment, too.
  await until(async () => {
    await db.sql`VACUUM firefly.queue`;
    return (await readDeadRows(db.records)).every(({ dead }) => dead === 0);
  });
  assertEquals((await doctor(db.url)).verdicts, {});
});

Deno.test("doctor exits with 6 when a check fails, and runs the other checks", async () => {
  await using db = await testDatabase();
  const holder = await db.sql.reserve();
  await holder`BEGIN`;
  await holder`LOCK TABLE firefly.waiting`;
  const { code, found, verdicts } = await doctor(db.url);
  await holder`ROLLBACK`;
  holder.release();
  const unknown = [
    "drift",
    "indexes",
    "queues",
    "task names",
    "unplaced",
    "dependencies",
    "suspended tasks",
    "awaited signals",
    "changed steps",
    "paused queues",
    "backlog",
    "failures",
    "table sizes",
  ];
  assertEquals([code, verdicts], [6, Object.fromEntries(unknown.map((check) => [check, "unknown"]))]);
  assertStringIncludes(found.queues.value, "lock timeout");
  assertEquals(found.crons.verdict, "ok");
});

Deno.test("doctor does not wait for a module that never finishes importing", async () => {
  await using db = await testDatabase();
  const files = { "tasks.ts": "await new Promise(() => setInterval(() => {}, 1000));" };
  await using project = await testProject({ files, database: db.url });
  const { code, stdout, stderr } = await project.run("doctor", "--json");
  assertEquals([code, jsonLines(stdout).length], [0, 34], stderr);
  assertStringIncludes(stderr, "Cannot import tasks.ts as it takes longer than 10 s");
});

Deno.test("doctor checks a schema with another name", async () => {
  await using db = await testDatabase({ migrated: false });
  await migrate(db.settings, "Fire flies");
  assertEquals(await doctor(db.url, "--schema", "Fire flies").then(({ code, verdicts }) => [code, verdicts]), [0, {}]);
  const { code, found } = await doctor(db.url);
  assertEquals([code, found.schema.value, found.schema.advice], [6, '"firefly" does not exist yet', [
    "Run: firefly migrate",
  ]]);
});

Deno.test("doctor finds nothing wrong with an unused embedded server", async () => {
  await using db = await testDatabase({ migrated: false });
  const target = new Target({ settings: { ...db.settings, embedded: true }, schema: "firefly", names: [] });
  const found = await Array.fromAsync(diagnose(target));
  target.end();
  assertEquals(found.filter(({ verdict }) => verdict === "wrong" || verdict === "unknown"), []);
  const schema = found.find(({ check }) => check === "schema")!;
  assertEquals([schema.verdict, schema.value], ["skipped", '"firefly" will be created on first use']);
});

Deno.test("doctor does not wait for a server that accepts and never replies", async () => {
  using mute = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { code, verdicts, text } = await doctor(`postgres://postgres@127.0.0.1:${mute.addr.port}/nowhere`);
  assertEquals([code, verdicts.connection, verdicts.crons], [6, "wrong", "skipped"], text);
});

const ignore = await isLeftOut("Tests of doctor and poolers", { needs: ["pgbouncer"] });

for (const mode of ["transaction", "session"] as const) {
  Deno.test(`doctor works through a pooler in ${mode} mode`, { ignore }, async () => {
    await using db = await testDatabase();
    await using bouncer = await startPgBouncer(db.url, mode);
    const { code, verdicts, found, text } = await doctor(bouncer.through(db.url));
    const shared = mode === "transaction";
    assertEquals([code, verdicts], [0, shared ? { pooler: "warning", listener: "warning" } : {}], text);
    assertStringIncludes(
      found.pooler.value,
      shared ? "connections share sessions" : "each connection has its own session",
    );
    if (!shared) return;
    await using project = await testProject({
      database: bouncer.through(db.url),
      files: { "firefly.config.ts": `export default { listenDatabase: ${JSON.stringify(db.url)} };` },
    });
    const { stdout } = await project.run("doctor", "--json");
    const listener = jsonLines(stdout).find(({ check }) => check === "listener");
    assertEquals(listener.verdict, "ok", stdout);
  });
}
