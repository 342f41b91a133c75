import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Firefly } from "../../mod.ts";
import { diagnose, type Diagnosis } from "../../src/doctor/doctor.ts";
import { gradeSizes, LOAD_CHECKS } from "../../src/doctor/load_checks.ts";
import { Target } from "../../src/doctor/target.ts";
import { claimOne, startConsumer } from "../support/claiming.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { insertTask } from "../support/records.ts";

/** What the checks of the load find, by their names. */
async function findings(db: TestDatabase): Promise<Record<string, Diagnosis>> {
  const target = new Target({ settings: db.settings, schema: "firefly", names: [] });
  try {
    const checks = LOAD_CHECKS.map((check) => ({ ...check, after: [] }));
    const all = await Array.fromAsync(diagnose(target, { checks }));
    return Object.fromEntries(all.map((found) => [found.check, found]));
  } finally {
    target.end();
  }
}

function verdicts(found: Record<string, Diagnosis>): Record<string, string> {
  return Object.fromEntries(Object.entries(found).map(([name, { verdict }]) => [name, verdict]));
}

const ALL_OK = { "paused queues": "ok", backlog: "ok", failures: "ok", "long runs": "ok", "table sizes": "ok" };

Deno.test("doctor warns of a paused queue with due tasks: since when, by whom and why", async () => {
  await using db = await testDatabase();
  await using ff = new Firefly({ database: db.url });
  await ff.pause("default", { reason: "the provider is down", by: "ops@night" });
  await db.sql`UPDATE firefly.queue SET paused_since = now() - interval '3 hours 20 minutes'`;
  assertEquals(verdicts(await findings(db)), ALL_OK, "nothing is due");
  await insertTask(db);
  await insertTask(db, { not_before: new Date(Date.now() + 3_600_000) });

  const found = await findings(db);

  assertEquals(verdicts(found), { ...ALL_OK, "paused queues": "warning" });
  assertEquals(
    found["paused queues"]!.value,
    'default has 1 due task and is paused for 3 h 20 min by ops@night, "the provider is down"',
  );
  assertEquals(found["paused queues"]!.advice, ["Resume it: firefly resume default"]);
});

Deno.test("doctor names a queue that an edit by hand paused, without since, by and reason", async () => {
  await using db = await testDatabase();
  await db.sql`INSERT INTO firefly.queue (name, paused) VALUES ('default', true)`;
  await insertTask(db);

  assertEquals((await findings(db))["paused queues"]!.value, "default has 1 due task and is paused");
});

Deno.test("doctor warns of an old backlog only where live consumers serve it", async () => {
  await using db = await testDatabase();
  await insertTask(db, { not_before: new Date(Date.now() - 720_000) });
  await insertTask(db, { not_before: new Date(Date.now() - 10_000) });
  assertEquals(verdicts(await findings(db)), ALL_OK, "the check queues names one without a consumer");
  await startConsumer(db);

  const { backlog } = await findings(db);

  assertEquals(backlog!.verdict, "warning");
  assertMatch(backlog!.value, /^default has 2 due tasks, the oldest for 12 min( \d+ s)?, and 1 live consumer$/);
  assertStringIncludes(backlog!.advice[0]!, "firefly consume --queue default");
  await db.sql`INSERT INTO firefly.queue (name, paused) VALUES ('default', true)`;
  assertEquals((await findings(db)).backlog!.verdict, "ok", "a paused queue is another check's");
});

Deno.test("doctor warns of a storm of retries, not of old errors or of a few among many completed tasks", async () => {
  await using db = await testDatabase();
  const id = await insertTask(db, { not_before: new Date(Date.now() + 3_600_000) });
  const fail = (ago: string) =>
    db.sql`
      UPDATE firefly.task SET errors = (
        SELECT jsonb_agg(jsonb_build_object('name', 'TypeError', 'message', 'secret', 'at', now() - ${ago}::text::interval))
        FROM generate_series(1, 100)
      ) WHERE id = ${id}
    `;
  await fail("2 hours");
  assertEquals((await findings(db)).failures!.verdict, "ok");
  await fail("10 minutes");

  const { failures } = await findings(db);

  assertEquals(failures!.verdict, "warning");
  assertStringIncludes(failures!.value, "failed within the last hour (TypeError), and 0 tasks completed");
  assertMatch(failures!.value, /^100 attempts of "[^"]+"/);
  assertMatch(failures!.advice[0]!, /firefly pause default$/);
  await db.sql`
    INSERT INTO firefly.task (func_name, status, completed)
    SELECT func_name, 'completed', now() FROM firefly.task, generate_series(1, 101)
  `;
  assertEquals((await findings(db)).failures!.verdict, "ok");
});

Deno.test("doctor warns of a task that runs for ten times as long as its name usually takes", async () => {
  await using db = await testDatabase();
  const id = await insertTask(db);
  await claimOne(db, await startConsumer(db));
  await db.sql`UPDATE firefly.claim_batch SET claimed = now() - interval '2 hours'`;
  assertEquals((await findings(db))["long runs"]!.verdict, "ok", "nothing is known of its name");
  await db.sql`
    INSERT INTO firefly.task (func_name, status, started, completed)
    SELECT func_name, 'completed', now() - interval '3 seconds', now() FROM firefly.task, generate_series(1, 5)
  `;

  const found = (await findings(db))["long runs"]!;

  assertEquals(found.verdict, "warning");
  assertMatch(found.value, new RegExp(`^task ${id} "[^"]+" has run for 2 h, usually at most 3 s$`));
  await db.sql`UPDATE firefly.task SET started = completed - interval '20 minutes' WHERE status = 'completed'`;
  assertEquals((await findings(db))["long runs"]!.verdict, "ok");
});

Deno.test("gradeSizes() names the largest tables", () => {
  const small = [{ table: "task", bytes: 3 * 1024 ** 3 }, { table: "ready", bytes: 8192 }];
  assertEquals(gradeSizes(small), { verdict: "ok", value: "3.0 GB: task 3.0 GB, ready 8 kB", advice: [] });
  assertEquals(gradeSizes([{ table: "task", bytes: 21 * 1024 ** 3 }]).verdict, "warning");
});

Deno.test("queues() shows since when, by whom and why a queue is paused, and nothing of it once it is resumed", async () => {
  await using db = await testDatabase();
  await using ff = new Firefly({ database: db.url });
  const before = Date.now();
  assertEquals(await ff.pause("mail", { reason: "first" }), true);
  assertEquals(await ff.pause("mail"), false);
  const [first] = await ff.queues();
  assertEquals([first!.paused, first!.pausedReason], [true, "first"]);
  assertMatch(first!.pausedBy!, /^[^@]+@.+$/);
  assertEquals(Math.abs(first!.pausedSince!.getTime() - before) < 60_000, true);

  assertEquals(await ff.pause("mail", { reason: "second" }), false);
  assertEquals((await ff.queues())[0]!.pausedReason, "second");
  await ff.resume("mail");
  const [{ paused, pausedSince, pausedBy, pausedReason } = {}] = await ff.queues();
  assertEquals([paused, pausedSince, pausedBy, pausedReason], [false, null, null, null]);

  await db.sql`SELECT firefly.pause('mail', reason => 'by SQL')`;
  const [bySql] = await ff.queues();
  const [row] = await db.sql`SELECT current_user AS role`;
  assertEquals([bySql!.pausedBy, bySql!.pausedReason], [row!.role, "by SQL"]);
});
