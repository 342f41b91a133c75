import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { headingOf, judge, quietWords } from "../../src/dashboard/verdict.ts";
import type { Entry } from "../../src/dashboard/verdict_entry.ts";
import { type Facts, readFacts } from "../../src/dashboard/verdict_facts.ts";
import { removeExpiredConsumers } from "../../src/store/consumers.ts";
import { rescueTasks } from "../../src/store/rescue.ts";
import { deleteOrphanedCron } from "../../src/store/cron.ts";
import { parkUnknownTasks, unparkKnownTasks } from "../../src/store/waiting.ts";
import { claim, expireConsumer, startConsumer } from "../support/claiming.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { insertTask } from "../support/records.ts";
import { countName } from "../support/statistics_rows.ts";

async function factsOf(db: TestDatabase): Promise<Facts> {
  const [row] = await db.sql`SELECT now() AS now`;
  return await readFacts({ sql: db.records, now: row!.now, mayReadRecords: true });
}

async function verdictOf(db: TestDatabase): Promise<Entry[]> {
  return judge(await factsOf(db), (path, query) => `${path}?${new URLSearchParams(query as Record<string, string>)}`);
}

/** The kind of each entry: what its id begins with. */
async function kindsOf(db: TestDatabase): Promise<string[]> {
  return (await verdictOf(db)).map(({ id }) => id.split(":")[0]!);
}

/** The words of an entry's sentence. */
function wordsOf({ sentence }: Entry): string {
  return String(sentence).replace(/<[^>]*>/g, "");
}

Deno.test("judge() finds nothing in a database that has nothing to do", async () => {
  await using db = await testDatabase();
  await startConsumer(db);
  const facts = await factsOf(db);

  assertEquals(judge(facts, (path) => path), []);
  assertEquals(headingOf([]), "Nothing needs attention");
  assertEquals(quietWords(facts), [
    "Every queue that has due tasks is served, and no task has failed for good in the last hour.",
    "No task is due.",
  ]);
});

Deno.test("judge() says that no consumer serves a queue, until one does", async () => {
  await using db = await testDatabase();
  await startConsumer(db, { queues: ["other"] });
  await insertTask(db, { queue: "webhooks" });
  await db.sql`
    INSERT INTO firefly.queue_minute (minute, queue, due, places)
    VALUES (date_trunc('minute', now()) - interval '9 minutes', 'webhooks', 0, 20)
  `;

  const [entry, ...others] = await verdictOf(db);
  await startConsumer(db, { queues: ["webhooks"] });

  assert(entry);
  assertEquals([entry.id, entry.rank, others], ["unserved:webhooks", "stands", []]);
  assertMatch(wordsOf(entry), /^No consumer serves webhooks: 1 task is due, the oldest for [\d.]+ m?s$/);
  assert(Date.now() - entry.since!.getTime() > 8 * 60_000);
  assertEquals(await kindsOf(db), []);
});

Deno.test("judge() says that a queue is paused while it has due tasks, by whom and why", async () => {
  await using db = await testDatabase();
  await startConsumer(db, { queues: ["reports"] });
  await db.sql`SELECT firefly.pause('reports', 'the printer is broken', 'ana')`;

  assertEquals(await kindsOf(db), [], "a paused queue without due tasks needs no attention");
  await insertTask(db, { queue: "reports" });
  const [entry] = await verdictOf(db);
  await db.sql`SELECT firefly.resume('reports')`;

  assert(entry);
  assertEquals([entry.id, entry.evidence], ["paused:reports", "ana paused it: “the printer is broken”"]);
  assertEquals(entry.steps[0], {
    label: "Resume",
    path: "/queues/resume",
    fields: { name: "reports", back: "overview" },
  });
  assert(entry.since);
  assertEquals(await kindsOf(db), []);
});

