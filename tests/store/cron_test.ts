import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  deleteOrphanedCron,
  fireCron,
  listCrons,
  type NewCron,
  ownCrons,
  pauseCron,
  pruneCronSlots,
  readClock,
  registerCrons,
  resumeCron,
  runCron,
} from "../../src/store/cron.ts";
import type { NewTask } from "../../src/store/schedule.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { expireConsumer, startConsumer } from "../support/claiming.ts";
import { backends } from "../support/statements.ts";
import { until } from "../support/waiting.ts";

/** A cron of `name`, as a consumer would introduce it. */
function cronOf(
  name: string,
  { task = {}, ...cron }: Partial<Omit<NewCron, "task">> & { task?: object } = {},
): NewCron {
  const row = { func_name: name, queue: "default", params: "W10=", priority: 0, not_before: null, delay: null };
  const rest = { max_retries: 0, retry_delay: 120, backoff: null, timeout: null, tags: [] };
  const expression = cron.expression ?? "* * * * *";
  return {
    name,
    names: [name],
    expression,
    timezone: "UTC",
    missed: "skip",
    task: { ...row, ...rest, ...task } as NewTask,
    definition: `${expression} ${cron.missed ?? "skip"}`,
    ...cron,
  };
}

/** Registers crons as the only ones of a consumer that starts. */
async function register(db: TestDatabase, crons: NewCron[], names = crons.map(({ name }) => name)) {
  return await registerCrons(db.store, { consumerId: crypto.randomUUID(), names, crons });
}

/** A time by the database, so many seconds from now. */
async function inSeconds(db: TestDatabase, seconds: number): Promise<Date> {
  return new Date((await readClock(db.store)).getTime() + seconds * 1000);
}

/** Makes it look as if the cron had been registered so many seconds ago. */
async function age(db: TestDatabase, name: string, seconds: number): Promise<void> {
  await db.sql`UPDATE firefly.cron SET since = now() - make_interval(secs => ${seconds}) WHERE name = ${name}`;
}

async function taskTimes(db: TestDatabase, name: string): Promise<Date[]> {
  const rows = await db.sql`SELECT not_before FROM firefly.task WHERE func_name = ${name} ORDER BY not_before`;
  return rows.map((row) => row.not_before);
}

Deno.test("registerCrons() reports no earlier slots for a new cron", async () => {
  await using db = await testDatabase();

  const [registered] = await register(db, [cronOf("a")]);

  assertEquals(registered!.name, "a");
  assertEquals(registered!.after, registered!.at);
});

Deno.test("registerCrons() keeps the progress of a cron with the same times, and starts over with others", async () => {
  await using db = await testDatabase();
  await register(db, [cronOf("a"), cronOf("b"), cronOf("c")]);
  for (const name of ["a", "b", "c"]) await age(db, name, 3600);
  const before = await inSeconds(db, -3599);

  const again = await register(db, [
    cronOf("a", { definition: "other", missed: "all", task: { priority: 5 } }),
    cronOf("b", { expression: "0 * * * *" }),
    cronOf("c", { timezone: "Europe/Warsaw" }),
  ]);

  assertEquals(again.map(({ name, after }) => [name, after < before]), [["a", true], ["b", false], ["c", false]]);
  const stored = await db
    .sql`SELECT name, definition, missed, task ->> 'priority' AS priority FROM firefly.cron ORDER BY name`;
  assertEquals({ ...stored[0] }, { name: "a", definition: "other", missed: "all", priority: "5" });
});

Deno.test("registerCrons() removes the cron of a task that is known without one, and no others", async () => {
  await using db = await testDatabase();
  await register(db, [cronOf("a"), cronOf("b"), cronOf("c")]);

  await register(db, [cronOf("a")], ["a", "b"]);

  const removed = await db.sql`SELECT name FROM firefly.cron WHERE removed IS NOT NULL`;
  assertEquals(removed.map(({ name }) => name), ["b"]);
  const slots = [await inSeconds(db, 0)];
  await age(db, "b", 60);
  assertEquals((await fireCron(db.store, { ...cronOf("b"), slots })).fired, 0);
});

Deno.test("registerCrons() restores a removed cron, without the slots that it missed", async () => {
  await using db = await testDatabase();
  await register(db, [cronOf("a")]);
  await register(db, [], ["a"]);
  await age(db, "a", 3600);

  const [back] = await register(db, [cronOf("a")]);

  assertEquals(back!.after, back!.at);
  assertEquals((await db.sql`SELECT FROM firefly.cron WHERE removed IS NULL`).length, 1);
});

Deno.test("registerCrons() keeps one cron, and its pause, for a task that is renamed and renamed back", async () => {
  await using db = await testDatabase();
  const living = async () =>
    (await db.sql`SELECT name, paused FROM firefly.cron WHERE removed IS NULL`).map((
      { name, paused },
    ) => [name, paused]);
  await register(db, [cronOf("old")]);
  await pauseCron(db.store, "old");

  await register(db, [cronOf("new", { names: ["new", "old"] })], ["new", "old"]);
  assertEquals(await living(), [["new", true]]);

  await register(db, [cronOf("old")]); // the release before, which knows nothing of the new name
  assertEquals(await living(), [["old", true]]);
});

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

