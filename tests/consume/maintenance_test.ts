import { assert, assertEquals } from "@std/assert";
import { task } from "../../mod.ts";
import { Admission } from "../../src/claim/admission.ts";
import { Dependants } from "../../src/claim/dependants.ts";
import { Emitter } from "../../src/events.ts";
import { Maintenance } from "../../src/consume/maintenance.ts";
import { registerWaiters } from "../../src/store/records.ts";
import { testConfig } from "../support/consumer_config.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { claim, expireConsumer, startConsumer } from "../support/claiming.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { insertTask, placesOf, recordOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";

/** Maintenance with a round every `pauseMs`, and a note of what it reports. */
async function testMaintenance(db: TestDatabase, { pauseMs = 50, names = ["test.task"] } = {}) {
  const events = new Emitter();
  const rescued: { id: number; failed: boolean }[] = [];
  const errors: unknown[] = [];
  const rounds = { done: 0 };
  events.on("rescued", ({ id, failed }) => rescued.push({ id, failed }));
  await startConsumer(db, { tasks: names });
  const onError = (error: unknown) => errors.push(error);
  const admission = new Admission(db.store, { onProgress() {}, onError, onSuccess() {} });
  const dependants = new Dependants(db.store, { onProgress() {}, onError, onSuccess() {} });
  const maintenance = new Maintenance({
    sql: db.store,
    events,
    admission,
    dependants,
    config: testConfig({ names, leaseMs: 6 * pauseMs }),
    queues: { names: ["default"] },
    onSuccess: (step) => step === "prune records" && rounds.done++,
    onError: (step, error) => errors.push([step, error]),
  });
  async function end(): Promise<void> {
    await maintenance.end();
    await admission.idle();
    await dependants.idle();
  }
  return { maintenance, rescued, errors, rounds, [Symbol.asyncDispose]: end };
}

Deno.test("maintenance removes an expired consumer and requeues all of its tasks in one round, however many batches", async () => {
  await using db = await testDatabase();
  const crashed = await startConsumer(db);
  await db.sql`INSERT INTO firefly.task (func_name) SELECT 'test.task' FROM generate_series(1, 90)`;
  for (let i = 0; i < 45; i++) await claim(db, { consumerId: crashed, limit: 2 });
  await expireConsumer(db, crashed);
  await using test = await testMaintenance(db, { pauseMs: 500 });

  await test.maintenance.start();

  await until(() => test.rounds.done > 0);
  assertEquals(await placesOf(db), { ready: 90, waiting: 0, claimBatches: 0 });
  assertEquals(test.rescued.map(({ id, failed }) => [id, failed]).length, 90);
  assert(test.rescued.every(({ failed }) => !failed));
  assertEquals((await db.sql`SELECT FROM firefly.consumer WHERE id = ${crashed}`).length, 0);
});

Deno.test("maintenance unparks tasks that this consumer knows at once, and parks tasks that no consumer knows", async () => {
  await using db = await testDatabase();
  const [known, unknown] = [await insertTask(db), await insertTask(db, { func_name: "test.stranger" })];
  await db
    .sql`INSERT INTO firefly.waiting SELECT id, claim_seq, not_before, priority, queue, func_name, 'unknown' FROM firefly.ready WHERE id = ${known}`;
  await db.sql`DELETE FROM firefly.ready WHERE id = ${known}`;
  await using test = await testMaintenance(db, { pauseMs: 300 });

  await test.maintenance.start();
  assertEquals((await db.sql`SELECT id::int FROM firefly.ready ORDER BY id`).map(({ id }) => id), [known, unknown]);

  await until(async () => (await placesOf(db)).waiting === 1);
  assertEquals((await db.sql`SELECT id::int, reason FROM firefly.waiting`)[0], { id: unknown, reason: "unknown" });
});

Deno.test("maintenance requeues unplaced tasks, and deletes expired result waiters", async () => {
  await using db = await testDatabase();
  const unplaced = await insertTask(db);
  await db.sql`DELETE FROM firefly.ready`;
  await registerWaiters(db.store, [unplaced]);
  await db.sql`UPDATE firefly.result_waiter SET until = now() - interval '1 s'`;
  await using test = await testMaintenance(db);

  await test.maintenance.start();

  await until(async () => (await placesOf(db)).waiting === 1);
  await until(async () => (await db.sql`SELECT FROM firefly.result_waiter`).length === 0);
  assertEquals((await recordOf(db, unplaced)).claim_seq, 1);
});

Deno.test("maintenance goes on after an error, and end() waits for the round in progress", async () => {
  await using db = await testDatabase();
  const test = await testMaintenance(db);
  await db.sql`ALTER TABLE firefly.claim_batch RENAME TO batches_away`;
  await test.maintenance.start();
  await until(() => test.errors.length >= 2);
  await db.sql`ALTER TABLE firefly.batches_away RENAME TO claim_batch`;
  const crashed = await startConsumer(db);
  await insertTask(db);
  await claim(db, { consumerId: crashed });
  await expireConsumer(db, crashed);

  await until(() => test.rescued.length === 1);
  await test.maintenance.end();

  const { done } = test.rounds;
  await db.sql`DELETE FROM firefly.consumer`;
  await db.sql`SELECT pg_sleep(0.3)`; // longer than a round would take to come
  assertEquals(test.rounds.done, done);
});

Deno.test("a consumer takes deleted tasks off the list of failed ones, and samples the queues", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  await ff.migrate();
  await insertTask(db, { status: "failed" });
  await db.sql`DELETE FROM firefly.task`;
  assertEquals((await db.sql`SELECT FROM firefly.failed_task`).count, 1);
  const idle = task({ name: taskName() }, () => {});

  const consumer = ff.consume({ tasks: [idle], lease: "3s" });
  await until(async () => (await db.sql`SELECT FROM firefly.failed_task`).count === 0);
  await until(async () => (await db.sql`SELECT FROM firefly.queue_minute WHERE places > 0`).count > 0, 60_000);
  await consumer.stop();
});
