import { assert, assertEquals } from "@std/assert";
import { testDatabase } from "../support/database.ts";
import { claim, claimOne, expireConsumer, startConsumer } from "../support/claiming.ts";
import { insertTask, placesOf, recordOf } from "../support/records.ts";
import { removeExpiredConsumers } from "../../src/store/consumers.ts";
import { rescueTasks } from "../../src/store/rescue.ts";

Deno.test("claimTasks() takes the larger priority first, then the earlier due time, then the smaller id", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const young = await insertTask(db);
  const old = await insertTask(db, { not_before: new Date(Date.now() - 60_000) });
  const urgent = await insertTask(db, { priority: 1 });
  const duplicate = await insertTask(db, { not_before: (await recordOf(db, old)).not_before });

  const { tasks } = await claim(db, { consumerId });

  assertEquals(tasks.map(({ id }) => id), [urgent, old, duplicate, young]);
});

Deno.test("claimTasks() keeps one order over several queues", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db, { queues: ["mail", "slow"] });
  const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * 60_000);
  const third = await insertTask(db, { queue: "mail", not_before: minutesAgo(1) });
  const first = await insertTask(db, { queue: "slow", priority: 5 });
  const second = await insertTask(db, { queue: "slow", not_before: minutesAgo(2) });
  await insertTask(db, { queue: "other" });

  const { tasks } = await claim(db, { consumerId, queues: ["mail", "slow"], limit: 3 });

  assertEquals(tasks.map(({ id }) => id), [first, second, third]);
});

Deno.test("claimTasks() never gives a task to two consumers that claim at once", async () => {
  await using db = await testDatabase();
  const ids = await Promise.all(Array.from({ length: 4 }, () => startConsumer(db)));
  await db.sql`INSERT INTO firefly.task (func_name) SELECT 'test.task' FROM generate_series(1, 200)`;

  const claims = await Promise.all(
    Array.from({ length: 12 }, (_, i) => claim(db, { consumerId: ids[i % 4]!, limit: 20 })),
  );

  const claimed = claims.flatMap(({ tasks }) => tasks.map(({ id }) => id));
  assertEquals(new Set(claimed).size, claimed.length);
  assertEquals((await placesOf(db)).ready, 200 - claimed.length);
});

Deno.test("claimTasks() takes no more than its limit", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await db.sql`INSERT INTO firefly.task (func_name) SELECT 'test.task' FROM generate_series(1, 50)`;

  assertEquals((await claim(db, { consumerId, limit: 7 })).tasks.length, 7);
  assertEquals((await placesOf(db)).ready, 43);
});

Deno.test("claimTasks() leaves names that the consumer does not know", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await insertTask(db, { func_name: "test.stranger", priority: 9 });
  const known = await insertTask(db);

  const { tasks } = await claim(db, { consumerId });

  assertEquals(tasks.map(({ id }) => id), [known]);
  assertEquals((await placesOf(db)).ready, 1);
});

Deno.test("claimTasks() takes nothing from a paused queue", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await insertTask(db);
  await db.sql`INSERT INTO firefly.queue (name, paused) VALUES ('default', true)`;

  assertEquals((await claim(db, { consumerId })).tasks, []);

  await db.sql`UPDATE firefly.queue SET paused = false`;
  assertEquals((await claim(db, { consumerId })).tasks.length, 1);
});

Deno.test("claimTasks() drops rows of records that were deleted or edited by hand", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const [deleted, ended, fenced] = [await insertTask(db), await insertTask(db), await insertTask(db)];
  await db.sql`DELETE FROM firefly.task WHERE id = ${deleted}`;
  await db.sql`UPDATE firefly.task SET status = 'completed' WHERE id = ${ended}`;
  await db.sql`UPDATE firefly.task SET claim_seq = 7 WHERE id = ${fenced}`;

  assertEquals((await claim(db, { consumerId })).tasks, []);
  assertEquals(await placesOf(db), { ready: 0, waiting: 0, claimBatches: 0 });
});

Deno.test("claimTasks() claims nothing for a consumer whose lease has expired, and reports that", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await insertTask(db);
  await expireConsumer(db, consumerId);

  const { alive, tasks } = await claim(db, { consumerId });

  assertEquals({ alive, tasks }, { alive: false, tasks: [] });
  assertEquals((await placesOf(db)).ready, 1);
});

Deno.test("claimTasks() reports when the next task is due", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  assertEquals((await claim(db, { consumerId })).nextDue, null);
  await insertTask(db, { not_before: new Date(Date.now() + 3_600_000) });
  await insertTask(db, { not_before: new Date(Date.now() + 60_000) });

  const { nextDue } = await claim(db, { consumerId });

  assert(nextDue !== null && nextDue > 50 && nextDue < 61, `due in ${nextDue} s`);
});

Deno.test("claimTasks() reads the record's own counters and limits", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await insertTask(db, { retry_attempts: 2, rescues: 1, max_retries: 5, retry_delay: 1.5, timeout: 30 });

  const task = await claimOne(db, consumerId);

  const { attempt, retryAttempts, maxRetries, retryDelay, timeout } = task;
  assertEquals(
    { attempt, retryAttempts, maxRetries, retryDelay, timeout },
    { attempt: 4, retryAttempts: 2, maxRetries: 5, retryDelay: 1.5, timeout: 30 },
  );
});

Deno.test("claimTasks() takes one quarantined task at a time, in a batch of its own", async () => {
  await using db = await testDatabase();
  const dead = await startConsumer(db);
  for (let i = 0; i < 3; i++) await insertTask(db, { crash_count: 1 });
  await claim(db, { consumerId: dead });
  await expireConsumer(db, dead);
  await removeExpiredConsumers(db.store);
  await rescueTasks(db.store);
  const consumerId = await startConsumer(db);
  const fresh = await insertTask(db);

  const { tasks } = await claim(db, { consumerId });

  assertEquals(tasks.map(({ quarantined }) => quarantined).sort(), [false, true]);
  assertEquals(tasks.find(({ quarantined }) => !quarantined)!.id, fresh);
  assertEquals((await placesOf(db)).claimBatches, 2);
  assertEquals((await claim(db, { consumerId, quarantinedBatchId: null })).tasks, []);
});
