import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { current, LeaseLost, TaskCancelled } from "../../mod.ts";
import { Attempt } from "../../src/attempt/attempt.ts";
import { defineTask } from "../../src/task/definition.ts";
import { removeExpiredConsumers } from "../../src/store/consumers.ts";
import { rescueTasks } from "../../src/store/rescue.ts";
import { claimOne, expireConsumer, startConsumer } from "../support/claiming.ts";
import { recordOf } from "../support/records.ts";
import { settle } from "../support/settling.ts";
import { bench, run } from "../support/attempt_bench.ts";
import { gate } from "../support/step_gate.ts";

Deno.test("start() rolls the effects back with LeaseLost when the task was rescued, so that they happen once", async () => {
  await using test = await bench();
  const { db } = test;
  await db.sql`CREATE TABLE effect (attempt int)`;
  const step = gate();
  const write = (attempt: number) => async () => {
    await current().sql`INSERT INTO effect VALUES (${attempt})`;
    if (attempt === 1) await step.wait();
  };
  const first = await test.begin(write(1));
  await step.reached;
  await expireConsumer(db, first.consumerId);
  await removeExpiredConsumers(db.store);
  await rescueTasks(db.store);
  const successor = await claimOne(db, await startConsumer(db));
  test.env.settler.track(successor.batchId, 1);

  step.open();
  assertEquals(await first.ending, "lost");
  const [lost] = test.heard.filter(({ event }) => event === "lost");
  assert(lost!.detail.reason instanceof LeaseLost);
  const second = new Attempt(successor, defineTask("test.task", write(2)), test.env);
  assertEquals(await run(second), "completed");

  assertEquals((await db.sql`SELECT attempt FROM effect`).map(({ attempt }) => attempt), [2]);
});

Deno.test("start() ends the attempt as cancelled, whether its handler returns or throws, with a transaction or not", async () => {
  await using test = await bench();
  const handlers = { plain: () => {}, writing: () => current().sql`SELECT 1`, failing: () => Promise.reject("no") };

  for (const [what, work] of Object.entries(handlers)) {
    const step = gate();
    const { id, ending } = await test.begin(async () => {
      await step.wait();
      await work();
    });
    await step.reached;
    await test.db.sql`SELECT firefly.cancel(${id})`;
    step.open();

    assertEquals(await ending, "cancelled", what);
    const { status, errors, returned } = await recordOf(test.db, id);
    assertEquals({ status, errors, returned }, { status: "cancelled", errors: [], returned: null }, what);
    assert(test.heard.at(-1)!.detail.reason instanceof TaskCancelled, what);
  }
  assertEquals(test.heard.map(({ event }) => event), Object.keys(handlers).flatMap(() => ["started", "cancelled"]));
});

Deno.test("start() ends the attempt as lost when another attempt has settled its task", async () => {
  await using test = await bench();
  const failing = gate();
  const other = await test.begin(async () => {
    await failing.wait();
    throw new Error("no");
  });
  await failing.reached;
  await settle(test.db, other.attempt.task, { returned: "MQ==" });
  failing.open();
  assertEquals(await other.ending, "lost");
  const { status, errors } = await recordOf(test.db, other.id);
  assertEquals([status, errors], ["completed", []]);
});

Deno.test("start() untracks a task that the database refuses to settle in any way", async () => {
  await using test = await bench();
  await test.db.sql`ALTER TABLE firefly.task ADD CONSTRAINT refused CHECK (claim_seq < 1) NOT VALID`;

  const { id, attempt, ending } = await test.begin(() => 1);

  assertEquals(await ending, "lost");
  const [lost] = test.heard.filter(({ event }) => event === "lost");
  assertStringIncludes(String(lost!.detail.reason), "refused");
  assert(!test.env.settler.isTracked(attempt.task.batchId));
  assertEquals((await recordOf(test.db, id)).status, "created");
});
