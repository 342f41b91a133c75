import { assertEquals, assertRejects } from "@std/assert";
import type postgres from "postgres";
import type { NewTask } from "../../src/store/new_task.ts";
import { scheduleUnique } from "../../src/store/schedule.ts";
import { deleteExpiredKeys } from "../../src/store/unique.ts";
import { testDatabase } from "../support/database.ts";
import { claimOne, startConsumer } from "../support/claiming.ts";
import { settle } from "../support/settling.ts";
import { countTasks } from "../support/records.ts";
import { clients, holders, uniqueTask } from "../support/unique.ts";

Deno.test("scheduleUnique() treats duplicates within one call as it treats older ones", async () => {
  await using db = await testDatabase();
  const call = (on_conflict: NewTask["on_conflict"] & string, name: string) =>
    scheduleUnique(
      db.store,
      ["WzFd", "WzJd", "WzNd"].map((params) => uniqueTask("a", { func_name: name, params, on_conflict })),
    );

  const kept = await call("keep", "keep");
  assertEquals(kept.map(({ id, inserted }) => [id === kept[0]!.id, inserted]), [[true, true], [true, false], [
    true,
    false,
  ]]);
  assertEquals(kept.map(({ record }) => record?.params), ["WzFd", "WzFd", "WzFd"]);

  const replaced = await call("replace", "replace");
  assertEquals(replaced.map(({ record }) => record?.params), ["WzNd", "WzNd", "WzNd"]);

  const [refused, ...others] = await call("error", "error");
  assertEquals([refused!.refusedKey, others.length, await countTasks(db)], ["a", 0, 2]);
  assertEquals((await db.sql`SELECT FROM firefly.unique_key`).length, 2);
});

Deno.test("scheduleUnique() that is refused holds no key, even in a transaction that goes on", async () => {
  await using db = await testDatabase();
  await using one = clients(db, 1);
  await scheduleUnique(db.store, [uniqueTask("b")]);

  await one.each[0]!.begin(async (sql) => {
    const refused = JSON.stringify(["a", "b"].map((key) => uniqueTask(key, { on_conflict: "error" })));
    assertEquals((await sql`SELECT refused_key FROM firefly._schedule(${refused}::text::json)`)[0], {
      refused_key: "b",
    });
    // Waits for the transaction above, if that still held the key: until the statement's deadline.
    assertEquals((await scheduleUnique(db.store, [uniqueTask("a")]))[0]!.inserted, true);
  });
  assertEquals(await countTasks(db), 2);
});

Deno.test("`for` rejects duplicates until its time has passed, even after the record is deleted", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const task = uniqueTask("a", { unique_for: 3600 });
  const [first] = await scheduleUnique(db.store, [task]);
  await settle(db, await claimOne(db, consumerId));

  const [kept] = await scheduleUnique(db.store, [task]);
  assertEquals([kept!.id, kept!.inserted, kept!.record?.status], [first!.id, false, "completed"]);
  await db.sql`DELETE FROM firefly.task`;
  const [outlasting] = await scheduleUnique(db.store, [task]);
  assertEquals([outlasting!.id, outlasting!.inserted, outlasting!.record], [first!.id, false, null]);
  assertEquals(await deleteExpiredKeys(db.store), 0);

  await db.sql`UPDATE firefly.unique_key SET until = now() - interval '1 s'`;
  const many = await Promise.all(Array.from({ length: 8 }, () => scheduleUnique(db.store, [task])));
  assertEquals(many.flat().filter(({ inserted }) => inserted).length, 1, "one of several takes what has expired");
});

Deno.test("deleteExpiredKeys() deletes in batches, and no key that is held", async () => {
  await using db = await testDatabase();
  await scheduleUnique(db.store, [uniqueTask("held")]);
  await db.sql`
    INSERT INTO firefly.unique_key
    SELECT 'test.task', 'old' || i, -i, now() - interval '1 s' FROM generate_series(1, 1500) AS i
  `;
  assertEquals([
    await deleteExpiredKeys(db.store),
    await deleteExpiredKeys(db.store),
    await deleteExpiredKeys(db.store),
  ], [1000, 500, 0]);
  assertEquals(Object.keys(await holders(db)), ["held"]);
});

Deno.test("firefly.schedule() keeps, replaces or refuses, and accepts a time after completion", async () => {
  await using db = await testDatabase();
  const schedule = async (rest: string) =>
    (await db.sql.unsafe(`SELECT firefly.schedule('test.task', '[1]', unique_key => 'a' ${rest})::int AS id`))[0]!.id;

  const id = await schedule("");
  assertEquals(await schedule(""), id);
  await db
    .sql`SELECT firefly.schedule('test.task', '[3]', unique_key => 'a', on_conflict => 'replace', not_before => now() + interval '1 h')`;
  const [row] = await db.sql`SELECT params, not_before > now() + interval '59 min' AS later FROM firefly.task_json`;
  assertEquals([row!.params, row!.later], [[3], true]);
  const refused = await assertRejects(
    () => schedule(", on_conflict => 'error'"),
    Error,
    `task ${id} has its unique key "a"`,
  );
  assertEquals((refused as postgres.PostgresError).code, "23505");
  await assertRejects(() => schedule(", on_conflict => 'ignore'"), Error, "keep, replace or error");
  await assertRejects(
    () => db.sql`SELECT firefly.schedule('test.task', unique_key => '')`,
    Error,
    "unique_key_key_check",
  );
  await db.sql`SELECT firefly.schedule('test.timed', unique_key => 'a', unique_for => 60)`;
  assertEquals((await db.sql`SELECT unique_for FROM firefly.task WHERE func_name = 'test.timed'`)[0]!.unique_for, 60);
});
