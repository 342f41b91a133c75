import { assertEquals, assertRejects } from "@std/assert";
import { type LeftTask, task } from "../../mod.ts";
import { claimOne, startConsumer } from "../support/claiming.ts";
import { codesOf, pick } from "../support/explanations.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";

const HOUR = 3_600_000;
const later = () => new Date(Date.now() + HOUR);

Deno.test("record.run() and record.reschedule() move a waiting task, and resolve to false for one that runs", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const record = await ff.tasks.get(await insertTask(db, { func_name: "test.task", not_before: later() }));

  assertEquals([await record.run(), await record.run()], [true, false]);
  assertEquals(await record.reschedule({ queue: "mail", priority: 3, delay: "1h" }), true);
  const { queue, priority, notBefore } = await record.refresh();
  assertEquals([queue, priority, notBefore.getTime() > Date.now() + HOUR / 2], ["mail", 3, true]);
  assertEquals(await record.reschedule({ notBefore: new Date(0), queue: "default" }), true);
  await claimOne(db, await startConsumer(db));
  assertEquals([await record.run(), await record.reschedule({ priority: 1 })], [false, false]);
});

Deno.test("tasks.run() and tasks.reschedule() take ids or a filter, skip what has ended, and tell what they left", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const waiting = [await insertTask(db, { not_before: later() }), await insertTask(db, { not_before: later() })];
  const due = await insertTask(db);
  const failed = await insertTask(db, { status: "failed" });
  const left: LeftTask[] = [];
  const onLeft = (tasks: readonly LeftTask[]) => left.push(...tasks);

  assertEquals(await ff.tasks.run([waiting[0]!, failed, 404], { onLeft }), 1);
  assertEquals(left.splice(0), [{ id: failed, reason: "failed" }]);
  assertEquals(await ff.tasks.run({ funcName: "test.task" }, { onLeft }), 1);
  assertEquals(left.splice(0), [{ id: waiting[0]!, reason: "ready" }, { id: due, reason: "ready" }]);
  assertEquals(await ff.tasks.reschedule({}, { priority: 4 }, { onLeft }), 3);
  assertEquals([left, await ff.tasks.run([])], [[], 0]);
});

Deno.test("reschedule() refuses options that are wrong, or none", async () => {
  await using test = await testInstance();
  const cases: [object, string][] = [
    [{}, "one of notBefore, delay, queue, priority must be given"],
    [{ delay: undefined }, "one of notBefore, delay, queue, priority must be given"],
    [{ prioritt: 1 }, 'there is no option "prioritt", did you mean "priority"?'],
    [{ delay: 1, notBefore: new Date() }, '"delay" and "notBefore" exclude each other'],
    [{ queue: "Mail" }, "a queue's name must be lower-case"],
    [{ priority: 0.5 }, '"priority" must be an integer'],
    [{ maxRetries: 1 }, 'there is no option "maxRetries"'],
  ];
  for (const [changes, says] of cases) {
    await assertRejects(() => test.ff.tasks.reschedule([1], changes), Error, says);
  }
});

Deno.test("run(), reschedule() and an UPDATE by hand wake a consumer that sleeps", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const work = task(taskName(), () => "run");
  const columns = { func_name: work.funcName, not_before: later() };
  const [byRun, moved, edited] = [
    await insertTask(db, columns),
    await insertTask(db, { ...columns, queue: "elsewhere", not_before: new Date() }),
    await insertTask(db, columns),
  ];
  await using consumer = ff.consume({ tasks: [work], pollInterval: "1h" });
  await consumer.ready;
  const completes = (id: number) => until(async () => (await recordOf(db, id)).status === "completed");

  assertEquals(await ff.tasks.run([byRun]), 1);
  await completes(byRun);
  assertEquals(await ff.tasks.reschedule([moved], { queue: "default" }), 1);
  await completes(moved);
  await db.sql`UPDATE firefly.task SET not_before = now() WHERE id = ${edited}`;
  await completes(edited);
});

Deno.test("explain() follows a task that is edited by hand, run and moved", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  await startConsumer(db);
  await startConsumer(db, { queues: ["mail"] });
  const id = await insertTask(db);
  const codes = async () => codesOf(await ff.tasks.explain(id));

  await db.sql`UPDATE firefly.task SET not_before = now() + interval '1 hour' WHERE id = ${id}`;
  assertEquals(await codes(), ["not_due"]);
  await db.sql`SELECT firefly.run(${id})`;
  assertEquals(await codes(), ["due"]);
  await db.sql`UPDATE firefly.task SET queue = 'nowhere' WHERE id = ${id}`;
  const explanation = await ff.tasks.explain(id);
  assertEquals(codesOf(explanation), ["no_consumer"]);
  assertEquals(pick(explanation, "no_consumer").elsewhere, ["default", "mail"]);
  await db.sql`SELECT firefly.reschedule(${id}, queue => 'mail')`;
  assertEquals(await codes(), ["due"]);
  await db.sql`UPDATE firefly.task SET status = 'failed' WHERE id = ${id}`;
  assertEquals(await codes(), ["ended"]);
});

Deno.test("firefly.schedule() in SQL uses the queue that a consumer has stored for the name", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const mail = task({ name: taskName(), queue: "mail" }, () => {});
  const plain = task(taskName(), () => {});
  await ff.consume({ tasks: [mail, plain], queues: ["mail", "default"], drain: true }).finished;
  const queueOf = async (name: string, queue: string | null) => {
    const [row] = await db.sql`SELECT firefly.schedule(${name}, queue => ${queue}) AS id`;
    return (await recordOf(db, row!.id)).queue;
  };

  assertEquals(await queueOf(mail.funcName, null), "mail");
  assertEquals(await queueOf(mail.funcName, "default"), "default");
  assertEquals(await queueOf(plain.funcName, null), "default");
  const [row] = await db.sql`SELECT firefly.schedule(${mail.funcName}, unique_key => 'k') AS id`;
  assertEquals((await recordOf(db, row!.id)).queue, "mail", "with a unique key, too");
});
