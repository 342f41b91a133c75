import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { PgBoss } from "pg-boss";
import PgBoss10 from "pg-boss-10";
import PgBoss11 from "pg-boss-11";
import { importFromPgBoss } from "../../import.ts";
import { FireflyError, SchemaMismatch, task } from "../../mod.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { importedTasks, instanceOn, leftOf } from "../support/import_jobs.ts";

/** The parts of pg-boss that its versions share. */
interface Boss {
  createQueue(name: string, options?: object): Promise<unknown>;
  send(name: string, data: object | null, options?: object): Promise<string | null>;
  fetch(name: string, options?: object): Promise<{ id: string }[]>;
  fail(name: string, id: string, data?: object): Promise<unknown>;
  complete(name: string, id: string): Promise<unknown>;
  schedule(name: string, cron: string, data?: object, options?: object): Promise<unknown>;
}

const VERSIONS: [version: string, layout: number, constructor: new (options: object) => unknown][] = [
  ["10.4.2", 24, PgBoss10 as never],
  ["11.1.2", 26, PgBoss11 as never],
  ["12.38.0", 46, PgBoss],
];

task({ name: "mail.send", queue: "mail" }, (_: unknown) => {});
task({ name: "mail.one", concurrency: { limit: 1 } }, (_: unknown) => {});
task({ name: "mail.unique", unique: { key: (data: { id: number }) => `id ${data.id}` } }, (_: { id: number }) => {});

/** Starts pg-boss in the database of a test, without what it does by the clock. */
async function startBoss(
  db: TestDatabase,
  Constructor: new (options: object) => unknown = PgBoss,
): Promise<Boss & AsyncDisposable> {
  // deno-lint-ignore no-explicit-any
  const boss = new Constructor({ connectionString: db.url, supervise: false, schedule: false }) as any;
  boss.on("error", console.error);
  await boss.start();
  return Object.assign(boss, { [Symbol.asyncDispose]: () => boss.stop({ graceful: false, close: true }) });
}

for (const [version, layout, Constructor] of VERSIONS) {
  Deno.test(`importFromPgBoss() moves waiting, delayed and retrying jobs of pg-boss ${version} with their options`, async () => {
    await using db = await testDatabase();
    await using boss = await startBoss(db, Constructor);
    await using firefly = instanceOn(db);
    await boss.createQueue("mail.send");
    const due = new Date(Date.now() + 3_600_000);
    await boss.send("mail.send", { n: 3 }, { retryLimit: 5, retryDelay: 7 });
    const [failed] = await boss.fetch("mail.send");
    await boss.fail("mail.send", failed!.id, {});
    await boss.send("mail.send", { n: 1 }, { priority: 5, startAfter: due, expireInSeconds: 60, retryLimit: 4 });
    const id = await boss.send("mail.send", { n: 2, list: [1, "é", null] }, {
      retryLimit: 3,
      retryDelay: 2,
      retryBackoff: true,
    });
    await boss.send("mail.send", null);

    const report = await importFromPgBoss({ firefly });

    assertEquals([report.version, report.imported, report.left], [`schema ${layout}`, 4, []]);
    assertEquals(report.jobs.map(({ state, count }) => `${state} ${count}`).sort(), [
      "delayed 1",
      "retrying 1",
      "waiting 2",
    ]);
    const tasks = await importedTasks(db);
    assertEquals(tasks.map(({ params, priority, max_retries }) => ({ params, priority, max_retries })), [
      { params: [{ n: 1 }], priority: 5, max_retries: 4 },
      { params: [{ n: 3 }], priority: 0, max_retries: 4 }, // one of five is used up by the attempt that comes next
      { params: [{ n: 2, list: [1, "é", null] }], priority: 0, max_retries: 3 },
      { params: [], priority: 0, max_retries: 2 },
    ]);
    const [delayed, retrying, growing] = tasks;
    assertEquals(delayed!.not_before, due);
    assertEquals([delayed!.timeout, delayed!.queue, retrying!.retry_delay], [60, "mail", 7]);
    assertEquals(growing!.backoff, { kind: "exponential", delay: 4, max: 2 ** 17 });
    assertEquals(growing!.tags, ["pg-boss", `pg-boss:${id}`]);
    assertEquals((await db.sql`SELECT FROM pgboss.job`).length, 0);
  });
}

