import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { type Explanation, type Reason, task, TaskNotFound } from "../../mod.ts";
import { parkUnknownTasks, promoteDueTasks } from "../../src/store/waiting.ts";
import { removeExpiredConsumers, requeueUnplaced, rescueTasks } from "../../src/store/consumers.ts";
import { settleTasks } from "../../src/store/settle.ts";
import type { TestDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { claim, claimOne, expireConsumer, startConsumer } from "../support/claiming.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { outcomeOf, settle } from "../support/settling.ts";
import { backends } from "../support/statements.ts";
import { until } from "../support/waiting.ts";

/** The codes of the reasons, in order. */
function codesOf({ reasons }: Explanation): string[] {
  return reasons.map(({ reason }) => reason);
}

/** The reason of a kind, which must be there. */
function pick<R extends Reason["reason"]>({ reasons }: Explanation, code: R): Extract<Reason, { reason: R }> {
  const found = reasons.find(({ reason }) => reason === code);
  assert(found, `Cannot find reason "${code}" among ${JSON.stringify(reasons)}`);
  return found as Extract<Reason, { reason: R }>;
}

/** Says what a consumer would say of its task. */
async function define(db: TestDatabase, definition: Record<string, unknown>): Promise<void> {
  await db.sql`INSERT INTO firefly.definition ${db.sql({ func_name: "test.task", ...definition })}`;
}

/** Lets limited tasks in: what a consumer does once it looks at those that are due. */
async function admit(db: TestDatabase, reason: "concurrency" | "rate", key: string): Promise<void> {
  const [concurrencyKeys, rateKeys] = reason === "concurrency" ? [[key], []] : [[], [key]];
  await db.sql`SELECT firefly._admit(${concurrencyKeys}::text[], ${rateKeys}::text[])`;
}

Deno.test("explain() says that nothing keeps a task that is about to be claimed", async () => {
  await using test = await testInstance();
  await startConsumer(test.db);
  const id = await insertTask(test.db);

  const { status, summary, reasons } = await test.ff.tasks.explain(id);

  const { not_before: since } = await recordOf(test.db, id);
  assertEquals([status, reasons.map(({ message: _, ...data }) => data)], ["created", [{ reason: "due", since }]]);
  assertMatch(summary, /^It is due since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d.*, and about to be taken$/);
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
  await test.db.sql`SELECT firefly._take_from_place(${id})`;
  await test.db.sql`UPDATE firefly.task SET not_before = 'infinity'`;
  await test.db.sql`SELECT firefly._place(${id})`;

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
  assertEquals(others.summary, 'No live consumer serves its queue "default", only mail, pdf');
});

for (const parked of [false, true]) {
  Deno.test(`explain() names what is like a name that nobody knows${parked ? ", once it is parked" : ""}`, async () => {
    await using test = await testInstance();
    await startConsumer(test.db, { tasks: ["mail.welcome", "pdf.render"] });
    await startConsumer(test.db, { queues: ["mail"], tasks: ["mail.welcom"] });
    await insertTask(test.db, { func_name: "mail.welcome" });
    const id = await insertTask(test.db, { func_name: "mail.welcom" });
    if (parked) assertEquals(await parkUnknownTasks(test.db.store, ["default"]), 1);

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

Deno.test("explain() tells which tasks hold a concurrency key, on which consumers, and who comes first", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const consumerId = await startConsumer(db);
  await define(db, { concurrency_limit: 1 });
  const ids = [];
  for (let i = 0; i < 3; i++) ids.push(await insertTask(db, { concurrency_key: "acme" }));
  await admit(db, "concurrency", "acme");
  const unclaimed = pick(await ff.tasks.explain(ids[1]!), "concurrency");
  await claimOne(db, consumerId);

  const explanations = await Promise.all(ids.map((id) => ff.tasks.explain(id)));

  assertEquals(explanations.map(codesOf), [["running"], ["concurrency"], ["concurrency"]]);
  const [second, third] = explanations.slice(1).map((explanation) => pick(explanation, "concurrency"));
  const { holders: [holder], message, reason: _, ...rest } = second!;
  assertEquals(rest, { key: "acme", limit: 1, taken: 1, ahead: 0, more: false });
  assertEquals(unclaimed.holders.map(({ taskId, consumer, pid }) => [taskId, consumer, pid]), [[ids[0]!, null, null]]);
  assertEquals([holder!.taskId, holder!.consumer, holder!.host, holder!.pid], [ids[0], consumerId, "test", 1]);
  assert(Math.abs(holder!.since.getTime() - Date.now()) < 60_000);
  assertEquals(
    message,
    `Its concurrency key "acme" has 1 of 1 slot taken: held by task ${ids[0]} on test, process 1`,
  );
  assertEquals(third!.ahead, 1);
});

Deno.test("explain() foretells a concurrency key for a task that no consumer has looked at yet", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const consumerId = await startConsumer(db);
  await define(db, { concurrency_limit: 1 });
  await insertTask(db, { concurrency_key: "acme" });
  await admit(db, "concurrency", "acme");
  await claimOne(db, consumerId);
  const id = await insertTask(db, { concurrency_key: "acme" });
  const other = await insertTask(db, { concurrency_key: "other" });

  assertEquals(codesOf(await ff.tasks.explain(id)), ["concurrency"]);
  assertEquals(codesOf(await ff.tasks.explain(other)), ["due"]);
});

Deno.test("explain() puts no task of a paused queue before another of its concurrency key", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  await startConsumer(db);
  await define(db, { concurrency_limit: 1 });
  await insertTask(db, { queue: "mail", concurrency_key: "acme" });
  const id = await insertTask(db, { concurrency_key: "acme" });
  await db.sql`UPDATE firefly.waiting SET reason = 'concurrency'`;
  const before = codesOf(await ff.tasks.explain(id));
  await db.sql`SELECT firefly.pause('mail')`;

  assertEquals([before, codesOf(await ff.tasks.explain(id))], [["concurrency"], ["due"]]);
});

Deno.test("explain() tells when the turn of a task under a rate limit can come", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const consumerId = await startConsumer(db);
  await define(db, { rate_limit: 2, rate_per: 60 });
  const ids = [];
  for (let i = 0; i < 6; i++) ids.push(await insertTask(db, { rate_key: "api" }));
  await admit(db, "rate", "api");
  const [{ now }] = await db.sql`SELECT clock_timestamp() AS now` as [{ now: Date }];
  const unclaimed = pick(await ff.tasks.explain(ids[2]!), "rate");
  await claim(db, { consumerId });
  const ends = [new Date(now.getTime() + 10_000), new Date(now.getTime() + 25_000)];
  await db.sql`UPDATE firefly.slot SET until = ${ends[0]!} WHERE task_id = ${ids[0]!}`;
  await db.sql`UPDATE firefly.slot SET until = ${ends[1]!} WHERE task_id = ${ids[1]!}`;

  const explanations = await Promise.all(ids.map((id) => ff.tasks.explain(id)));

  assertEquals(explanations.map(codesOf), [["running"], ["running"], ["rate"], ["rate"], ["rate"], ["rate"]]);
  const rates = explanations.slice(2).map((explanation) => pick(explanation, "rate"));
  assertEquals(rates.map(({ until }) => (until.getTime() - now.getTime()) / 1000), [10, 25, 70, 85]);
  assertEquals(rates.map(({ ahead }) => ahead), [0, 1, 2, 3]);
  const { message: _, until: __, ...rest } = rates[0]!;
  assertEquals(rest, { reason: "rate", key: "api", limit: 2, per: 60, taken: 2, ahead: 0, more: false });
  // A slot whose task is still to be claimed ends a whole span after now, at the earliest.
  assert(unclaimed.until.getTime() >= now.getTime() + 60_000);
});