Deno.test("judge() names a task that no consumer knows, and the one that was meant", async () => {
  await using db = await testDatabase();
  await startConsumer(db, { tasks: ["pdf.render"] });
  const id = await insertTask(db, { func_name: "pdf.rendr" });
  await parkUnknownTasks(db.store, ["default"]);

  const [entry] = await verdictOf(db);
  await startConsumer(db, { tasks: ["pdf.rendr"] });
  await unparkKnownTasks(db.store, { queues: ["default"], names: ["pdf.rendr"] } as never);

  assert(entry);
  assertEquals(wordsOf(entry), "No consumer knows pdf.rendr: 1 task waits in default");
  assertEquals([entry.evidence, entry.steps], ['Did you mean "pdf.render"?', [{
    label: "Why?",
    href: `/tasks/${id}?`,
  }]]);
  assertEquals(await kindsOf(db), []);
});

Deno.test("judge() says that a name fails from 5 failed attempts and 20% in 15 minutes on", async () => {
  await using db = await testDatabase();
  await countName(db, { ago: 2, completed: 15, failed: 1, retried: 3 });
  assertEquals(await kindsOf(db), [], "4 of 19");

  await countName(db, { ago: 1, failed: 1, completed: 0 });
  const [entry] = await verdictOf(db);
  await countName(db, { ago: 0, completed: 6 });
  const many = await kindsOf(db);
  await db.sql`UPDATE firefly.task_minute SET minute = minute - interval '16 minutes'`;

  assert(entry);
  assertEquals([entry.id, entry.rank], ["fails:test.task", "loses"]);
  assertEquals(wordsOf(entry), "test.task fails: 5 of 20 attempts in the last hour");
  assert(Date.now() - entry.since!.getTime() >= 2 * 60_000 - 1000);
  assertEquals(many, [], "5 of 26");
  assertEquals(await kindsOf(db), [], "over 15 minutes ago");
});

Deno.test("judge() offers to retry what failed for good, with the newest error of the name", async () => {
  await using db = await testDatabase();
  await startConsumer(db, { tasks: ["test.task"] });
  await countName(db, { retried: 5 });
  await db.sql`
    INSERT INTO firefly.error_group (fingerprint, queue, func_name, name, message, first, last, attempts, last_task_id)
    VALUES (7, 'default', 'test.task', 'HttpError', 'too "many"', now() - interval '3 days', now(), 9, 1)
  `;
  await db.sql`
    INSERT INTO firefly.failed_task (task_id, failed, queue, func_name, fingerprint)
    SELECT id, now(), 'default', 'test.task', 7 FROM generate_series(1, 12) AS id
  `;

  const [entry, ...others] = await verdictOf(db);

  assert(entry);
  assertEquals(others, []);
  assertStringIncludes(wordsOf(entry), "12 tasks for good");
  assertEquals(String(entry.evidence), "<code>HttpError: too &quot;many&quot;</code>");
  assertEquals(entry.steps.map(({ label }) => label), ["Retry 12…", "See"]);
  const [{ href, asks }] = entry.steps as unknown as [{ href: string; asks: boolean }];
  assertEquals(new URL(href, "http://localhost").searchParams.get("q"), "status:failed name:test.task");
  assertEquals(asks, true);
});

Deno.test("judge() reports an error that is new once a task failed for good by it, for an hour", async () => {
  await using db = await testDatabase();
  await db.sql`
    INSERT INTO firefly.error_group (fingerprint, queue, func_name, name, message, first, last, attempts, last_task_id)
    VALUES (8, 'default', 'billing.charge', 'CardDeclined', 'no', now() - interval '5 minutes', now(), 1, 1)
  `;
  assertEquals(await kindsOf(db), [], "it may be tried again");

  await db.sql`
    INSERT INTO firefly.failed_task (task_id, failed, queue, func_name, fingerprint)
    VALUES (1, now(), 'default', 'billing.charge', 8)
  `;
  const [entry] = await verdictOf(db);
  await db.sql`UPDATE firefly.error_group SET first = now() - interval '61 minutes'`;

  assert(entry);
  assertEquals(wordsOf(entry), "billing.charge fails in a new way: 1 task for good in the last hour");
  assertEquals(await kindsOf(db), []);
});

