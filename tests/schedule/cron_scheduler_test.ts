import { assert, assertEquals } from "@std/assert";
import { type ConsumeOptions, Firefly, task } from "../../mod.ts";
import { parseCron } from "../../src/task/cron_expression.ts";
import { dueSlots } from "../../src/schedule/cron_scheduler.ts";
import type { TaskDefinition } from "../../src/task/definition.ts";
import type { CronOptions } from "../../src/task/options.ts";
import { testDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { startConsumer } from "../support/claiming.ts";
import { until } from "../support/waiting.ts";
import { define, EVERY_MINUTE, EVERY_SECOND, firedSlots, startTimer } from "../support/cron_scheduler.ts";

const NOON = Date.UTC(2026, 0, 1, 12);
const due: [what: string, expression: string, after: number, counts: Record<CronOptions["missed"] & string, number>][] =
  [
    ["nothing in the time since", "0 11 * * *", 3600, { skip: 0, one: 0, all: 0 }],
    ["what has just come", "59 11 * * *", 3600, { skip: 0, one: 1, all: 1 }],
    ["what came less than a minute ago", "30 59 11 * * *", 3600, { skip: 1, one: 1, all: 1 }],
    ["every minute, after an hour", EVERY_MINUTE, 3600, { skip: 1, one: 2, all: 60 }],
    ["every second, without delay", EVERY_SECOND, 1, { skip: 1, one: 1, all: 1 }],
    ["every second, half a minute late", EVERY_SECOND, 30, { skip: 30, one: 30, all: 30 }],
    ["every second, after an hour", EVERY_SECOND, 3600, { skip: 60, one: 61, all: 1060 }],
  ];

for (const [what, expression, after, counts] of due) {
  for (const [missed, count] of Object.entries(counts) as [CronOptions["missed"] & string, number][]) {
    Deno.test(`dueSlots() finds ${what}, where missed is "${missed}": ${count}`, () => {
      const slots = parseCron(expression, "UTC", "test");
      const until = new Date(NOON);

      const found = dueSlots({ slots, after: new Date(NOON - after * 1000), missed }, until);

      assertEquals(found.length, count);
      assertEquals(found, slots.between(new Date(NOON - after * 1000), until, count));
    });
  }
}

Deno.test("four consumers with a cron of every second schedule one task a slot, and skip none", async () => {
  await using db = await testDatabase();
  const name = taskName();
  let calls = 0;
  const tick = task({ name, cron: EVERY_SECOND }, () => ++calls);
  const instances = Array.from({ length: 4 }, () => new Firefly({ database: db.url }));
  const errors: unknown[] = [];
  try {
    for (const ff of instances) {
      ff.on("consumer.error", ({ error }) => errors.push(error));
      ff.consume({ tasks: [tick] });
    }
    await until(async () => (await firedSlots(db, name)).length >= 11, 30_000);
  } finally {
    for (const ff of instances) await ff.close();
  }

  const slots = await firedSlots(db, name);
  for (const [i, slot] of slots.entries()) assertEquals(slot.getTime(), slots[0]!.getTime() + i * 1000);
  assertEquals(errors, []);
  const [{ late } = { late: NaN }] = await db.sql`
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM fired - slot))::float AS late FROM firefly.cron_slot
  `;
  assert(late >= 0 && late < 0.5, `half of the slots fired more than ${late} s late`);
  assert(calls >= slots.length - 1);
});

Deno.test("a consumer schedules by cron and runs it: without arguments, by the definition's options", async () => {
  await using test = await testInstance({ defaults: { maxRetries: 4 } });
  const calls: unknown[][] = [];
  const name = taskName();
  const tick = task(
    { name, cron: EVERY_SECOND, queue: "ticks", priority: 3, timeout: "1m", retryDelay: 7 },
    (...args: []) => {
      calls.push(args);
    },
  );
  await using consumer = test.ff.consume({ tasks: [tick], queues: ["ticks"] });
  await consumer.ready;

  await until(() => calls.length > 0);

  assertEquals(calls[0], []);
  const [record] = (await test.ff.run(() => tick.list())).items;
  assertEquals(
    [record!.queue, record!.priority, record!.maxRetries, record!.retryDelay, record!.params],
    ["ticks", 3, 4, 7, []],
  );
});

for (
  const [what, options] of Object.entries<ConsumeOptions>({ "cron: false": { cron: false }, drain: { drain: true } })
) {
  Deno.test(`a consumer with ${what} leaves cron to others`, async () => {
    await using test = await testInstance();
    const tick = task({ name: `${taskName()}.${what.slice(0, 4)}`, cron: EVERY_SECOND }, () => {});
    const consumer = test.ff.consume({ tasks: [tick], ...options });
    await consumer.ready;
    await consumer.stop();

    assertEquals((await test.db.sql`SELECT FROM firefly.cron`).length, 0);
  });
}

Deno.test("a consumer is ready once its crons are registered, and removes those that it no longer has", async () => {
  await using test = await testInstance();
  const [kept, gone] = [taskName(), taskName()];
  await using old = await startTimer(test.db, [
    define({ name: kept, cron: EVERY_MINUTE }),
    define({ name: gone, cron: EVERY_MINUTE }),
  ]);
  const tasks = [task({ name: kept, cron: EVERY_MINUTE }, () => {}), task(gone, () => {})];
  await using consumer = test.ff.consume({ tasks });
  await consumer.ready;

  const states = await test.db.sql`SELECT name, state FROM firefly.cron_record ORDER BY name`;
  assertEquals(states.map(({ name, state }) => [name, state]), [[kept, "active"], [gone, "orphaned"]].toSorted());
  assertEquals(old.errors, []);
});

Deno.test("of two releases only the one that started last fires, until the other starts again", async () => {
  await using db = await testDatabase();
  const name = taskName();
  const old = define({ name, cron: EVERY_SECOND });
  const even = define({ name, cron: "*/2 * * * * *" });
  await using first = await startTimer(db, [old]);
  await until(async () => (await firedSlots(db, name)).length >= 2);

  await using second = await startTimer(db, [even]);
  const [{ since } = { since: new Date(0) }] = await db.sql`SELECT since FROM firefly.cron`;
  const later = async () => (await firedSlots(db, name)).filter((slot) => slot > since);
  await until(async () => (await later()).length >= 3);
  assert((await later()).every((slot) => slot.getTime() % 2000 === 0), "the old definition fired, too");

  await using again = await startTimer(db, [old]);
  await until(async () => (await firedSlots(db, name)).filter((slot) => slot.getTime() % 2000 === 1000).length >= 3);
  assertEquals([first, second, again].map(({ errors }) => errors), [[], [], []]);
});

Deno.test("a cron whose last owner is gone goes to a live consumer, but not while another shares its definition", async () => {
  await using db = await testDatabase();
  const name = taskName();
  const [old, even] = [define({ name, cron: EVERY_SECOND }), define({ name, cron: "*/2 * * * * *" })];
  const consumers = [await startConsumer(db), await startConsumer(db), await startConsumer(db)];
  // The one with another definition may take over in its second round: the others have a second to come first.
  const start = (definition: TaskDefinition, i: number) =>
    startTimer(db, [definition], { consumerId: consumers[i]!, round: i === 0 ? 1 : 0.2 });
  const odd = async () => (await firedSlots(db, name)).filter((slot) => slot.getTime() % 2000 === 1000).length;
  await using survivor = await start(old, 0);
  await using newer = await start(even, 1);
  const newest = await start(even, 2);
  const before = await odd();

  await newest.timer.end();
  await db.sql`DELETE FROM firefly.consumer WHERE id = ${consumers[2]!}`;
  await until(async () => (await db.sql`SELECT FROM firefly.cron WHERE consumer_id = ${consumers[1]!}`).length === 1);
  await until(async () => (await firedSlots(db, name)).length >= 2);
  assertEquals(await odd(), before, "the old definition fired though the new one had a consumer");

  await newer.timer.end();
  await db.sql`DELETE FROM firefly.consumer WHERE id = ${consumers[1]!}`;
  await until(async () => await odd() >= before + 2);
  assertEquals([survivor.errors, newer.errors, newest.errors], [[], [], []]);
});

Deno.test("a paused cron does not fire; resumed, it continues without the slots that it missed", async () => {
  await using db = await testDatabase();
  const name = taskName();
  const definition = define({ name, cron: EVERY_SECOND, missed: "all" });
  const test = await startTimer(db, [definition]);
  await until(async () => (await firedSlots(db, name)).length >= 1);

  await db.sql`SELECT firefly.pause_cron(${name})`;
  const before = await firedSlots(db, name);
  const { good } = test.turns;
  await until(() => test.turns.good >= good + 3); // slots that came, and did not fire
  assertEquals(await firedSlots(db, name), before);
  await test.timer.end();
  await db.sql`SELECT firefly.resume_cron(${name})`;
  await using next = await startTimer(db, [definition]); // which has not seen the slots come and go
  await until(async () => (await firedSlots(db, name)).length >= before.length + 2);

  const after = await firedSlots(db, name);
  const gap = after[before.length]!.getTime() - before.at(-1)!.getTime();
  assertEquals([test.errors, next.errors], [[], []]);
  assert(gap >= 3000, `made up for what it missed while paused: only ${gap} ms lie between`);
});

Deno.test("end() waits for the action under way, and nothing fires after it", async () => {
  await using db = await testDatabase();
  const name = taskName();
  const test = await startTimer(db, [
    define({ name, cron: EVERY_SECOND }),
    define({ name: `${name}.rare`, cron: "0 0 29 2 *" }),
  ]);
  await until(async () => (await firedSlots(db, name)).length >= 1);
  await test.timer.end();
  const slots = await firedSlots(db, name);

  await using other = await startTimer(db, [define({ name: `${name}.other`, cron: EVERY_SECOND })]);
  await until(async () => (await firedSlots(db, `${name}.other`)).length >= 2);
  assertEquals([await firedSlots(db, name), other.errors], [slots, []]);
});

Deno.test("a cron that is unique skips slots while its task runs, and one with a limit runs its tasks one by one", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const mayEnd = Promise.withResolvers<void>();
  const unique = task({ name: taskName(), cron: "* * * * * *", unique: true }, () => mayEnd.promise);
  let [running, most, ran] = [0, 0, 0];
  const limited = task({ name: taskName(), cron: "* * * * * *", concurrency: { limit: 1 } }, async () => {
    most = Math.max(most, ++running);
    await mayEnd.promise;
    await new Promise((resolve) => setTimeout(resolve)); // others would start meanwhile
    running--;
    ran++;
  });
  await using consumer = ff.consume({ tasks: [unique, limited] });
  await consumer.ready;

  const slots = async () =>
    await db
      .sql`SELECT cron, count(*)::int AS slots, count(DISTINCT task_id)::int AS tasks FROM firefly.cron_slot GROUP BY cron`;
  await until(async () => {
    const rows = await slots();
    return rows.length === 2 && rows.every((row) => row.slots >= 4);
  });

  const [of, other] = [unique, limited].map(({ funcName }) => funcName);
  const rows = await slots();
  assertEquals(rows.find(({ cron }) => cron === of)!.tasks, 1);
  const single = rows.find(({ cron }) => cron === other)!;
  assertEquals(single.tasks, single.slots);
  mayEnd.resolve();
  await until(() => ran >= 4);
  assertEquals(most, 1);
});
