import { assertEquals, assertLess } from "@std/assert";
import { Firefly, task } from "../../mod.ts";
import type { TestDatabase } from "../support/database.ts";
import { taskName, type TestInstance, testInstance } from "../support/instance.ts";
import { notificationsOf } from "../support/notifications.ts";
import { insertTask } from "../support/records.ts";
import { until } from "../support/waiting.ts";

const CHANNEL = "firefly_default";

/** The processes that stand at the door of a queue. */
async function doormen({ sql }: TestDatabase, queue = "default"): Promise<number[]> {
  const rows = await sql`
    SELECT pid FROM pg_locks
    WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (classid::bigint << 32) + objid::bigint = firefly._wake_lock(${queue}) AND mode = 'ExclusiveLock' AND granted
  `;
  return rows.map(({ pid }) => pid);
}

/** How often the queue rings while `count` tasks come in, one after another. */
async function ringsBy({ db, ff }: Pick<TestInstance, "db" | "ff">, schedule: () => Promise<unknown>, count: number) {
  const rings = await notificationsOf(db, [CHANNEL], async () => {
    for (let i = 0; i < count; i++) await ff.run(schedule);
  });
  return rings.length;
}

Deno.test("a task that comes in rings while a consumer sleeps, and starts at once", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => "done");
  await using _ = test.ff.consume({ pollInterval: "60s" });
  await until(async () => (await doormen(test.db)).length === 1);

  assertEquals(await ringsBy(test, () => work.schedule(), 1), 1);

  const record = await test.ff.run(() => work.schedule());
  assertEquals(await record.result({ timeout: "5s" }), "done");
});

Deno.test("tasks that come in ring nowhere while the only consumer is at work", async () => {
  await using test = await testInstance();
  const finish = Promise.withResolvers<void>();
  const work = task(taskName(), () => finish.promise);
  await using _ = test.ff.consume({ concurrency: 1, pollInterval: "60s" });
  await test.ff.run(() => work.schedule());
  await until(async () => (await test.db.sql`SELECT FROM firefly.claim_batch`).length === 1);
  await test.ff.run(() => work.schedule()); // this one the consumer may be notified for, and have no room
  await until(async () => (await doormen(test.db)).length === 0);

  assertEquals(await ringsBy(test, () => work.schedule(), 20), 0);

  finish.resolve();
  await until(async () => (await test.db.sql`SELECT FROM firefly.task WHERE status = 'completed'`).length === 22);
  await until(async () => (await doormen(test.db)).length === 1);
});

Deno.test("a holder that goes to work rings for another who sleeps, and that one takes the door", async () => {
  await using test = await testInstance();
  await using other = new Firefly({ database: test.db.url });
  const finish = Promise.withResolvers<void>();
  const busy = task(taskName(), () => finish.promise);
  const quick = task(taskName(), () => "quick");
  const options = { concurrency: 1, pollInterval: "60s" } as const;
  await using _one = test.ff.consume(options);
  await until(async () => (await doormen(test.db)).length === 1);
  await using two = other.consume(options);
  await two.ready;

  await test.ff.run(() => busy.schedule());
  await until(async () => (await test.db.sql`SELECT FROM firefly.claim_batch`).length === 1);
  await until(async () => (await doormen(test.db)).length === 1);

  const record = await test.ff.run(() => quick.schedule());
  assertEquals(await record.result({ timeout: "2s" }), "quick");
  finish.resolve();
});

Deno.test("a queue that no live consumer serves rings always", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => {});
  await using _ = test.ff.consume({ queues: ["another"] });
  await until(async () => (await doormen(test.db, "another")).length === 1);

  assertEquals(await ringsBy(test, () => work.schedule(), 3), 3);
});

Deno.test('a queue with notify: "always" rings always', async () => {
  await using test = await testInstance({ queues: { default: { notify: "always" } } });
  const finish = Promise.withResolvers<void>();
  const work = task(taskName(), () => finish.promise);
  await using _ = test.ff.consume({ concurrency: 1, pollInterval: "60s" });
  await test.ff.run(() => work.scheduleMany([[], []]));
  await until(async () => (await test.db.sql`SELECT FROM firefly.claim_batch`).length === 1);
  await until(async () => (await doormen(test.db)).length === 0);

  assertEquals(await ringsBy(test, () => work.schedule(), 3), 3);
  finish.resolve();
});

Deno.test("a consumer of an older release, which knows no wake lock, is notified always", async () => {
  await using test = await testInstance();
  const name = taskName();
  await test.db.sql`
    INSERT INTO firefly.consumer (id, host, pid, version, queues, tasks, concurrency, lease_until)
    VALUES (gen_random_uuid(), 'old', 1, '0.1.0', '{default}', ${[name]}, 1, now() + interval '1 minute')
  `;

  assertEquals((await notificationsOf(test.db, [CHANNEL], () => insertTask(test.db, { func_name: name }))).length, 1);

  await test.db.sql`UPDATE firefly.consumer SET wake_lock = true`;
  assertEquals((await notificationsOf(test.db, [CHANNEL], () => insertTask(test.db, { func_name: name }))).length, 0);
});

Deno.test("a task of a transaction that stays open for a while starts soon after its commit, without a ring", async () => {
  await using test = await testInstance();
  const finish = Promise.withResolvers<void>();
  const busy = task(taskName(), () => finish.promise);
  const work = task(taskName(), () => performance.now());
  await using _ = test.ff.consume({ concurrency: 1, pollInterval: "60s" });
  await test.ff.run(() => busy.schedule());
  await until(async () => (await test.db.sql`SELECT FROM firefly.claim_batch`).length === 1);
  await test.ff.run(() => busy.schedule()); // this one the consumer may be notified for, and have no room
  await until(async () => (await doormen(test.db)).length === 0);

  const record = await test.ff.transaction(async () => {
    const record = await work.schedule();
    finish.resolve(); // the consumer looks, and cannot get the door
    await new Promise((resolve) => setTimeout(resolve, 400));
    return record;
  });
  const committed = performance.now();

  assertLess(await record.result({ timeout: "5s" }) - committed, 1300);
});

Deno.test("a killed holder's queue is looked after by another within a second or so", async () => {
  await using test = await testInstance();
  await using other = new Firefly({ database: test.db.url });
  const work = task(taskName(), () => "done");
  await using one = test.ff.consume({ pollInterval: "60s" });
  await one.ready;
  await until(async () => (await doormen(test.db)).length === 1);
  await using two = other.consume({ pollInterval: "60s" });
  await two.ready;

  for (const pid of await doormen(test.db)) await test.db.sql`SELECT pg_terminate_backend(${pid})`;
  const record = await test.ff.run(() => work.schedule());

  assertEquals(await record.result({ timeout: "3s" }), "done");
});