Deno.test("judge() says that a queue falls behind once a task is due for a minute and no place is free", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await db.sql`INSERT INTO firefly.task (func_name) SELECT 'test.task' FROM generate_series(1, 10)`;
  assertEquals((await claim(db, { consumerId, limit: 10 })).tasks.length, 10);
  await db.sql`INSERT INTO firefly.task (func_name, not_before) VALUES ('test.task', now() - interval '20 seconds')`;
  assertEquals(await kindsOf(db), [], "20 s");

  await db.sql`INSERT INTO firefly.task (func_name, not_before) VALUES ('test.task', now() - interval '65 seconds')`;
  const [entry] = await verdictOf(db);
  await startConsumer(db);

  assert(entry);
  assertEquals([entry.id, entry.rank], ["behind:default", "slow"]);
  assertMatch(wordsOf(entry), /^default falls behind: 2 tasks are due, the oldest for 1m/);
  assertEquals(entry.evidence, "Its consumer has no room: 10 of 10 places are taken");
  assertEquals(await kindsOf(db), [], "a second consumer has room");
});

Deno.test("judge() says that a consumer is silent, then crashed, until another one has its tasks", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db, { lease: 600 });
  await insertTask(db);
  await claim(db, { consumerId });
  await db
    .sql`UPDATE firefly.consumer SET seen = now() - interval '370 seconds', lease_until = now() + interval '230 seconds'`;
  assertEquals(await kindsOf(db), [], "it has not been silent for two thirds of its lease");

  await db
    .sql`UPDATE firefly.consumer SET seen = now() - interval '430 seconds', lease_until = now() + interval '170 seconds'`;
  const [silent] = await verdictOf(db);
  await expireConsumer(db, consumerId);
  const [crashed] = await verdictOf(db);
  await startConsumer(db);
  await removeExpiredConsumers(db.store);
  const [left] = await verdictOf(db);
  await rescueTasks(db.store);

  assertMatch(wordsOf(silent!), /^test, process 1, is silent: it answered 7m/);
  assertEquals([silent!.rank, crashed!.rank], ["odd", "stands"]);
  assertEquals(wordsOf(crashed!), "test, process 1, has crashed: it held 1 task");
  assertEquals(crashed!.evidence, "Start a consumer: it takes over its tasks");
  assertEquals([wordsOf(left!), left!.evidence], [
    "A consumer that crashed held 1 task",
    "Another consumer takes over its tasks within seconds",
  ]);
  assertEquals(await kindsOf(db), []);
});

Deno.test("judge() says that a task runs for long where its name has run shorter before", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const id = await insertTask(db);
  await claim(db, { consumerId });
  await db.sql`UPDATE firefly.claim_batch SET claimed = now() - interval '100 seconds'`;
  assertEquals(await kindsOf(db), [], "there is nothing to compare it with");

  await countName(db, { completed: 5, run: [0, 0, 0, 0, 5] });
  const [entry] = await verdictOf(db);
  await db.sql`UPDATE firefly.task_minute SET run = '{0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,5}'`; // up to a minute
  const usual = await kindsOf(db);
  await db.sql`UPDATE firefly.task_minute SET run = '{0,0,0,0,5}'`;
  await db.sql`SELECT firefly.cancel(${id}::bigint)`;

  assert(entry);
  assertEquals([entry.id, entry.rank], [`long:${id}`, "slow"]);
  assertMatch(wordsOf(entry), new RegExp(`^test\\.task #${id} has run for \\d+m( \\d+s)? on test, process 1$`));
  assertEquals(usual, []);
  assertEquals(await kindsOf(db), []);
});

async function insertCron(
  db: TestDatabase,
  name: string,
  { since = "1 day", expression = "*/5 * * * *" } = {},
): Promise<void> {
  await db.sql`
    INSERT INTO firefly.cron (name, names, expression, timezone, missed, task, definition, since)
    VALUES (${name}, ARRAY[${name}], ${expression}, 'UTC', 'skip', '{"queue": "default"}', '', now() - ${since}::interval)
  `;
}

