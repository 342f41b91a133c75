import { assert, assertEquals } from "@std/assert";
import { promoteDueTasks } from "../../src/store/waiting.ts";
import { removeExpiredConsumers } from "../../src/store/consumers.ts";
import { rescueTasks } from "../../src/store/rescue.ts";
import { deleteEndedSlots, returnIdleSlots, startRates } from "../../src/store/limits.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { claim, claimOne, expireConsumer, startConsumer } from "../support/claiming.ts";
import { notificationsOf } from "../support/notifications.ts";
import { insertTask } from "../support/records.ts";
import { settle } from "../support/settling.ts";
import { admit, insertMany, limit, ready, slots, waiting } from "../support/limit_store.ts";

Deno.test("a rate slot counts from the start of its attempt, and sets when to admit again", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await limit(db, { rate: 1, per: 60 });
  const [first, second] = await insertMany(db, 2, { rate_key: "r" });
  await admit(db, [], ["r"]);
  await promoteDueTasks(db.store, ["default"]);

  const task = await claimOne(db, consumerId);
  assertEquals([task.id, task.hasSlots], [first, true]);
  assertEquals((await db.sql`SELECT until = 'infinity' AS claimed FROM firefly.slot`)[0]!.claimed, true);
  await startRates(db.store, [task.id]);
  // It notifications, since the consumer that began the task may be too busy to look when it is time.
  assertEquals(await notificationsOf(db, ["firefly_default"], () => admit(db, [], ["r"])), ["firefly_default"]);
  assertEquals(await notificationsOf(db, ["firefly_default"], () => admit(db, [], ["r"])), []);

  const [row] = await db.sql`
    SELECT admit_at = slot.until AS same, extract(epoch FROM until - now())::float AS seconds
    FROM firefly.waiting, firefly.slot WHERE waiting.id = ${second!}
  `;
  assertEquals(row!.same, true);
  const { nextDue } = await claim(db, { consumerId });
  for (const seconds of [row!.seconds, nextDue!]) assert(seconds > 30 && seconds <= 60, `${seconds} s`);

  await settle(db, task);
  assertEquals(await admit(db, [], ["r"]), 0);
  await db.sql`UPDATE firefly.slot SET until = now()`;
  assertEquals(await admit(db, [], ["r"]), 1);
});

Deno.test("an attempt that started counts for its rate however it ended; one that did not returns its slot", async () => {
  const ends: [string, (db: TestDatabase, consumerId: string) => Promise<unknown>, number][] = [
    ["completed", async (db, consumerId) => settle(db, await claimOne(db, consumerId)), 1],
    [
      "retried",
      async (db, consumerId) =>
        settle(db, await claimOne(db, consumerId), { status: "created", counts: "retry", delay: 60 }),
      1,
    ],
    [
      "handed back",
      async (db, consumerId) =>
        settle(db, await claimOne(db, consumerId), { status: "created", counts: "snooze", began: null }),
      0,
    ],
    ["rescued", async (db, consumerId) => {
      await claimOne(db, consumerId);
      await expireConsumer(db, consumerId);
      await removeExpiredConsumers(db.store);
      await rescueTasks(db.store);
    }, 1],
    ["cancelled while it ran", async (db, consumerId) => {
      const { id } = await claimOne(db, consumerId);
      await db.sql`SELECT firefly.cancel(${id})`;
    }, 1],
    ["deleted while it ran", async (db, consumerId) => {
      const { id } = await claimOne(db, consumerId);
      await db.sql`DELETE FROM firefly.task WHERE id = ${id}`;
    }, 1],
    ["cancelled in ready", (db) => db.sql`SELECT firefly.cancel(id) FROM firefly.task`, 0],
    ["deleted in ready", (db) => db.sql`DELETE FROM firefly.task`, 0],
    ["truncated", (db) => db.sql`TRUNCATE firefly.task`, 0],
  ];
  await using db = await testDatabase();
  await limit(db, { concurrency: 1, rate: 1 });
  for (const [end, act, left] of ends) {
    await db.sql`TRUNCATE firefly.task`;
    await db.sql`TRUNCATE firefly.ready, firefly.waiting, firefly.claim_batch, firefly.consumer`;
    const consumerId = await startConsumer(db);
    await insertTask(db, { concurrency_key: "a", rate_key: "r" });
    assertEquals(await admit(db, ["a"]), 1);

    await act(db, consumerId);

    const rows = await db.sql`SELECT kind, until > now() AND until < 'infinity' AS runs_out FROM firefly.slot`;
    assertEquals([...rows], left ? [{ kind: "rate", runs_out: true }] : [], end);
  }
});

