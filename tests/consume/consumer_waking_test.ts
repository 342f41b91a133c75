import { assert } from "@std/assert";
import { setTimeout as sleep } from "node:timers/promises";
import { task } from "../../mod.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { insertTask, recordOf, until } from "../support/steps.ts";
import { gate } from "../support/step_gate.ts";
import { terminateAll } from "../support/terminate.ts";

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

Deno.test("consume() is woken by a notification, long before the next poll", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => {});
  const connected = Promise.withResolvers<void>();
  test.ff.on("listener.connected", () => connected.resolve());
  await using _ = test.ff.consume({ pollInterval: "1h" });
  await connected.promise;

  for (let i = 0; i < 5; i++) await test.ff.run(() => work.schedule().result({ timeout: "10s" }));
});

Deno.test("consume() finds tasks scheduled while its listener was away", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => {});
  const connections: number[] = [];
  test.ff.on("listener.connected", () => connections.push(performance.now()));
  await using _ = test.ff.consume({ pollInterval: "1h" });
  await until(() => connections.length === 1);
  // Until this one has run, the look that follows the first connection may still be under way.
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
  await using test = await testInstance();
  const work = task(taskName(), () => {});
  await using consumer = test.ff.consume();
  await consumer.ready;
  const looks = async () => {
    await sleep(1200); // a connection tells its statistics once a second, with its next statement
    await test.ff.run(() => work.schedule().result());
    await test.db.sql`SELECT pg_stat_clear_snapshot()`;
    const [row] = await test.db.sql`
      SELECT idx_scan::int AS looks FROM pg_stat_user_indexes WHERE indexrelname = 'ready_quarantined'
    `;
    return row!.looks;
  };
  for (let i = 0; i < 5; i++) await test.ff.run(() => work.schedule().result());
  const before = await looks();

  for (let i = 0; i < 20; i++) {
    await test.ff.run(() => work.schedule().result());
    await sleep(20);
  }

  const took = await looks() - before;
  assert(took >= 20 && took < 35, `${took} looks for 20 tasks`);
});

Deno.test("consume() that hears nothing looks again whenever a task ends", async () => {
  await using test = await testInstance({ listenDatabase: "postgres://postgres@127.0.0.1:1/nowhere" });
  const slow = gate();
  const wait = task(taskName(), slow.wait);
  const noop = task(taskName(), () => {});
  await using consumer = test.ff.consume({ concurrency: 2, pollInterval: "1h" });
  await test.ff.run(() => wait.schedule());
  await slow.reached;
  await sleep(300); // it has found nothing else by now
  const row = await test.ff.run(() => noop.schedule());

  slow.open();

  // Long before the next renewal, after 10 s.
  await until(async () => (await row.refresh()).status === "completed", 3_000);
  await consumer.stop();
});
