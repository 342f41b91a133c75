import { assertEquals, assertMatch } from "@std/assert";
import { task } from "../../mod.ts";
import { promoteDueTasks } from "../../src/store/waiting.ts";
import { removeExpiredConsumers } from "../../src/store/consumers.ts";
import { rescueTasks } from "../../src/store/rescue.ts";
import { requeueUnplaced } from "../../src/store/unplaced.ts";
import { settleTasks } from "../../src/store/settle.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { claim, claimOne, expireConsumer, startConsumer } from "../support/claiming.ts";
import { insertTask, withoutTriggers } from "../support/records.ts";
import { outcomeOf } from "../support/settling.ts";
import { until } from "../support/waiting.ts";
import { codesOf, pick } from "../support/explanations.ts";

Deno.test("explain() tells who runs a task, and since when", async () => {
  await using test = await testInstance();
  const consumer = await startConsumer(test.db);
  const id = await insertTask(test.db);
  await claimOne(test.db, consumer);

  const { status, reasons: [reason, ...more] } = await test.ff.tasks.explain(id);

  const [held] = await test.db
    .sql`SELECT claimed AS since, lease_until AS "leaseUntil" FROM firefly.claim_batch, firefly.consumer`;
  const { message, ...data } = reason!;
  assertEquals([status, more], ["running", []]);
  assertEquals(data, { reason: "running", attempt: 1, consumer, host: "test", pid: 1, ...held } as typeof data);
  assertMatch(message, /^Attempt 1 has been running since .* on test, process 1$/);
});

Deno.test("explain() tells what two real consumers do", async () => {
  await using test = await testInstance();
  const { ff } = test;
  const queue = "real";
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const hold = task({ name: taskName(), queue }, () => released);
  const options = { queues: queue, tasks: [hold], concurrency: 1 };
  await using consumers = new AsyncDisposableStack();
  for (let i = 0; i < 2; i++) await consumers.use(ff.consume(options)).ready;
  const ids = [];
  for (let i = 0; i < 3; i++) ids.push((await ff.run(() => hold.schedule())).id);
  await until(async () => (await ff.tasks.list({ status: "running" })).items.length === 2);

  const explanations = await Promise.all(ids.map((id) => ff.tasks.explain(id)));
  release();

  const running = explanations.filter(({ status }) => status === "running").map((e) => pick(e, "running"));
  const [waiting] = explanations.filter(({ status }) => status === "created");
  assertEquals([running.length, new Set(running.map(({ consumer }) => consumer)).size], [2, 2]);
  assertEquals(running.map(({ host, pid }) => [host, pid]), running.map(() => [Deno.hostname(), Deno.pid]));
  assertEquals(codesOf(waiting!), ["busy"]);
  assertEquals(pick(waiting!, "busy").concurrency, 2);
  await until(async () => codesOf(await ff.tasks.explain(waiting!.id))[0] === "ended");
});

Deno.test("explain() takes no lease of an earlier claim for a running attempt", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const consumerId = await startConsumer(db);
  const id = await insertTask(db);
  await claimOne(db, consumerId);
  await ff.tasks.cancel({ ids: [id] });
  const cancelled = await ff.tasks.explain(id);
  await ff.tasks.retry({ ids: [id] });

  assertEquals([codesOf(cancelled), codesOf(await ff.tasks.explain(id))], [["ended"], ["due"]]);
});

Deno.test("explain() tells that the consumer of a task died, and whether another will rescue it", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const consumerId = await startConsumer(db);
  const id = await insertTask(db);
  await claimOne(db, consumerId);
  await expireConsumer(db, consumerId);
  const alone = await ff.tasks.explain(id);
  await startConsumer(db);
  const expired = await ff.tasks.explain(id);
  await removeExpiredConsumers(db.store);
  const removed = await ff.tasks.explain(id);

  assertEquals([alone, expired, removed].map(codesOf), [["orphaned", "no_consumer"], ["orphaned"], ["orphaned"]]);
  assertEquals([alone, expired, removed].map(({ status }) => status), ["running", "running", "running"]);
  assertEquals([alone, expired, removed].map(({ summary }) => summary), [
    "The consumer that ran attempt 1 on test, process 1 crashed: it is rescued once a consumer runs",
    "The consumer that ran attempt 1 on test, process 1 crashed: another one will rescue it soon",
    "The consumer that ran attempt 1 crashed: another one will rescue it soon",
  ]);
  assertEquals(pick(removed, "orphaned").pid, null);
});

Deno.test("explain() tells that a rescued task is a quarantined task, and counts only quarantined before it", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const dead = await startConsumer(db);
  const ids = [await insertTask(db), await insertTask(db)];
  await db.sql`UPDATE firefly.task SET crash_count = 1`;
  await claim(db, { consumerId: dead });
  await expireConsumer(db, dead);
  await removeExpiredConsumers(db.store);
  await rescueTasks(db.store);
  const live = await startConsumer(db);
  await insertTask(db, { priority: 9 });

  const [first, second] = await Promise.all(ids.map((id) => ff.tasks.explain(id)));
  await claim(db, { consumerId: live });
  const next = await ff.tasks.explain(ids[1]!);

  assertEquals([codesOf(first!), codesOf(second!)], [["quarantined"], ["quarantined", "behind"]]);
  const { message: _, ...data } = pick(first!, "quarantined");
  assertEquals([data, pick(second!, "behind").ahead], [{ reason: "quarantined", rescues: 1, crashes: 2 }, 1]);
  // The consumer has room, but not for a second quarantined.
  assertEquals(codesOf(next), ["quarantined", "busy"]);
});

Deno.test("explain() tells that all consumers that could run a task have no room", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const consumerId = await startConsumer(db); // its concurrency is 10
  await startConsumer(db, { tasks: ["other.task"] });
  for (let i = 0; i < 10; i++) await insertTask(db);
  const { tasks: [claimed] } = await claim(db, { consumerId });
  const id = await insertTask(db);
  const busy = await ff.tasks.explain(id);
  await settleTasks(db.store, [outcomeOf(claimed!)], []); // the lease stays, for the other nine
  const free = await ff.tasks.explain(id);

  const message = "The consumers that could run it have no room: they run 10 of 10 tasks";
  assertEquals(busy.reasons, [{ reason: "busy", message, consumers: 1, running: 10, concurrency: 10 }]);
  assertEquals(codesOf(free), ["due"]);
});

Deno.test("explain() tells that a task stands nowhere, until it is put back", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  await startConsumer(db);
  const id = await insertTask(db);
  await withoutTriggers(db, (sql) => sql`UPDATE firefly.task SET priority = 7 WHERE id = ${id}`);
  const unplaced = await ff.tasks.explain(id);
  await requeueUnplaced(db.store, 0);
  await promoteDueTasks(db.store, ["default"]);

  assertEquals([codesOf(unplaced), codesOf(await ff.tasks.explain(id))], [["unplaced"], ["due"]]);
});