Deno.test("explain() tells that a rate limit has room again once its slots have ended", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  await startConsumer(db);
  await define(db, { rate_limit: 1, rate_per: 60 });
  const id = await insertTask(db, { rate_key: "api" });
  await db.sql`UPDATE firefly.waiting SET reason = 'rate'`;
  await db
    .sql`INSERT INTO firefly.slot (kind, key, task_id, per, until) VALUES ('rate', 'api', 99, 60, now() + interval '1 minute')`;
  const full = codesOf(await ff.tasks.explain(id));
  await db.sql`UPDATE firefly.slot SET until = now() - interval '1 second'`;

  assertEquals([full, codesOf(await ff.tasks.explain(id))], [["rate"], ["due"]]);
});

Deno.test("explain() tells which duplicate keeps a cancelled task from being retried, and for how long", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const consumerId = await startConsumer(db);
  const id = await insertTask(db, { unique_key: "acme" });
  await ff.tasks.cancel({ ids: [id] });
  const alone = await ff.tasks.explain(id);
  const duplicate = await insertTask(db, { unique_key: "acme", unique_for: 3600 });
  const conflict = await ff.tasks.explain(id);
  await settle(db, await claimOne(db, consumerId));
  const throttled = await ff.tasks.explain(id);
  await db.sql`UPDATE firefly.unique_key SET until = now() - interval '1 second'`;

  assertEquals([alone.status, codesOf(alone), codesOf(conflict)], ["cancelled", ["ended"], ["ended", "unique"]]);
  assertEquals(conflict.reasons[1], {
    reason: "unique",
    message: `It cannot be retried as task ${duplicate} has its unique key "acme"`,
    key: "acme",
    taskId: duplicate,
    until: null,
  });
  assert(pick(throttled, "unique").until!.getTime() > Date.now() + 3000_000);
  assertEquals(codesOf(await ff.tasks.explain(id)), ["ended"]);
  assertEquals(codesOf(await ff.tasks.explain(duplicate)), ["ended"]);
});

