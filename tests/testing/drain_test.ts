import { assertEquals, assertInstanceOf, assertRejects, assertStringIncludes } from "@std/assert";
import { current, Fail, task } from "../../mod.ts";
import { testFirefly } from "../../testing.ts";

Deno.test("drain() runs what is due and what that schedules, in all queues, and counts", async () => {
  const leaf = task("drain.leaf", (n: number) => n);
  const root = task("drain.root", async () => {
    await leaf.with({ queue: "other" }).scheduleMany([[1], [2]]);
  });
  await using ff = await testFirefly({ tasks: [root, leaf] });
  await root.schedule();

  assertEquals(await ff.drain(), { completed: 3, failed: 0, retried: 0, cancelled: 0 });
});

Deno.test("drain({ queues }) leaves the others", async () => {
  const queued = task("drain.queued", () => {});
  await using ff = await testFirefly({ tasks: [queued] });
  for (const queue of ["one", "two", "three"]) await queued.with({ queue }).schedule();
  await queued.with({ queue: "three", delay: "1h" }).schedule();

  assertEquals((await ff.drain({ queues: ["one"] })).completed, 1);
  assertEquals((await ff.drain({ queues: "two", until: "2h" })).completed, 1);

  assertEquals((await ff.scheduled(queued)).map(({ queue }) => queue), ["three", "three"]);
});

Deno.test("drain() throws what handlers threw, after it has run all", async () => {
  class OutOfStock extends Error {
    override name = "OutOfStock";
  }
  const thrown = new OutOfStock("no more apples");
  const order = task("drain.order", (item: string) => {
    if (item === "apple") throw thrown;
    if (item === "stone") throw new Fail("nobody eats that");
  });
  await using ff = await testFirefly({ tasks: [order] });
  const [first] = await order.scheduleMany([["apple"], ["pear"], ["stone"]]);

  const error = await assertRejects(() => ff.drain(), AggregateError);

  assertEquals(error.errors.length, 2);
  assertEquals(error.errors.includes(thrown), true);
  assertStringIncludes(error.message, `task ${first!.id} "drain.order": OutOfStock: no more apples`);
  assertEquals((await ff.firefly.tasks.counts()).default!.completed, 1);
});

Deno.test("drain() throws the error of an attempt whose retry is still to come, until the task completes", async () => {
  let fails = true;
  const flaky = task({ name: "drain.flaky", maxRetries: 1, retryDelay: "5m" }, () => {
    if (fails) throw new Error("down");
  });
  await using ff = await testFirefly({ tasks: [flaky] });
  await flaky.schedule();

  const error = await assertRejects(() => ff.drain(), AggregateError, "down");
  assertInstanceOf(error.errors[0], Error);
  fails = false;
  assertEquals(await ff.drain({ until: "5m" }), { completed: 1, failed: 0, retried: 0, cancelled: 0 });
});

Deno.test("drain() forgets the errors of attempts whose task completes in the same drain", async () => {
  const flaky = task({ name: "drain.second", maxRetries: 1, retryDelay: 0 }, () => {
    if (current().attempt === 1) throw new Error("down");
  });
  await using ff = await testFirefly({ tasks: [flaky] });
  await flaky.schedule();

  assertEquals(await ff.drain(), { completed: 1, failed: 0, retried: 1, cancelled: 0 });
});

Deno.test("drain({ throwOnFailure: false }) counts failures, and stores them", async () => {
  const broken = task("drain.broken", () => {
    throw new Error("broken");
  });
  await using ff = await testFirefly({ tasks: [broken] });
  const record = await broken.schedule();

  assertEquals((await ff.drain({ throwOnFailure: false })).failed, 1);

  assertEquals((await record.refresh()).error?.message, "broken");
});

Deno.test("drain() throws what onFailed throws", async () => {
  const broken = task("drain.hook", () => {
    throw new Fail("broken");
  });
  await using ff = await testFirefly({
    tasks: [broken],
    onFailed() {
      throw new Error("the pager is broken, too");
    },
  });
  await broken.schedule();

  const error = await assertRejects(() => ff.drain(), AggregateError, "onFailed: Error: the pager is broken, too");
  assertEquals(error.errors.length, 2);
});

Deno.test("drain({ until }) follows chains of delays, and stops at its time", async () => {
  const chain = task("drain.chain", async (left: number) => {
    if (left > 0) await chain.with({ delay: "1h" }).schedule(left - 1);
  });
  await using ff = await testFirefly({ tasks: [chain] });
  await chain.schedule(10);

  assertEquals((await ff.drain({ until: "3h" })).completed, 4);

  const next = await ff.assertScheduled(chain, { args: [6] });
  assertEquals(next.notBefore > await ff.now(), true);
});

Deno.test("drain({ concurrency: 1 }) runs one task at a time, in order", async () => {
  const log: string[] = [];
  const slow = task("drain.order_of", async (name: string) => {
    log.push(`${name} starts`);
    await new Promise((resolve) => setTimeout(resolve, 5));
    log.push(`${name} ends`);
  });
  await using ff = await testFirefly({ tasks: [slow] });
  await slow.scheduleMany([["a"], ["b"]]);

  await ff.drain({ concurrency: 1 });

  assertEquals(log, ["a starts", "a ends", "b starts", "b ends"]);
});
