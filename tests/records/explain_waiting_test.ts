import { assertEquals, assertMatch } from "@std/assert";
import { task } from "../../mod.ts";
import { parkUnknownTasks } from "../../src/store/waiting.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { claimOne, expireConsumer, startConsumer } from "../support/claiming.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { settle } from "../support/settling.ts";
import { codesOf, pick } from "../support/explanations.ts";

Deno.test("explain() says that nothing keeps a task that is about to be claimed", async () => {
  await using test = await testInstance();
  await startConsumer(test.db);
  const id = await insertTask(test.db);

  const { status, summary, reasons } = await test.ff.tasks.explain(id);

  const { not_before: since } = await recordOf(test.db, id);
  assertEquals([status, reasons.map(({ message: _, ...data }) => data)], ["created", [{ reason: "due", since }]]);
  assertMatch(summary, /^It has been due since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d.*, and is about to be claimed$/);
});

Deno.test("explain() tells of a paused queue, until it is resumed", async () => {
  await using test = await testInstance();
  await startConsumer(test.db);
  const id = await insertTask(test.db);

  await test.db.sql`SELECT firefly.pause('default')`;
  const paused = await test.ff.tasks.explain(id);
  await test.db.sql`SELECT firefly.resume('default')`;

  assertEquals(paused.reasons, [{ reason: "paused", message: 'Its queue "default" is paused', queue: "default" }]);
  assertEquals(codesOf(await test.ff.tasks.explain(id)), ["due"]);
});

Deno.test("explain() tells when a delayed task is due", async () => {
  await using test = await testInstance();
  const add = task(taskName(), (a: number, b: number) => a + b);
  await startConsumer(test.db, { tasks: [add.funcName] });
  const { id, notBefore } = await test.ff.run(() => add.with({ delay: "1h" }).schedule(1, 2));

  const { reasons: [reason, ...more], summary } = await test.ff.tasks.explain(id);

  assertEquals(more, []);
  assertEquals(reason, { reason: "not_due", message: summary, until: notBefore, retry: false, error: null });
});

Deno.test("explain() tells which error a task waits after, and when it is tried again", async () => {
  await using test = await testInstance();
  const consumerId = await startConsumer(test.db);
  const id = await insertTask(test.db, { max_retries: 1 });
  const error = JSON.stringify({ name: "TypeError", message: "bad", delay: 60 });
  await settle(test.db, await claimOne(test.db, consumerId), { status: "created", error, delay: 60, counts: "retry" });

  const explanation = await test.ff.tasks.explain(id);

  assertEquals(codesOf(explanation), ["not_due"]);
  const { until, retry, error: told, message } = pick(explanation, "not_due");
  assertEquals([until, retry], [(await recordOf(test.db, id)).not_before as Date, true]);
  assertEquals(told, { name: "TypeError", message: "bad", attempt: 1 });
  assertMatch(message, /^It is not due before .*, when it is tried again after TypeError: bad$/);
});

Deno.test("explain() says that a task without a time is never due", async () => {
  await using test = await testInstance();
  await startConsumer(test.db);
  const id = await insertTask(test.db);
  await test.db.sql`UPDATE firefly.task SET not_before = 'infinity' WHERE id = ${id}`;

  const { summary, reasons } = await test.ff.tasks.explain(id);

  assertEquals([summary, reasons.length], ["It is never due, as its not_before is infinity", 1]);
});

Deno.test("explain() counts no dead consumer, and none of other queues", async () => {
  await using test = await testInstance();
  await expireConsumer(test.db, await startConsumer(test.db));
  const id = await insertTask(test.db);
  const nobody = await test.ff.tasks.explain(id);
  await startConsumer(test.db, { queues: ["mail", "pdf"] });

  const others = await test.ff.tasks.explain(id);

  assertEquals([codesOf(nobody), codesOf(others)], [["no_consumer"], ["no_consumer"]]);
  assertEquals(pick(nobody, "no_consumer").served, []);
  assertEquals(pick(others, "no_consumer").served, ["mail", "pdf"]);
  assertEquals(pick(others, "no_consumer").elsewhere, ["mail", "pdf"]);
  const message = 'No live consumer serves its queue "default", only mail, pdf; consumers of mail, pdf know its name';
  assertEquals(others.summary, message);
});

for (const parked of [false, true]) {
  Deno.test(`explain() names what is like a name that nobody knows${parked ? ", once it is parked" : ""}`, async () => {
    await using test = await testInstance();
    await startConsumer(test.db, { tasks: ["mail.welcome", "pdf.render"] });
    await startConsumer(test.db, { queues: ["mail"], tasks: ["mail.welcom"] });
    await insertTask(test.db, { func_name: "mail.welcome" });
    const id = await insertTask(test.db, { func_name: "mail.welcom" });
    if (parked) assertEquals((await parkUnknownTasks(test.db.store, ["default"])).length, 1);

    const explanation = await test.ff.tasks.explain(id);

    assertEquals(codesOf(explanation).filter((code) => code !== "behind"), ["unknown_name"]);
    const { message: _, ...data } = pick(explanation, "unknown_name");
    assertEquals(data, {
      reason: "unknown_name",
      queue: "default",
      funcName: "mail.welcom",
      near: ["mail.welcome"],
      elsewhere: ["mail"],
    });
  });
}

Deno.test("explain() offers no name where none is like it", async () => {
  await using test = await testInstance();
  await startConsumer(test.db, { tasks: ["pdf.render"] });
  const id = await insertTask(test.db, { func_name: "mail.welcome" });

  const explanation = await test.ff.tasks.explain(id);

  assertEquals(pick(explanation, "unknown_name").near, []);
  assertEquals(explanation.summary, 'No live consumer of its queue "default" knows a task "mail.welcome"');
});

Deno.test("explain() counts the tasks that are claimed first", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  await startConsumer(db, { queues: ["default", "mail"] });
  await insertTask(db, { not_before: new Date(Date.now() - 60_000) });
  const id = await insertTask(db, { priority: 1 });
  await insertTask(db, { priority: 1 });
  for (const priority of [2, 3]) await insertTask(db, { priority });
  await insertTask(db, { priority: 1, not_before: new Date(Date.now() - 60_000) });
  // None of these is claimed before it.
  await insertTask(db, { priority: 9, queue: "mail" });
  await insertTask(db, { priority: 9, func_name: "nobody.knows" });
  await insertTask(db, { priority: 9, not_before: new Date(Date.now() + 60_000) });
  await insertTask(db, { priority: 8 });
  await db.sql`UPDATE firefly.ready SET quarantined = true WHERE priority = 8`;

  const { reasons } = await ff.tasks.explain(id);

  const message = 'It stands behind 3 tasks in its queue "default"';
  assertEquals(reasons, [{ reason: "behind", message, queue: "default", ahead: 3, more: false }]);
});

Deno.test("explain() counts no further than 10,000", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  await startConsumer(db);
  await db.sql`INSERT INTO firefly.task (func_name) SELECT 'test.task' FROM generate_series(1, 10002)`;

  const [behind, last] = await Promise.all([10_001, 10_002].map((id) => ff.tasks.explain(id)));

  assertEquals(
    [behind, last].map((explanation) => [pick(explanation!, "behind").ahead, pick(explanation!, "behind").more]),
    [
      [10_000, false],
      [10_000, true],
    ],
  );
  assertEquals(last!.summary, 'It stands behind more than 10000 tasks in its queue "default"');
});