Deno.test("explain() tells of the duplicate of a task that failed because of it", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  await startConsumer(db);
  const id = await insertTask(db, { unique_key: "acme" });
  await ff.tasks.cancel({ ids: [id] });
  const duplicate = await insertTask(db, { unique_key: "acme" });
  await db.sql`UPDATE firefly.task SET status = 'created', cancelled = NULL WHERE id = ${id}`;

  const explanation = await ff.tasks.explain(id);

  assertEquals([explanation.status, codesOf(explanation)], ["failed", ["ended", "unique"]]);
  assertEquals([pick(explanation, "ended").error?.name, pick(explanation, "unique").taskId], ["TaskExists", duplicate]);
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
  assertMatch(message, /^Attempt 1 runs since .* on test, process 1$/);
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
  const buried = await ff.tasks.explain(id);

  assertEquals([alone, expired, buried].map(codesOf), [["orphaned", "no_consumer"], ["orphaned"], ["orphaned"]]);
  assertEquals([alone, expired, buried].map(({ status }) => status), ["running", "running", "running"]);
  assertEquals([alone, expired, buried].map(({ summary }) => summary), [
    "The consumer that ran attempt 1 on test, process 1 died: it is rescued once a consumer runs",
    "The consumer that ran attempt 1 on test, process 1 died: another one will rescue it soon",
    "The consumer that ran attempt 1 died: another one will rescue it soon",
  ]);
  assertEquals(pick(buried, "orphaned").pid, null);
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
  assertEquals([data, pick(second!, "behind").ahead], [{ reason: "quarantined", rescues: 1, deaths: 2 }, 1]);
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
  await db.sql`UPDATE firefly.task SET priority = 7 WHERE id = ${id}`;
  const unplaced = await ff.tasks.explain(id);
  await requeueUnplaced(db.store, 0);
  await promoteDueTasks(db.store, ["default"]);

  assertEquals([codesOf(unplaced), codesOf(await ff.tasks.explain(id))], [["unplaced"], ["due"]]);
});