Deno.test("importFromPgBoss() leaves jobs that run or have ended, and counts them by name", async () => {
  await using db = await testDatabase();
  await using boss = await startBoss(db);
  await using firefly = instanceOn(db);
  await boss.createQueue("mail.send");
  for (let n = 0; n < 4; n++) await boss.send("mail.send", { n }, { retryLimit: 0 });
  const [running] = await boss.fetch("mail.send");
  const [completed] = await boss.fetch("mail.send");
  await boss.complete("mail.send", completed!.id);
  const [failed] = await boss.fetch("mail.send");
  await boss.fail("mail.send", failed!.id);

  const report = await importFromPgBoss({ firefly });

  assertEquals([report.imported, leftOf(report)], [1, ["mail.send ended 2", "mail.send running 1"]]);
  assertEquals(report.left.find(({ reason }) => reason === "running")!.ids, [running!.id]);
  const rows = await db.sql`SELECT state::text FROM pgboss.job ORDER BY state`;
  assertEquals(rows.map(({ state }) => state), ["active", "completed", "failed"]);
});

Deno.test("importFromPgBoss() leaves what Firefly cannot express, until it is ignored or the task has an option for it", async () => {
  await using db = await testDatabase();
  await using boss = await startBoss(db);
  await using firefly = instanceOn(db);
  await boss.createQueue("dead");
  await boss.createQueue("mail.send", { deadLetter: "dead" });
  await boss.createQueue("mail.one", { policy: "singleton" });
  await boss.createQueue("single", { policy: "singleton" });
  await boss.createQueue("plain");
  await boss.createQueue("unknown");
  await boss.send("mail.send", { dead: true });
  await boss.send("mail.one", { policy: "the task has concurrency" });
  await boss.send("single", { policy: "it has not" });
  await boss.send("plain", { throttled: true }, { singletonSeconds: 600, singletonKey: "k" });
  await boss.send("plain", { group: true }, { group: { id: "g" } });
  await boss.send("unknown", {});
  const map = { single: "mail.send", plain: "mail.send" };

  const dry = await importFromPgBoss({ firefly, map, dryRun: true });
  const report = await importFromPgBoss({ firefly, map });
  const left = [
    "mail.send dead-letter 1",
    "plain group 1",
    "plain throttle 1",
    "single policy 1",
    "unknown unknown-name 1",
  ];
  assertEquals([dry.imported, leftOf(dry)], [1, left]);
  assertEquals([report.imported, leftOf(report)], [1, left]);
  assertEquals((await db.sql`SELECT FROM pgboss.job`).length, 5);
  assertStringIncludes(
    report.left.find(({ reason }) => reason === "dead-letter")!.detail,
    'dead letter queue is "dead"',
  );

  const rest = await importFromPgBoss({ firefly, map, ignore: ["dead-letter", "policy", "throttle", "group"] });
  assertEquals([rest.imported, leftOf(rest)], [4, ["unknown unknown-name 1"]]);
});

Deno.test("importFromPgBoss() keeps the keys of policies, and leaves a job whose key a task has", async () => {
  await using db = await testDatabase();
  await using boss = await startBoss(db);
  await using firefly = instanceOn(db);
  await boss.createQueue("exclusive", { policy: "exclusive" });
  await boss.createQueue("short", { policy: "short" });
  await boss.createQueue("mail.unique");
  await boss.send("exclusive", { n: 1 }, { singletonKey: "a" });
  await boss.send("short", { n: 2 });
  await boss.send("mail.unique", { id: 1 });
  await boss.send("mail.unique", { id: 1 });
  const map = { exclusive: "mail.send", short: "mail.send" };

  const dry = await importFromPgBoss({ firefly, map, dryRun: true });
  const report = await importFromPgBoss({ firefly, map });

  for (const each of [dry, report]) assertEquals([each.imported, leftOf(each)], [3, ["mail.unique duplicate 1"]]);
  const rows = await db.sql`SELECT func_name, unique_key, unique_among FROM firefly.task ORDER BY id`;
  assertEquals([...rows], [
    { func_name: "mail.send", unique_key: "a", unique_among: null },
    { func_name: "mail.send", unique_key: "short", unique_among: ["created"] },
    { func_name: "mail.unique", unique_key: "id 1", unique_among: null },
  ]);
  assertEquals((await db.sql`SELECT data FROM pgboss.job`).map(({ data }) => data), [{ id: 1 }]);
  const again = await importFromPgBoss({ firefly, map });
  assertEquals([again.imported, leftOf(again)], [0, ["mail.unique duplicate 1"]]);
});