Deno.test("claimTasks() reports which limited tasks have their slots", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await limit(db, { concurrency: 1 });
  const plain = await insertTask(db);
  const hasSlots = await insertTask(db, { concurrency_key: "a" });
  const smuggled = await insertTask(db, { concurrency_key: "a" });
  await admit(db, ["a"]);
  await db.sql`
    WITH moved AS (DELETE FROM firefly.waiting WHERE id = ${smuggled} RETURNING *)
    INSERT INTO firefly.ready (id, claim_seq, not_before, priority, queue, func_name)
    SELECT id, claim_seq, not_before, priority, queue, func_name FROM moved
  `;

  const { tasks } = await claim(db, { consumerId });

  assertEquals(Object.fromEntries(tasks.map((task) => [task.id, [task.concurrencyKey, task.hasSlots]])), {
    [plain]: [null, true],
    [hasSlots]: ["a", true],
    [smuggled]: ["a", false],
  });
});

Deno.test("returnIdleSlots() frees the slots of tasks that no consumer will claim, and slots without a task", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db, { queues: ["default", "still"] });
  await limit(db, { concurrency: 10 });
  const paused = await insertTask(db, { concurrency_key: "a", queue: "still" });
  const fine = await insertTask(db, { concurrency_key: "a" });
  await admit(db, ["a"]);
  await db.sql`SELECT firefly.pause('still')`;
  await db.sql`INSERT INTO firefly.slot (kind, key, task_id) VALUES ('concurrency', 'a', 4711)`;

  assertEquals(await returnIdleSlots(db.store), 0, "too early");
  await db.sql`UPDATE firefly.slot SET taken = now() - interval '1 minute'`;
  assertEquals(await returnIdleSlots(db.store), 2);

  assertEquals([await waiting(db), await ready(db), await slots(db)], [{ [paused]: "concurrency" }, [fine], { a: 1 }]);
  await expireConsumer(db, consumerId);
  assertEquals(await returnIdleSlots(db.store), 1);
  assertEquals(await slots(db), {});
});

Deno.test("returnIdleSlots() skips locked slots, and finds their tasks in the limit queue later", async () => {
  await using db = await testDatabase();
  await startConsumer(db, { queues: ["still"] });
  await limit(db, { concurrency: 10 });
  await insertTask(db, { concurrency_key: "a", queue: "still" });
  await admit(db, ["a"]);
  await db.sql`SELECT firefly.pause('still')`;
  await db.sql`UPDATE firefly.slot SET taken = now() - interval '1 minute'`;
  const other = await db.sql.reserve();
  await other`BEGIN`;
  await other`SELECT FROM firefly.slot FOR UPDATE`;

  assertEquals(await returnIdleSlots(db.store), 0);
  await other`ROLLBACK`;
  other.release();

  assertEquals(await returnIdleSlots(db.store), 1);
  assertEquals(await slots(db), {});
});

Deno.test("returnIdleSlots() leaves claimed tasks", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await limit(db, { concurrency: 1, rate: 1 });
  await insertTask(db, { concurrency_key: "a", rate_key: "r" });
  await admit(db, ["a"]);
  await claimOne(db, consumerId);
  await db.sql`UPDATE firefly.slot SET taken = now() - interval '1 minute'`;
  await db.sql`SELECT firefly.pause('default')`;

  assertEquals(await returnIdleSlots(db.store), 0);
  assertEquals(await slots(db), { a: 1, r: 1 });
});

Deno.test("deleteEndedSlots() deletes expired slots, and no others", async () => {
  await using db = await testDatabase();
  await db.sql`
    INSERT INTO firefly.slot (kind, key, task_id, per, until)
    VALUES ('rate', 'over', 1, 1, now() - interval '1s'), ('rate', 'runs', 2, 1, now() + interval '1h'),
      ('rate', 'claimed', 3, 1, 'infinity'), ('concurrency', 'held', 4, NULL, NULL)
  `;

  await deleteEndedSlots(db.store);

  assertEquals(await slots(db), { claimed: 1, held: 1, runs: 1 });
});
