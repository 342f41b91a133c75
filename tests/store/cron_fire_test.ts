import { assertEquals, assertRejects } from "@std/assert";
import { fireCron, pauseCron, resumeCron } from "../../src/store/cron.ts";
import { testDatabase } from "../support/database.ts";
import { backends } from "../support/statements.ts";
import { until } from "../support/waiting.ts";
import { age, cronOf, inSeconds, register, taskTimes } from "../support/cron_store.ts";

Deno.test("fireCron() schedules the stored row, due at its slot, and stores which task it is", async () => {
  await using db = await testDatabase();
  const cron = cronOf("a", { task: { queue: "mail", priority: 7, max_retries: 3, timeout: 9, tags: ["x"] } });
  await register(db, [cron]);
  await age(db, "a", 60);
  const slot = await inSeconds(db, -5);

  const { fired, at } = await fireCron(db.store, { ...cron, slots: [slot] });

  assertEquals([fired, Math.abs(at.getTime() - slot.getTime() - 5000) < 2000], [1, true]);
  const [task] = await db.sql`SELECT * FROM firefly.task`;
  const { func_name, queue, priority, max_retries, retry_delay, timeout, tags, params, not_before } = task!;
  assertEquals(
    { func_name, queue, priority, max_retries, retry_delay, timeout, tags, params, not_before },
    {
      func_name: "a",
      queue: "mail",
      priority: 7,
      max_retries: 3,
      retry_delay: 120,
      timeout: 9,
      tags: ["x"],
      params: "W10=",
      not_before: slot,
    },
  );
  assertEquals((await db.sql`SELECT cron, slot, task_id FROM firefly.cron_slot`).map((row) => ({ ...row })), [
    { cron: "a", slot, task_id: task!.id },
  ]);
  assertEquals((await db.sql`SELECT FROM firefly.ready WHERE id = ${task!.id}`).length, 1);
});

Deno.test("fireCron() called by many at once schedules one task a slot", async () => {
  await using db = await testDatabase();
  await register(db, [cronOf("a")]);
  await age(db, "a", 100);
  const first = await inSeconds(db, -50);

  for (let i = 0; i < 20; i++) {
    const slots = [new Date(first.getTime() + i * 1000)];
    const tries = Array.from({ length: 8 }, () => fireCron(i % 2 ? db.store : db.records, { ...cronOf("a"), slots }));
    const fired = (await Promise.all(tries)).map(({ fired }) => fired);
    assertEquals(fired.toSorted(), [0, 0, 0, 0, 0, 0, 0, 1]);
  }
  assertEquals((await taskTimes(db, "a")).length, 20);
});

Deno.test("fireCron() waits for a transaction that fires the slot, and fires it if that is rolled back", async () => {
  await using db = await testDatabase();
  await register(db, [cronOf("a")]);
  await age(db, "a", 60);
  const slots = [await inSeconds(db, -5)];
  let second: Promise<{ fired: number }> | undefined;
  await assertRejects(
    () =>
      db.sql.begin(async (sql) => {
        await sql`SELECT firefly._fire_cron('a', '* * * * * skip', ${
          slots.map((slot) => slot.toISOString())
        }::text[]::timestamptz[])`;
        second = fireCron(db.store, { ...cronOf("a"), slots });
        await until(async () => await backends(db, "active", "Lock") > 0);
        throw new Error("it goes no further");
      }),
    Error,
    "it goes no further",
  );

  assertEquals([(await second!).fired, (await taskTimes(db, "a")).length], [1, 1]);
});

Deno.test("fireCron() fires nothing for a definition that is not the stored one", async () => {
  await using db = await testDatabase();
  const [old, fresh] = [cronOf("a"), cronOf("a", { expression: "*/2 * * * *" })];
  await register(db, [old]);
  await register(db, [fresh]);
  await age(db, "a", 60);
  const slots = [await inSeconds(db, -5)];

  assertEquals((await fireCron(db.store, { ...old, slots })).fired, 0);
  assertEquals((await fireCron(db.store, { ...fresh, slots })).fired, 1);

  await register(db, [old]); // the old release is started again
  await age(db, "a", 4);
  assertEquals((await fireCron(db.store, { ...fresh, slots: [await inSeconds(db, -1)] })).fired, 0);
  assertEquals((await fireCron(db.store, { ...old, slots: [await inSeconds(db, -1)] })).fired, 1);
});

