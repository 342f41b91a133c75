import { assert, assertEquals } from "@std/assert";
import { current, task } from "../../mod.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { placesOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";
import { gate } from "../support/step_gate.ts";

Deno.test("stop() returns tasks that have not begun, uncounted and in their old order", async () => {
  await using test = await testInstance();
  const slow = gate();
  const noop = task(taskName(), () => {});
  const wait = task(taskName(), slow.wait);
  const consumer = test.ff.consume({ concurrency: 2 });
  await test.ff.run(async () => {
    // Short tasks make the consumer claim large batches; the two that wait then hold up a batch.
    await noop.scheduleMany(Array.from({ length: 2000 }, () => []));
    await wait.scheduleMany([[], []]);
    await noop.scheduleMany(Array.from({ length: 500 }, () => []));
  });
  await slow.reached;

  const stopped = consumer.stop();
  slow.open();
  await stopped;

  const [row] = await test.db.sql`
    SELECT count(*) FILTER (WHERE status = 'created')::int AS created, count(*) FILTER (WHERE snoozes = 1)::int AS snoozed,
      coalesce(sum(rescues + retry_attempts), 0)::int AS counted
    FROM firefly.task_record
  `;
  assert(row!.created > 0, "something was left");
  assertEquals(row!.counted, 0);
  assertEquals(await placesOf(test.db), { ready: row!.created, waiting: 0, claimBatches: 0 });
  assertEquals((await test.drain()).completed, row!.created);
});

Deno.test("stop() aborts handlers after the shutdown timeout, and their tasks go back uncounted", async () => {
  await using test = await testInstance();
  const began = Promise.withResolvers<void>();
  let reason: unknown;
  const stubborn = task({ name: taskName(), maxRetries: 0 }, async () => {
    const { signal } = current();
    signal.addEventListener("abort", () => reason = signal.reason);
    began.resolve();
    await new Promise(() => {});
  });
  const row = await test.ff.run(() => stubborn.schedule());
  const consumer = test.ff.consume({ shutdownTimeout: 0.1 });
  await began.promise;

  await consumer.stop();

  assertEquals((reason as Error).name, "Shutdown");
  const { status, attempt } = await row.refresh();
  assertEquals([status, attempt], ["created", 1]);
});

Deno.test("consume() stops when its signal aborts", async () => {
  await using test = await testInstance();
  task(taskName(), () => {});
  const controller = new AbortController();
  const consumer = test.ff.consume({ signal: controller.signal });
  await consumer.ready;

  controller.abort();

  assertEquals(await consumer.finished, { completed: 0, failed: 0 });
  assertEquals((await test.db.sql`SELECT FROM firefly.consumer`).length, 0);
});

Deno.test("consume() returns claimed tasks that wait too long for a slot, so that others can begin them", async () => {
  await using test = await testInstance();
  const slow = gate();
  const noop = task(taskName(), () => {});
  const wait = task(taskName(), slow.wait);
  await test.ff.run(async () => {
    // Short tasks make the consumer claim large batches; those that wait then keep all of its slots.
    await noop.scheduleMany(Array.from({ length: 2000 }, () => []));
    await wait.scheduleMany([[], []]);
    await noop.scheduleMany(Array.from({ length: 300 }, () => []));
  });
  await using first = test.ff.consume({ concurrency: 2, pollInterval: "1h", shutdownTimeout: "1s" });
  await slow.reached;
  await until(async () => (await placesOf(test.db)).ready >= 300);

  const second = test.ff.consume({ tasks: [noop], drain: true });

  assertEquals(await second.finished, { completed: 300, failed: 0 });
  const [row] = await test.db.sql`SELECT sum(retry_attempts + rescues)::int AS counted FROM firefly.task_record`;
  assertEquals(row!.counted, 0);
  slow.open();
  await first.stop();
});