Deno.test("importFromPgBoss() leaves jobs that wait for others, and those that others wait for", async () => {
  await using db = await testDatabase();
  await using boss = await startBoss(db);
  await using firefly = instanceOn(db);
  await boss.createQueue("mail.send");
  // deno-lint-ignore no-explicit-any
  await (boss as any).flow([
    { ref: "first", name: "mail.send", data: {} },
    { ref: "second", name: "mail.send", data: {}, dependsOn: ["first"] },
  ]);

  const report = await importFromPgBoss({ firefly });

  assertEquals([report.imported, leftOf(report)], [0, ["mail.send dependencies 2"]]);
});

Deno.test("importFromPgBoss() lists schedules, and takes only the names and queues that are asked for", async () => {
  await using db = await testDatabase();
  await using boss = await startBoss(db);
  await using firefly = instanceOn(db);
  for (const name of ["mail.send", "mail.one"]) await boss.createQueue(name);
  await boss.schedule("mail.send", "0 3 * * *", { a: 1 }, { tz: "Europe/Warsaw" });
  await boss.send("mail.send", [1, 2], {});
  await boss.send("mail.one", {});

  const report = await importFromPgBoss({
    firefly,
    names: ["mail.send"],
    queue: { "mail.send": "bulk" },
    arguments: "spread",
  });

  assertEquals(report.schedules, [{
    name: "mail.send",
    cron: "0 3 * * *",
    timezone: "Europe/Warsaw",
    data: '{"a": 1}',
  }]);
  assertEquals([report.imported, report.left], [1, []]);
  const [row] = await importedTasks(db);
  assertEquals([row!.queue, row!.params], ["bulk", [1, 2]]);
  assertEquals((await db.sql`SELECT name FROM pgboss.job`).map(({ name }) => name), ["mail.one"]);
});

Deno.test("importFromPgBoss() changes nothing if it fails, is aborted or only rehearses", async () => {
  await using db = await testDatabase();
  await using boss = await startBoss(db);
  await using firefly = instanceOn(db);
  await boss.createQueue("mail.send");
  for (let n = 0; n < 3; n++) await boss.send("mail.send", { n });
  const counts = async () => [
    (await db.sql`SELECT FROM pgboss.job`).length,
    (await db.sql`SELECT FROM firefly.task`).length,
  ];

  assertEquals((await importFromPgBoss({ firefly, dryRun: true })).imported, 3);
  assertEquals(await counts(), [3, 0]);
  const aborter = new AbortController();
  await assertRejects(
    () => importFromPgBoss({ firefly, signal: aborter.signal, onProgress: () => aborter.abort(new Error("enough")) }),
    Error,
    "enough",
  );
  assertEquals(await counts(), [3, 0]);
  // A trigger that keeps a row is the kind of surprise that must not double a job.
  await db.sql.unsafe(`
    CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
    CREATE TRIGGER keep BEFORE DELETE ON pgboss.job_common FOR EACH ROW WHEN (OLD.data ->> 'n' = '1') EXECUTE FUNCTION keep()
  `);
  await assertRejects(() => importFromPgBoss({ firefly }), FireflyError, "it let 2 of 3 jobs be deleted");
  assertEquals(await counts(), [3, 0]);
});

Deno.test("importFromPgBoss() refuses a database without pg-boss, unknown versions, hidden rows and wrong options", async () => {
  await using db = await testDatabase();
  await using firefly = instanceOn(db);
  await assertRejects(
    () => importFromPgBoss({ firefly }),
    FireflyError,
    'Cannot import from pg-boss as its tables are not in schema "pgboss" of database',
  );
  await using boss = await startBoss(db);
  await boss.createQueue("mail.send");
  await assertRejects(
    () => importFromPgBoss({ firefly, map: { a: "mail.sned" } }),
    TypeError,
    'did you mean "mail.send"?',
  );
  await assertRejects(
    () => importFromPgBoss({ firefly, ignore: ["dead-leter" as never] }),
    TypeError,
    'did you mean "dead-letter"?',
  );
  await assertRejects(
    () => importFromPgBoss({ firefly, queue: "Big" }),
    RangeError,
    "a queue's name must be lower-case",
  );
  await db.sql`UPDATE pgboss.version SET version = 99`;
  await assertRejects(
    () => importFromPgBoss({ firefly }),
    FireflyError,
    'schema "pgboss" has version 99, and this release knows 21 to 46 (pg-boss 10 to 12): update Firefly',
  );
});

Deno.test("importFromPgBoss() and the dry run refuse a database without the schema of Firefly", async () => {
  await using db = await testDatabase({ migrated: false });
  await using _boss = await startBoss(db);
  await using firefly = instanceOn(db);

  for (const dryRun of [true, false]) await assertRejects(() => importFromPgBoss({ firefly, dryRun }), SchemaMismatch);
});
