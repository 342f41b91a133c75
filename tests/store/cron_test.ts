import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  deleteOrphanedCron,
  fireCron,
  listCrons,
  type NewCron,
  ownCrons,
  pauseCron,
  pruneCronSlots,
  registerCrons,
  runCron,
} from "../../src/store/cron.ts";
import { testDatabase } from "../support/database.ts";
import { expireConsumer, startConsumer } from "../support/claiming.ts";
import { age, cronOf, inSeconds, register, taskTimes } from "../support/cron_store.ts";

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

Deno.test("registerCrons() of a survivor loses to a consumer that took the abandoned cron meanwhile", async () => {
  await using db = await testDatabase();
  const [gone, heir, survivor] = [await startConsumer(db), await startConsumer(db), await startConsumer(db)];
  const [stored, other] = [cronOf("a"), cronOf("a", { definition: "other" })];
  const definition = async () => (await db.sql`SELECT definition FROM firefly.cron`)[0]!.definition;
  const takeOver = () =>
    registerCrons(db.store, { consumerId: survivor, names: [], crons: [other], onlyAbandoned: true });
  await registerCrons(db.store, { consumerId: gone, names: [], crons: [stored] });
  await expireConsumer(db, gone);
  assertEquals(await ownCrons(db.store, { consumerId: survivor, crons: [other] }), new Set(["a"]));
  await ownCrons(db.store, { consumerId: heir, crons: [stored] });

  await takeOver();
  assertEquals(await definition(), stored.definition);

  await expireConsumer(db, heir);
  await takeOver();
  assertEquals(await definition(), "other");
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
