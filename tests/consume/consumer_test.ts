import { assert, assertEquals, assertLess } from "@std/assert";
import { setTimeout as sleep } from "node:timers/promises";
import { current, task } from "../../mod.ts";
import { removeExpiredConsumers } from "../../src/store/consumers.ts";
import { rescueTasks } from "../../src/store/rescue.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { claim, expireConsumer, startConsumer } from "../support/claiming.ts";
import { placesOf } from "../support/records.ts";
import { block, until } from "../support/waiting.ts";

Deno.test("consume() runs no more than `concurrency` handlers at a time", async () => {
  await using test = await testInstance();
  let [running, most] = [0, 0];
  const work = task(taskName(), async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, 2));
    running--;
  });
  await test.ff.run(() => work.scheduleMany(Array.from({ length: 100 }, () => [])));

  assertEquals(await test.drain({ concurrency: 3 }), { completed: 100, failed: 0 });
  assertEquals(most, 3);
});

Deno.test("consume() serves several queues, and leaves others", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => {});
  const rows = await test.ff.run(() => Promise.all(["a", "b", "c"].map((queue) => work.with({ queue }).schedule())));

  assertEquals(await test.drain({ queues: ["a", "c"] }), { completed: 2, failed: 0 });
  assertEquals((await rows[1]!.refresh()).status, "created");
});

Deno.test("consume() ends after `maxTasks` attempts and leaves the rest ready", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => {});
  await test.ff.run(() => work.scheduleMany(Array.from({ length: 20 }, () => [])));

  assertEquals(await test.ff.consume({ maxTasks: 7 }).finished, { completed: 7, failed: 0 });
  assertEquals(await placesOf(test.db), { ready: 13, waiting: 0, claimBatches: 0 });
});

Deno.test("consume() aborts a running task that is cancelled, and frees its slot", async () => {
  await using test = await testInstance();
  const began = Promise.withResolvers<void>();
  let reason: unknown;
  const stubborn = task(taskName(), async () => {
    const { signal } = current();
    signal.addEventListener("abort", () => reason = signal.reason);
    began.resolve();
    await new Promise(() => {});
  });
  const next = task(taskName(), () => "next");
  await using _ = test.ff.consume({ concurrency: 1 });
  const row = await test.ff.run(() => stubborn.schedule());
  await began.promise;
  const asked = performance.now();

  assertEquals(await row.cancel(), true);
  assertEquals(await test.ff.run(() => next.schedule().result({ timeout: "10s" })), "next");

  assert(performance.now() - asked < 5000);
  assert(reason instanceof Error && reason.message.includes("cancelled"), String(reason));
  assertEquals((await row.refresh()).status, "cancelled");
  assertEquals(await row.cancel(), false);
});

Deno.test("consume() claims one quarantined after another, without a batch of others between them", async () => {
  await using test = await testInstance();
  const work = task(taskName(), (ms: number) => sleep(ms));
  const schedule = (count: number, ms: number) => {
    return test.db.sql`
      INSERT INTO firefly.task (func_name, params)
      SELECT ${work.funcName}, firefly.encode(jsonb_build_array(${ms}::int)) FROM generate_series(1, ${count}::int)
    `;
  };
  await schedule(30, 0);
  await test.db.sql`UPDATE firefly.task SET crash_count = 1`;
  const crashed = await startConsumer(test.db, { tasks: [work.funcName] });
  await claim(test.db, { consumerId: crashed, names: [work.funcName] });
  await expireConsumer(test.db, crashed);
  await removeExpiredConsumers(test.db.store);
  assertEquals((await rescueTasks(test.db.store)).length, 30);
  await schedule(1000, 100);

  await using _ = test.ff.consume();
  const completed = async (what: "quarantined" | "others") => {
    const rows = await test.db.sql`
      SELECT FROM firefly.task WHERE status = 'completed' AND (rescues > 0) = ${what === "quarantined"}
    `;
    return rows.count;
  };
  await until(async () => await completed("quarantined") === 30, 30_000);

  // With each claim of a batch comes one quarantined: so it would be some 16 others for each.
  assertLess(await completed("others"), 300);
});

