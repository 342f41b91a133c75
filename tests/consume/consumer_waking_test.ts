import { assert } from "@std/assert";
import { setTimeout as sleep } from "node:timers/promises";
import { task } from "../../mod.ts";
import { Firefly } from "../../src/firefly/firefly.ts";
import { testDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";
import { gate } from "../support/step_gate.ts";
import { terminateAll } from "../support/terminate.ts";
import { holdersOf } from "../support/wake_lock.ts";

Deno.test("consume() runs a delayed task when it is due, long before the next poll", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => {});
  await using consumer = test.ff.consume({ pollInterval: "1h" });
  await consumer.ready;

  const row = await test.ff.run(() => work.with({ delay: "300ms" }).schedule());
  await row.result({ timeout: "10s" });

  const { started, notBefore } = await row.refresh();
  const late = Number(started) - Number(notBefore);
  assert(late >= 0 && late < 1000, `${late} ms late`);
});

Deno.test("consume() runs a task again when its retry is due, long before the next poll", async () => {
  await using test = await testInstance();
  const begun: number[] = [];
  const work = task({ name: taskName(), maxRetries: 4, retryDelay: "100ms" }, () => {
    begun.push(performance.now());
    if (begun.length < 5) throw new Error("not yet");
  });
  // Maintenance, which looks too, comes every 10 minutes.
  await using consumer = test.ff.consume({ pollInterval: "1h", lease: "1h" });
  await consumer.ready;
  await until(async () => (await holdersOf(test.db)).length === 1);

  const row = await test.ff.run(() => work.schedule());
  await row.result({ timeout: "10s" });

  const waits = begun.slice(1).map((at, i) => at - begun[i]!);
  assert(waits.every((ms) => ms < 1_000), `${waits.map(Math.round)} ms`);
});

Deno.test("consume() is woken by a notification, long before the next poll", async () => {
  await using test = await testInstance();
  const begun: number[] = [];
  const work = task(taskName(), () => void begun.push(performance.now()));
  // Polls come every hour, renewals every 20 minutes, and a consumer that holds its wake lock does not retry.
  await using _ = test.ff.consume({ pollInterval: "1h", lease: "1h" });
  await until(async () => (await holdersOf(test.db)).length === 1);

  const waits: number[] = [];
  for (let i = 0; i < 5; i++) {
    const scheduled = performance.now();
    await insertTask(test.db, { func_name: work.funcName });
    await until(() => begun.length === i + 1, 30_000);
    waits.push(begun[i]! - scheduled);
  }

  // Only maintenance looks, too, every 5 s: without the notification, most of these waits are as long.
  assert(waits.every((ms) => ms < 1_000), `${waits.map(Math.round)} ms`);
});

Deno.test("consume() finds tasks scheduled while its listener was away", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => {});
  const connections: number[] = [];
  test.ff.on("listener.connected", () => connections.push(performance.now()));
  await using _ = test.ff.consume({ pollInterval: "1h" });
  await until(() => connections.length === 1);
  // Until this one has run, the look that follows the first connection may still be in progress.
  const before = await insertTask(test.db, { func_name: work.funcName });
  await until(async () => (await recordOf(test.db, before)).status === "completed", 5_000);

  await terminateAll(test.db, "query ~* 'listen|_wake_lock'");
  const id = await insertTask(test.db, { func_name: work.funcName });

  // Sooner than the next renewal of the lease, which looks for tasks too.
  await until(async () => (await recordOf(test.db, id)).status === "completed", 5_000);
  await until(() => connections.length === 2);
});

Deno.test("consume() polls when notifications do not arrive", async () => {
  await using test = await testInstance({ listenDatabase: "postgres://postgres@127.0.0.1:1/nowhere" });
  const work = task(taskName(), () => {});
  await using consumer = test.ff.consume({ pollInterval: "100ms" });
  await consumer.ready;

  const id = await insertTask(test.db, { func_name: work.funcName });

  await until(async () => (await recordOf(test.db, id)).status === "completed");
});

Deno.test("consume() looks once for each task that comes alone", async () => {
  await using db = await testDatabase();
  await using ff = new Firefly({ database: db.url });
  const { database } = await ff.connect();
  let looks = 0;
  const { sql } = database;
  const counting = (strings: TemplateStringsArray, ...values: unknown[]) => {
    if (strings.raw.join().includes("synchronous_commit")) looks++; // only a claim does not wait for the disk
    return sql(strings, ...values);
  };
  Object.defineProperty(database, "sql", { value: Object.assign(counting, sql) });
  const work = task(taskName(), () => {});
  await using consumer = ff.consume();
  await consumer.ready;
  for (let i = 0; i < 5; i++) await ff.run(() => work.schedule().result());
  const before = looks;

  for (let i = 0; i < 20; i++) {
    await ff.run(() => work.schedule().result());
    await sleep(20);
  }

  const took = looks - before;
  assert(took >= 20 && took < 35, `${took} looks for 20 tasks`);
});

Deno.test("consume() that gets no notifications looks again whenever a task ends", async () => {
  await using test = await testInstance({ listenDatabase: "postgres://postgres@127.0.0.1:1/nowhere" });
  const steps = [gate(), gate(), gate(), gate()];
  const work = task(taskName(), (i: number) => steps[i]!.wait());
  await using consumer = test.ff.consume({ concurrency: 2, pollInterval: "1h", lease: "1h" });
  await test.ff.run(() => work.schedule(0));
  const waits: number[] = [];

  for (const [i, step] of steps.entries()) {
    await step.reached;
    await sleep(100); // it has found nothing else by now
    if (i < 3) await test.ff.run(() => work.schedule(i + 1));
    const ended = performance.now();
    step.open();
    await steps[i + 1]?.reached;
    waits.push(performance.now() - ended);
  }
  await consumer.stop();

  // Only maintenance looks, too, every 5 s: without these looks, most of the waits are as long.
  assert(waits.every((ms) => ms < 1_000), `${waits.map(Math.round)} ms`);
});
