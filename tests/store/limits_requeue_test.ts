import { assertEquals } from "@std/assert";
import { parkUnknownTasks, promoteDueTasks, unparkKnownTasks } from "../../src/store/waiting.ts";
import { removeExpiredConsumers } from "../../src/store/consumers.ts";
import { rescueTasks } from "../../src/store/rescue.ts";
import { requeueForLimits } from "../../src/store/limits.ts";
import { testDatabase } from "../support/database.ts";
import { claim, claimOne, expireConsumer, startConsumer } from "../support/claiming.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { settle } from "../support/settling.ts";
import { admit, limit, ready, slots, waiting } from "../support/limit_store.ts";

Deno.test("requeueForLimits() stores the keys, fences the claim and keeps a task quarantined", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const first = await insertTask(db);
  await db.sql`UPDATE firefly.ready SET quarantined = true`;
  const second = await insertTask(db);
  const { tasks } = await claim(db, { consumerId });
  const stale = { id: second, ...tasks.find(({ id }) => id === second)!.run, claimSeq: 7 };
  const task = tasks.find(({ id }) => id === first)!;

  const keyed = { id: first, ...task.run, concurrencyKey: "a", rateKey: "r" };
  const sent = await requeueForLimits(db.store, [keyed, stale]);

  assertEquals([...sent], [first]);
  const { claim_seq, concurrency_key, rate_key, snoozes, retry_attempts } = await recordOf(db, first);
  assertEquals([claim_seq, concurrency_key, rate_key, snoozes, retry_attempts], [1, "a", "r", 0, 0]);
  const [row] = await db
    .sql`SELECT id, claim_seq, quarantined, reason, admit_at <= now() AS marked FROM firefly.waiting`;
  assertEquals(row, { id: `${first}`, claim_seq: 1, quarantined: true, reason: "concurrency", marked: true });
  assertEquals(await settle(db, task), false);
  await admit(db, ["a"]);
  assertEquals(
    (await claim(db, { consumerId })).tasks.map(({ id, quarantined, hasSlots }) => [id, quarantined, hasSlots]),
    [
      [first, true, true],
    ],
  );
});

Deno.test("a limited task that is given back, retried at once or rescued waits in its limit queue again, without slots", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await limit(db, { concurrency: 1 });
  const id = await insertTask(db, { concurrency_key: "a" });
  await admit(db, ["a"]);

  await settle(db, await claimOne(db, consumerId), { status: "created", counts: "snooze", began: null });
  assertEquals([await waiting(db), await slots(db)], [{ [id]: "concurrency" }, {}]);

  await admit(db, ["a"]);
  await settle(db, await claimOne(db, consumerId), { status: "created", counts: "retry", delay: 0 });
  assertEquals([await waiting(db), await slots(db)], [{ [id]: "concurrency" }, {}]);

  await admit(db, ["a"]);
  await settle(db, await claimOne(db, consumerId), { status: "created", counts: "retry", delay: 60 });
  assertEquals([await waiting(db), await slots(db)], [{ [id]: "time" }, {}]);

  await db.sql`UPDATE firefly.waiting SET not_before = now()`;
  await promoteDueTasks(db.store, ["default"]);
  await admit(db, ["a"]);
  await claimOne(db, consumerId);
  await db.sql`UPDATE firefly.task SET crash_count = 1`;
  await expireConsumer(db, consumerId);
  await removeExpiredConsumers(db.store);
  const rescued = await rescueTasks(db.store);
  assertEquals(rescued.map((task) => [task.id, task.concurrencyKey]), [[id, "a"]]);
  assertEquals([await waiting(db), await slots(db)], [{ [id]: "concurrency" }, {}]);
  await startConsumer(db);
  await admit(db, ["a"]);
  assertEquals((await db.sql`SELECT quarantined FROM firefly.ready`)[0], { quarantined: true });
});

Deno.test("parkUnknownTasks() frees slots, and unparkKnownTasks() returns limited tasks to their limit queues", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await limit(db, { concurrency: 1 });
  const id = await insertTask(db, { concurrency_key: "a" });
  await admit(db, ["a"]);
  await expireConsumer(db, consumerId);

  assertEquals((await parkUnknownTasks(db.store, ["default"])).length, 1);
  assertEquals([await waiting(db), await slots(db)], [{ [id]: "unknown" }, {}]);

  assertEquals(await unparkKnownTasks(db.store, { queues: ["default"], names: ["test.task"] }), 1);
  assertEquals([await waiting(db), await ready(db)], [{ [id]: "concurrency" }, []]);
  assertEquals((await promoteDueTasks(db.store, ["default"])).concurrencyKeys, ["a"]);
});