Deno.test("consume() holds no long params of tasks that have not begun, and loads them when they begin", async () => {
  await using test = await testInstance();
  const lengths: number[] = [];
  const measure = task(taskName(), (text: string) => void lengths.push(text.length));
  await test.ff.run(() => measure.scheduleMany([1, 6_000, 7_000, 100_000].map((length) => ["x".repeat(length)])));
  const crashed = await startConsumer(test.db, { tasks: [measure.funcName] });
  const { tasks } = await claim(test.db, { consumerId: crashed, names: [measure.funcName] });
  assertEquals(tasks.map(({ params }) => params === null), [false, false, true, true]);

  await expireConsumer(test.db, crashed);
  await removeExpiredConsumers(test.db.store);
  await rescueTasks(test.db.store);

  assertEquals(await test.drain(), { completed: 4, failed: 0 });
  assertEquals(lengths.sort((a, b) => a - b), [1, 6_000, 7_000, 100_000]);
});

Deno.test("a limited task whose keys come from long params waits for its slot", async () => {
  await using test = await testInstance();
  let [running, most] = [0, 0];
  const work = task(
    { name: taskName(), concurrency: { limit: 1, key: (text: string) => text.slice(0, 1) } },
    async (_text: string) => {
      most = Math.max(most, ++running);
      await sleep(20);
      running--;
    },
  );
  // As SQL schedules them, without keys.
  await test.db.sql`
    INSERT INTO firefly.task (func_name, params)
    SELECT ${work.funcName}, firefly.encode(jsonb_build_array(repeat('x', 20000))) FROM generate_series(1, 5)
  `;

  assertEquals(await test.drain(), { completed: 5, failed: 0 });
  assertEquals(most, 1);
});

Deno.test("consume() nests no call of a handler in another, however many end at once", async () => {
  await using test = await testInstance();
  let deepest = 0;
  const measure = task(taskName(), () => {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 200;
    deepest = Math.max(deepest, new Error().stack!.split("beginNext").length - 1);
    Error.stackTraceLimit = stackTraceLimit;
  });
  await test.ff.run(() => measure.scheduleMany(Array.from({ length: 500 }, () => [])));

  assertEquals((await test.drain({ concurrency: 100 })).completed, 500);
  assertEquals(deepest, 1);
});

Deno.test("consume() lets the event loop go on after each handler that takes its time without waiting", async () => {
  await using test = await testInstance();
  let [since, most] = [0, 0];
  const block = task(taskName(), () => {
    most = Math.max(most, ++since);
    const end = performance.now() + 3;
    while (performance.now() < end);
  });
  await test.ff.run(() => block.scheduleMany(Array.from({ length: 60 }, () => [])));
  let isOver = false;
  const turn = () => {
    since = 0;
    if (!isOver) setImmediate(turn);
  };
  turn();

  assertEquals((await test.drain({ concurrency: 60 })).completed, 60);

  isOver = true;
  assert(most <= 2, `${most} handlers in one turn`);
});

Deno.test("consume() lets replies of the server arrive between handlers that take their time without waiting", async () => {
  await using test = await testInstance();
  await test.db.sql`SELECT 1`; // connects
  let [begun, answers] = [0, 0];
  const ask = async () => {
    for (; begun < 100; answers++) await test.db.sql`SELECT 1`;
  };
  const work = task(taskName(), () => {
    if (++begun === 1) void ask();
    block(20);
  });
  await test.ff.run(() => work.scheduleMany(Array.from({ length: 100 }, () => [])));

  assertEquals((await test.drain({ concurrency: 100 })).completed, 100);

  assertLess(3, answers);
});
