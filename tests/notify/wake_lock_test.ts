import { assertEquals, assertLess } from "@std/assert";
import { Firefly, task } from "../../mod.ts";
import { taskName, type TestInstance, testInstance } from "../support/instance.ts";
import { insertTask } from "../support/records.ts";
import { notificationsOf } from "../support/notifications.ts";
import { until } from "../support/waiting.ts";
import { holdersOf } from "../support/wake_lock.ts";

const CHANNEL = "firefly_default";

/** How many notifications the queue gets while `count` tasks are scheduled, one after another. */
async function countNotifications(
  { db, ff }: Pick<TestInstance, "db" | "ff">,
  schedule: () => Promise<unknown>,
  count: number,
) {
  const notifications = await notificationsOf(db, [CHANNEL], async () => {
    for (let i = 0; i < count; i++) await ff.run(schedule);
  });
  return notifications.length;
}

Deno.test("a task notifies a consumer that sleeps, and starts at once", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => "done");
  await using _ = test.ff.consume({ pollInterval: "60s" });
  await until(async () => (await holdersOf(test.db)).length === 1);

  assertEquals(await countNotifications(test, () => work.schedule(), 1), 1);

  const record = await test.ff.run(() => work.schedule());
  assertEquals(await record.result({ timeout: "5s" }), "done");
});

Deno.test("tasks send no notification while the only consumer is busy", async () => {
  await using test = await testInstance();
  const finish = Promise.withResolvers<void>();
  const work = task(taskName(), () => finish.promise);
  await using _ = test.ff.consume({ concurrency: 1, pollInterval: "60s" });
  await test.ff.run(() => work.schedule());
  await until(async () => (await test.db.sql`SELECT FROM firefly.claim_batch`).length === 1);
  await test.ff.run(() => work.schedule()); // the consumer may be notified of this one, and have no room
  await until(async () => (await holdersOf(test.db)).length === 0);

  assertEquals(await countNotifications(test, () => work.schedule(), 20), 0);

  finish.resolve();
  await until(async () => (await test.db.sql`SELECT FROM firefly.task WHERE status = 'completed'`).length === 22);
  await until(async () => (await holdersOf(test.db)).length === 1);
});

Deno.test("a holder that becomes busy notifies a consumer that sleeps, which acquires the lock", async () => {
  await using test = await testInstance();
  await using other = new Firefly({ database: test.db.url });
  const finish = Promise.withResolvers<void>();
  const busy = task(taskName(), () => finish.promise);
  const quick = task(taskName(), () => "quick");
  const options = { concurrency: 1, pollInterval: "60s" } as const;
  await using _one = test.ff.consume(options);
  await until(async () => (await holdersOf(test.db)).length === 1);
  await using two = other.consume(options);
  await two.ready;

  await test.ff.run(() => busy.schedule());
  await until(async () => (await test.db.sql`SELECT FROM firefly.claim_batch`).length === 1);
  await until(async () => (await holdersOf(test.db)).length === 1);

  const record = await test.ff.run(() => quick.schedule());
  assertEquals(await record.result({ timeout: "2s" }), "quick");
  finish.resolve();
});

Deno.test("a queue that no live consumer serves always gets notifications", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => {});
  await using _ = test.ff.consume({ queues: ["another"] });
  await until(async () => (await holdersOf(test.db, "another")).length === 1);

  assertEquals(await countNotifications(test, () => work.schedule(), 3), 3);
});

Deno.test('a queue with notify: "always" always gets notifications', async () => {
  await using test = await testInstance({ queues: { default: { notify: "always" } } });
  const finish = Promise.withResolvers<void>();
  const work = task(taskName(), () => finish.promise);
  await using _ = test.ff.consume({ concurrency: 1, pollInterval: "60s" });
  await test.ff.run(() => work.scheduleMany([[], []]));
  await until(async () => (await test.db.sql`SELECT FROM firefly.claim_batch`).length === 1);
  await until(async () => (await holdersOf(test.db)).length === 0);

  assertEquals(await countNotifications(test, () => work.schedule(), 3), 3);
  finish.resolve();
});

Deno.test("a queue is notified always once the lease of its only consumer has expired", async () => {
  await using test = await testInstance();
  const name = taskName();
  await test.db.sql`
    INSERT INTO firefly.consumer (id, host, pid, version, queues, tasks, concurrency, lease_until)
    VALUES (gen_random_uuid(), 'h', 1, '0', '{default}', ${[name]}, 1, now() + interval '1 minute')
  `;
  const insert = () => insertTask(test.db, { func_name: name });

  const live = await notificationsOf(test.db, [CHANNEL], insert);
  await test.db.sql`UPDATE firefly.consumer SET lease_until = now() - interval '1 second'`;
  const expired = await notificationsOf(test.db, [CHANNEL], insert);

  assertEquals([live.length, expired.length], [0, 1]);
});

Deno.test("a task of a transaction that stays open for a while starts soon after its commit, without a notification", async () => {
  await using test = await testInstance();
  const finish = Promise.withResolvers<void>();
  const busy = task(taskName(), () => finish.promise);
  const work = task(taskName(), () => performance.now());
  await using _ = test.ff.consume({ concurrency: 1, pollInterval: "60s" });
  await test.ff.run(() => busy.schedule());
  await until(async () => (await test.db.sql`SELECT FROM firefly.claim_batch`).length === 1);
  await test.ff.run(() => busy.schedule()); // the consumer may be notified of this one, and have no room
  await until(async () => (await holdersOf(test.db)).length === 0);

  const record = await test.ff.transaction(async () => {
    const record = await work.schedule();
    finish.resolve(); // the consumer looks, and cannot acquire the lock
    await new Promise((resolve) => setTimeout(resolve, 400));
    return record;
  });
  const committed = performance.now();

  assertLess(await record.result({ timeout: "5s" }) - committed, 1300);
});

Deno.test("another consumer takes over the queue of a killed holder within about a second", async () => {
  await using test = await testInstance();
  await using other = new Firefly({ database: test.db.url });
  const work = task(taskName(), () => "done");
  await using one = test.ff.consume({ pollInterval: "60s" });
  await one.ready;
  await until(async () => (await holdersOf(test.db)).length === 1);
  await using two = other.consume({ pollInterval: "60s" });
  await two.ready;

  for (const pid of await holdersOf(test.db)) await test.db.sql`SELECT pg_terminate_backend(${pid})`;
  const record = await test.ff.run(() => work.schedule());

  assertEquals(await record.result({ timeout: "3s" }), "done");
});