Deno.test("ownCrons() names crons without a live owner, until a consumer with the same definition owns them", async () => {
  await using db = await testDatabase();
  const [first, second, other] = [await startConsumer(db), await startConsumer(db), await startConsumer(db)];
  const [stored, overruled, removed] = [cronOf("a"), cronOf("a", { definition: "other" }), cronOf("b")];
  await registerCrons(db.store, { consumerId: first, names: ["a", "b"], crons: [stored, removed] });
  await registerCrons(db.store, { consumerId: first, names: ["a", "b"], crons: [stored] });
  const keep = async (consumerId: string, cron: NewCron) => [
    ...await ownCrons(db.store, { consumerId, crons: [cron, removed] }),
  ];

  assertEquals(await keep(other, overruled), []);
  await expireConsumer(db, first);
  assertEquals(await keep(other, overruled), ["a"]);
  assertEquals(await keep(second, stored), []);
  assertEquals(await keep(other, overruled), []);
});

Deno.test("runCron() schedules now, whatever the slots and the state, and refuses an unknown name", async () => {
  await using db = await testDatabase();
  await register(db, [cronOf("a", { task: { queue: "mail" } })]);
  await pauseCron(db.store, "a");

  const id = await runCron(db.store, "a");

  const [task] = await db.sql`SELECT func_name, queue, not_before <= now() AS due FROM firefly.task WHERE id = ${id}`;
  assertEquals({ ...task }, { func_name: "a", queue: "mail", due: true });
  assertEquals((await db.sql`SELECT FROM firefly.cron_slot`).length, 0);
  await assertRejects(() => runCron(db.store, "b"), Error, 'Cannot run cron "b" as there is none of this name');
});

Deno.test("listCrons() derives the state from the live consumers, and shows the last slot with its task", async () => {
  await using db = await testDatabase();
  const consumer = await startConsumer(db, { tasks: ["a", "b", "c", "d"] });
  await register(db, [cronOf("a"), cronOf("b"), cronOf("c"), cronOf("d"), cronOf("e")]);
  await register(db, [], ["c"]);
  await pauseCron(db.store, "b");
  await age(db, "a", 60);
  const slots = [await inSeconds(db, -9), await inSeconds(db, -5)];
  await fireCron(db.store, { ...cronOf("a"), slots });

  const states = async () => (await listCrons(db.records)).map(({ name, state }) => `${name} ${state}`);
  assertEquals(await states(), ["a active", "b paused", "c orphaned", "d active", "e orphaned"]);
  const [a] = await listCrons(db.records, "a");
  const [task] = await db.sql`SELECT max(id)::int AS id FROM firefly.task`;
  assertEquals([a!.lastSlot, a!.lastTaskId, a!.lastStatus], [slots[1]!, task!.id, "created"]);
  const [d] = await listCrons(db.records, "d");
  assertEquals([d!.lastSlot, d!.lastTaskId, d!.lastStatus, d!.queue], [null, null, null, "default"]);

  await expireConsumer(db, consumer);
  assertEquals((await listCrons(db.records)).every(({ state }) => state === "orphaned"), true);
});

Deno.test("deleteOrphanedCron() deletes an orphaned cron with its slots, and no active one", async () => {
  await using db = await testDatabase();
  const consumer = await startConsumer(db, { tasks: ["a"] });
  await register(db, [cronOf("a")]);
  await age(db, "a", 60);
  await fireCron(db.store, { ...cronOf("a"), slots: [await inSeconds(db, -5)] });

  assertEquals(await deleteOrphanedCron(db.records, "a"), false);
  await expireConsumer(db, consumer);
  assertEquals([await deleteOrphanedCron(db.records, "a"), await deleteOrphanedCron(db.records, "a")], [true, false]);

  assertEquals((await db.sql`SELECT FROM firefly.cron_slot`).length, 0);
  assertEquals((await taskTimes(db, "a")).length, 1);
});

Deno.test("pruneCronSlots() keeps the last hundred slots of each cron, and a pruned slot does not fire again", async () => {
  await using db = await testDatabase();
  await register(db, [cronOf("a", { missed: "all" }), cronOf("b")]);
  await age(db, "a", 100_000);
  await db.sql`
    INSERT INTO firefly.cron_slot (cron, slot)
    SELECT cron, now() - make_interval(secs => 10 * i)
    FROM (VALUES ('a', 1250), ('b', 40)) AS filled (cron, slots), generate_series(1, slots) AS i
  `;
  const [{ oldest } = { oldest: new Date(0) }] = await db.sql`SELECT min(slot) AS oldest FROM firefly.cron_slot`;

  const pruned = [await pruneCronSlots(db.store), await pruneCronSlots(db.store), await pruneCronSlots(db.store)];

  assertEquals(pruned, [1000, 150, 0]);
  const kept = await db
    .sql`SELECT cron, count(*)::int, max(slot) > now() - interval '1 minute' AS newest FROM firefly.cron_slot GROUP BY cron ORDER BY cron`;
  assertEquals(kept.map(({ cron, count, newest }) => [cron, count, newest]), [["a", 100, true], ["b", 40, true]]);
  assertEquals((await fireCron(db.store, { ...cronOf("a", { missed: "all" }), slots: [oldest] })).fired, 0);
  assert((await taskTimes(db, "a")).length === 0);
});