Deno.test("judge() says that a cron missed a slot, until it fires or is paused", async () => {
  await using db = await testDatabase();
  await startConsumer(db, { tasks: ["reports.nightly"] });
  await insertCron(db, "reports.nightly");

  const [entry, ...others] = await verdictOf(db);
  await db.sql`SELECT firefly.pause_cron('reports.nightly')`;
  const paused = await kindsOf(db);
  await db.sql`SELECT firefly.resume_cron('reports.nightly')`;
  await db.sql`UPDATE firefly.cron SET since = now() - interval '1 day'`;
  const resumed = await kindsOf(db);
  await db.sql`INSERT INTO firefly.cron_slot (cron, slot) VALUES ('reports.nightly', now())`;

  assert(entry);
  assertEquals([entry.id, entry.rank, others], ["cron missed:reports.nightly", "stands", []]);
  assertMatch(wordsOf(entry), /^reports\.nightly missed its slot of \d{4}-\d\d-\d\d \d\d:\d[05]:00 UTC$/);
  assertEquals(entry.steps[0], { label: "Run now", path: "/crons/run", fields: { name: "reports.nightly" } });
  assertEquals([paused, resumed], [[], ["cron missed"]]);
  assertEquals(await kindsOf(db), []);
});

Deno.test("judge() says that the last run of a cron failed, until one completes", async () => {
  await using db = await testDatabase();
  await startConsumer(db, { tasks: ["reports.nightly"] });
  await insertCron(db, "reports.nightly", { since: "1 second" });
  const errors = JSON.stringify([{ name: "RangeError", message: "no", at: new Date(), attempt: 1 }]);
  const id = await insertTask(db, { func_name: "reports.nightly", status: "failed", failed: new Date(), errors });
  await db.sql`UPDATE firefly.task SET errors = ${errors}::text::jsonb WHERE id = ${id}`;
  await db
    .sql`INSERT INTO firefly.cron_slot (cron, slot, task_id) VALUES ('reports.nightly', now() - interval '5 minutes', ${id})`;

  const [entry] = (await verdictOf(db)).filter(({ id }) => id.startsWith("cron"));
  const next = await insertTask(db, { func_name: "reports.nightly", status: "completed", completed: new Date() });
  await db.sql`INSERT INTO firefly.cron_slot (cron, slot, task_id) VALUES ('reports.nightly', now(), ${next})`;

  assert(entry);
  assertEquals([entry.id, entry.rank], ["cron failed:reports.nightly", "loses"]);
  assertStringIncludes(wordsOf(entry), "The last run of reports.nightly failed");
  assertEquals(String(entry.evidence), "<code>RangeError: no</code>");
  assertEquals((await kindsOf(db)).filter((kind) => kind.startsWith("cron")), []);
});

Deno.test("judge() says that a cron is orphaned: without a consumer, or removed from the code", async () => {
  await using db = await testDatabase();
  await insertCron(db, "old.cleanup");

  const [orphaned] = await verdictOf(db);
  await db.sql`UPDATE firefly.cron SET removed = now()`;
  const [removed] = await verdictOf(db);
  await deleteOrphanedCron(db.records, "old.cleanup");

  assertEquals([orphaned!.id, orphaned!.rank], ["cron orphaned:old.cleanup", "stands"]);
  assertEquals([removed!.id, removed!.rank], ["cron removed:old.cleanup", "odd"]);
  assertEquals(removed!.steps[0], { label: "Delete…", href: "/crons/delete?name=old.cleanup", asks: true });
  assertEquals(await kindsOf(db), []);
});

Deno.test("judge() puts what loses tasks first, and makes many entries of one kind one", async () => {
  await using db = await testDatabase();
  for (const queue of ["a", "b", "c", "d", "e", "f"]) await insertTask(db, { queue });
  await startConsumer(db, { queues: ["other"], tasks: ["reports.nightly"] });
  await db.sql`UPDATE firefly.consumer SET seen = now() - interval '1 hour'`;
  await insertCron(db, "reports.nightly", { since: "1 second" });
  const id = await insertTask(db, { func_name: "reports.nightly", status: "failed", failed: new Date() });
  await db.sql`INSERT INTO firefly.cron_slot (cron, slot, task_id) VALUES ('reports.nightly', now(), ${id})`;
  await countName(db, { failed: 5 });

  const entries = await verdictOf(db);

  const kinds = ["fails", "cron failed", "unserved", "unserved", "unserved", "more", "silent"];
  assertEquals(entries.map(({ id }) => id.split(":")[0]), kinds);
  assertEquals(wordsOf(entries.at(-2)!), "3 other queues with due tasks have no consumer");
  assertEquals(headingOf(entries), "7 things need attention");
});