Deno.test("explain() tells how a task ended", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const consumerId = await startConsumer(db);
  const ids = [await insertTask(db), await insertTask(db), await insertTask(db)];
  const { tasks: [first, second] } = await claim(db, { consumerId });
  await settle(db, first!);
  await settle(db, second!, {
    status: "failed",
    error: JSON.stringify({ name: "TypeError", message: "bad", stack: "at" }),
  });
  await ff.tasks.cancel({ ids: [ids[2]!] });

  const explanations = await Promise.all(ids.map((id) => ff.tasks.explain(id)));

  const [completed, failed, cancelled] = await Promise.all(ids.map((id) => recordOf(db, id)));
  const data = explanations.map(({ reasons: [reason, ...more] }) => {
    const { message: _, ...data } = reason!;
    return [data, more];
  });
  const error = { name: "TypeError", message: "bad", attempt: 1 };
  assertEquals(data as unknown, [
    [{ reason: "ended", status: "completed", at: completed!.completed, error: null }, []],
    [{ reason: "ended", status: "failed", at: failed!.failed, error }, []],
    [{ reason: "ended", status: "cancelled", at: cancelled!.cancelled, error: null }, []],
  ]);
  assertEquals(explanations.map(({ status }) => status), ["completed", "failed", "cancelled"]);
  assertMatch(explanations[1]!.summary, /^It failed at .*: TypeError: bad$/);
});

Deno.test("explain() lists all reasons, first what somebody must do something about", async () => {
  await using test = await testInstance();
  const id = await insertTask(test.db, { not_before: new Date(Date.now() + 3600_000) });
  await test.db.sql`SELECT firefly.pause('default')`;
  const one = await test.ff.tasks.explain(id);
  await startConsumer(test.db);

  assertEquals(codesOf(one), ["paused", "not_due", "no_consumer"]);
  assertEquals(one.summary, one.reasons[0]!.message);
  assertEquals(codesOf(await test.ff.tasks.explain(id)), ["paused", "not_due"]);
});

Deno.test("explain() sees one snapshot: a task that is claimed meanwhile does not stand nowhere", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const consumerId = await startConsumer(db);
  const id = await insertTask(db);
  let explanation: Promise<Explanation>;
  await db.sql.begin(async (tx) => {
    // It has read the leases by the time that it comes to this lock.
    await tx`LOCK TABLE firefly.ready IN ACCESS EXCLUSIVE MODE`;
    explanation = ff.tasks.explain(id);
    await until(async () => await backends(db, "active", "Lock") === 1);
    await tx`DELETE FROM firefly.ready`;
    await tx`
      INSERT INTO firefly.claim_batch (id, consumer_id, ids, claim_seqs)
      VALUES (gen_random_uuid(), ${consumerId}, ${[id]}::bigint[], '{0}')
    `;
  });

  assertEquals(codesOf(await explanation!), ["due"]);
  assertEquals(codesOf(await ff.tasks.explain(id)), ["running"]);
});

Deno.test("explain() rejects for a task that does not exist, and for what is no id", async () => {
  await using test = await testInstance();

  const error = await assertRejects(() => test.ff.tasks.explain(99), TaskNotFound);
  await assertRejects(() => test.ff.tasks.explain(1.5), TypeError, "its id must be an integer: current value is 1.5");

  assertEquals(error.id, 99);
});

Deno.test("explain() works in a schema of another name", async () => {
  await using test = await testInstance({ schema: `it's "odd"` });
  await test.ff.migrate();
  const add = task(taskName(), (a: number) => a);
  const { id } = await test.ff.run(() => add.schedule(1));

  assertEquals(codesOf(await test.ff.tasks.explain(id)), ["no_consumer"]);
});