Deno.test("fireCron() fires no future slot, none before the last one, and none from before the registration", async () => {
  await using db = await testDatabase();
  await register(db, [cronOf("a")]);
  await age(db, "a", 40);
  const [before, old, last, next] = await Promise.all([-41, -30, -20, 60].map((seconds) => inSeconds(db, seconds)));

  assertEquals((await fireCron(db.store, { ...cronOf("a"), slots: [before!, last!, next!] })).fired, 1);
  assertEquals((await fireCron(db.store, { ...cronOf("a"), slots: [old!, last!] })).fired, 0);

  assertEquals(await taskTimes(db, "a"), [last!]);
});

Deno.test("fireCron() skips slots missed by the database's clock, unless the cron asks for them", async () => {
  await using db = await testDatabase();
  for (const missed of ["skip", "one", "all"] as const) await register(db, [cronOf(missed, { missed })]);
  const slots = [await inSeconds(db, -65), await inSeconds(db, -55)];

  for (const [missed, times] of [["skip", 1], ["one", 2], ["all", 2]] as const) {
    await age(db, missed, 3600);
    assertEquals((await fireCron(db.store, { ...cronOf(missed, { missed }), slots })).fired, times);
  }
});

Deno.test("fireCron() fires no slot while paused, and none of those slots afterwards", async () => {
  await using db = await testDatabase();
  await register(db, [cronOf("a", { missed: "all" })]);
  await age(db, "a", 3600);
  const fire = async (seconds: number) =>
    (await fireCron(db.store, { ...cronOf("a", { missed: "all" }), slots: [await inSeconds(db, seconds)] })).fired;

  assertEquals([await pauseCron(db.store, "a"), await pauseCron(db.store, "a")], [true, false]);
  assertEquals(await fire(-10), 0);
  assertEquals([await resumeCron(db.store, "a"), await resumeCron(db.store, "a")], [true, false]);
  assertEquals(await fire(-10), 0);
  await age(db, "a", 5);
  assertEquals(await fire(-1), 1);
  assertEquals([await pauseCron(db.store, "b"), await resumeCron(db.store, "b")], [false, false]);
});

Deno.test("fireCron() waits for a transaction that pauses or redefines the cron, and follows it", async () => {
  await using db = await testDatabase();
  const cron = cronOf("a");
  await register(db, [cron]);
  await age(db, "a", 60);
  const slots = [await inSeconds(db, -5)];
  let firing: Promise<{ fired: number }> | undefined;

  await db.sql.begin(async (sql) => {
    await sql`SELECT firefly.pause_cron('a')`;
    firing = fireCron(db.store, { ...cron, slots });
    await until(async () => await backends(db, "active", "Lock") > 0);
  });

  assertEquals((await firing!).fired, 0);
});

Deno.test("fireCron() keeps the duplicate of a unique task, and continues with the next slot", async () => {
  await using db = await testDatabase();
  const unique = { unique_key: "k", unique_among: null, unique_for: null };
  for (const on_conflict of ["keep", "error"]) {
    await register(db, [cronOf(on_conflict, { missed: "all", task: { ...unique, on_conflict } })]);
    await age(db, on_conflict, 60);
    const slots = [await inSeconds(db, -20), await inSeconds(db, -10)];

    const { fired } = await fireCron(db.store, { ...cronOf(on_conflict, { missed: "all" }), slots });

    const ids = await db.sql`SELECT DISTINCT task_id FROM firefly.cron_slot WHERE cron = ${on_conflict}`;
    assertEquals([fired, ids.length, (await taskTimes(db, on_conflict)).length], [1, 1, 1]);
  }
});
