import { assert, assertEquals } from "@std/assert";
import { makeTag } from "../../src/database/driver.ts";
import { parkUnknownTasks, unparkKnownTasks } from "../../src/store/waiting.ts";
import { removeConsumer, removeExpiredConsumers, renewConsumer } from "../../src/store/consumers.ts";
import { rescueTasks } from "../../src/store/rescue.ts";
import { settleTasks } from "../../src/store/settle.ts";
import { registerWaiters } from "../../src/store/records.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { claim, claimOne, expireConsumer, startConsumer } from "../support/claiming.ts";
import { notificationsOf } from "../support/notifications.ts";
import { insertTask, placesOf, recordOf } from "../support/records.ts";
import { outcomeOf, settle } from "../support/settling.ts";
import { lockWait } from "../support/statements.ts";

/** The end of a consumer that held its tasks: they are rescued. */
async function die(db: TestDatabase, consumerId: string): Promise<{ id: number; status: string }[]> {
  await expireConsumer(db, consumerId);
  await removeExpiredConsumers(db.store);
  return (await rescueTasks(db.store)).map(({ id, status }) => ({ id, status }));
}

Deno.test("rescueTasks() returns the tasks of a crashed consumer to their old places, counted", async () => {
  await using db = await testDatabase();
  const dead = await startConsumer(db);
  const minuteAgo = new Date(Date.now() - 60_000);
  const [first, second] = [
    await insertTask(db, { not_before: minuteAgo }),
    await insertTask(db, { not_before: minuteAgo }),
  ];
  assertEquals((await claim(db, { consumerId: dead })).tasks.length, 2);
  await insertTask(db); // a younger one
  let rescued: { id: number }[] = [];

  const notifications = await notificationsOf(db, ["firefly_default"], async () => rescued = await die(db, dead));

  assertEquals(rescued.map(({ id }) => id).sort(), [first, second]);
  const { status, rescues, retry_attempts, crash_count, not_before, claim_seq } = await recordOf(db, first);
  assertEquals(
    { status, rescues, retry_attempts, crash_count, not_before, claim_seq },
    { status: "created", rescues: 1, retry_attempts: 0, crash_count: 1, not_before: minuteAgo, claim_seq: 1 },
  );
  const ready = await db.sql`SELECT id::int, quarantined FROM firefly.ready ORDER BY priority DESC, not_before, id`;
  assertEquals(ready.map(({ id, quarantined }) => [id, quarantined]), [[first, false], [second, false], [
    second + 1,
    false,
  ]]);
  assertEquals((await placesOf(db)).claimBatches, 0);
  assertEquals(notifications, ["firefly_default"]);
  const again = await claimOne(db, await startConsumer(db));
  assertEquals([again.id, again.attempt, again.quarantined], [first, 2, false]);
});

Deno.test("rescueTasks() quarantines tasks that were held through two crashes in a row, and none after one", async () => {
  await using db = await testDatabase();
  const quarantined: unknown[] = [];
  await insertTask(db);
  await insertTask(db);

  for (let death = 0; death < 2; death++) {
    const consumerId = await startConsumer(db);
    assertEquals((await claim(db, { consumerId })).tasks.length, 2, "both at once");
    await die(db, consumerId);
    quarantined.push((await db.sql`SELECT quarantined FROM firefly.ready`).map(({ quarantined }) => quarantined));
  }

  assertEquals(quarantined, [[false, false], [true, true]]);
  assertEquals((await claim(db, { consumerId: await startConsumer(db) })).tasks.length, 1, "one alone");
});

Deno.test("rescueTasks() leaves tasks that were settled, released, cancelled or deleted before their consumer crashed", async () => {
  await using db = await testDatabase();
  const dead = await startConsumer(db);
  for (let i = 0; i < 5; i++) await insertTask(db);
  const { tasks: [done, back, cancelled, deleted, left] } = await claim(db, { consumerId: dead });
  const outcomes = [outcomeOf(done!), outcomeOf(back!, { status: "created", returned: null, counts: "snooze" })];
  await settleTasks(db.store, outcomes, []); // the batch stays, with what is left of it
  await db.sql`SELECT firefly.cancel(${cancelled!.id})`;
  await db.sql`DELETE FROM firefly.task WHERE id = ${deleted!.id}`;

  assertEquals((await die(db, dead)).map(({ id }) => id), [left!.id]);

  assertEquals((await recordOf(db, back!.id)).rescues, 0);
  assertEquals(await placesOf(db), { ready: 2, waiting: 0, claimBatches: 0 });
});

Deno.test("rescueTasks() leaves the batches of live consumers, and takes those of consumers without a row", async () => {
  await using db = await testDatabase();
  const alive = await startConsumer(db);
  const gone = await startConsumer(db);
  await insertTask(db);
  const held = await claimOne(db, alive);
  await insertTask(db);
  const orphan = await claimOne(db, gone);
  await removeConsumer(db.store, gone);

  assertEquals((await rescueTasks(db.store)).map(({ id }) => id), [orphan.id]);

  assert(await settle(db, held));
});

Deno.test("rescueTasks() run by two at once rescues each task once", async () => {
  await using db = await testDatabase();
  const dead = await startConsumer(db);
  await db.sql`INSERT INTO firefly.task (func_name) SELECT 'test.task' FROM generate_series(1, 300)`;
  for (let i = 0; i < 30; i++) await claim(db, { consumerId: dead, limit: 10 });
  await removeConsumer(db.store, dead);

  const rescues = await Promise.all(Array.from({ length: 8 }, () => rescueTasks(db.store)));

  const ids = rescues.flat().map(({ id }) => id);
  assertEquals([ids.length, new Set(ids).size], [300, 300]);
  assertEquals((await db.sql`SELECT max(rescues) AS most, max(claim_seq)::int AS seq FROM firefly.task`)[0], {
    most: 1,
    seq: 1,
  });
  assertEquals(await placesOf(db), { ready: 300, waiting: 0, claimBatches: 0 });
});

Deno.test("rescueTasks() rescues no task of another rescue that is not committed yet", async () => {
  await using db = await testDatabase();
  const dead = await startConsumer(db);
  for (let i = 0; i < 3; i++) await insertTask(db);
  await claim(db, { consumerId: dead });
  await removeConsumer(db.store, dead);

  const [first, second] = await db.sql.begin(async (sql) => {
    const first = await rescueTasks(makeTag((build) => build(sql as never) as never, "firefly"));
    const second = rescueTasks(db.store);
    await Promise.race([second, lockWait(db)]);
    return [first, { rescued: second }] as const;
  });

  assertEquals([first.length, (await second.rescued).length], [3, 0]);
  assertEquals((await db.sql`SELECT DISTINCT rescues, claim_seq::int FROM firefly.task`)[0], {
    rescues: 1,
    claim_seq: 1,
  });
  assertEquals(await placesOf(db), { ready: 3, waiting: 0, claimBatches: 0 });
});

Deno.test("rescueTasks() skips a record that another transaction has locked, and rescues it later", async () => {
  await using db = await testDatabase();
  const dead = await startConsumer(db);
  for (let i = 0; i < 3; i++) await insertTask(db);
  const { tasks } = await claim(db, { consumerId: dead });
  await removeConsumer(db.store, dead);
  const locked = tasks[1]!.id;

  await db.sql.begin(async (sql) => {
    await sql`SELECT FROM firefly.task WHERE id = ${locked} FOR UPDATE`;
    const rescued = await Promise.race([rescueTasks(db.store), lockWait(db)]);
    assert(Array.isArray(rescued), `${rescued}`);
    assertEquals(rescued.map(({ id }) => id).sort(), [tasks[0]!.id, tasks[2]!.id]);
    assertEquals(await placesOf(db), { ready: 2, waiting: 0, claimBatches: 1 });
  });

  assertEquals((await rescueTasks(db.store)).map(({ id }) => id), [locked]);
  assertEquals(await placesOf(db), { ready: 3, waiting: 0, claimBatches: 0 });
});

Deno.test("rescueTasks() fails a task at the third crash in quarantine, with a readable error, and notifies its waiters", async () => {
  await using db = await testDatabase();
  const id = await insertTask(db, { max_retries: 1000, retry_attempts: 1 });
  await registerWaiters(db.store, [id]);
  const deaths: string[] = [];

  const notifications = await notificationsOf(db, ["firefly:ended"], async () => {
    for (let i = 0; i < 5; i++) {
      const consumerId = await startConsumer(db);
      await claimOne(db, consumerId);
      const [rescued] = await die(db, consumerId);
      deaths.push(rescued!.status);
    }
  });

  assertEquals(deaths, ["created", "created", "created", "created", "failed"]);
  const { status, failed, rescues, crash_count, errors } = await recordOf(db, id);
  assertEquals({ status, rescues, crash_count }, { status: "failed", rescues: 5, crash_count: 5 });
  assert(failed instanceof Date);
  const [{ at, ...error }] = errors as [Record<string, unknown>];
  assertEquals(error, {
    name: "ConsumerCrashed",
    message: "Five consumers in a row crashed while they held this task",
    attempt: 6,
  });
  assert(!Number.isNaN(Date.parse(at as string)));
  assertEquals(await placesOf(db), { ready: 0, waiting: 0, claimBatches: 0 });
  assertEquals(notifications, ["firefly:ended"]);
  assertEquals((await db.sql`SELECT FROM firefly.result_waiter`).length, 0);
});

Deno.test("every end of an attempt except a crash ends a quarantine", async () => {
  await using db = await testDatabase();
  const id = await insertTask(db);
  const dieWithIt = async () => {
    const consumerId = await startConsumer(db);
    await claimOne(db, consumerId);
    await die(db, consumerId);
  };
  for (let i = 0; i < 3; i++) await dieWithIt();
  assertEquals((await recordOf(db, id)).crash_count, 3);

  const task = await claimOne(db, await startConsumer(db));
  await settle(db, task, { status: "created", returned: null, counts: "retry", delay: 0 });

  assertEquals((await recordOf(db, id)).crash_count, 0);
  assertEquals((await db.sql`SELECT quarantined FROM firefly.ready`)[0]!.quarantined, false);
  for (let i = 0; i < 3; i++) await dieWithIt();
  assertEquals((await recordOf(db, id)).status, "created");
});

Deno.test("tasks that were claimed and never started are not failed by crashes that another task causes", async () => {
  await using db = await testDatabase();
  const poison = await insertTask(db, { priority: 1 });
  for (let i = 0; i < 20; i++) await insertTask(db);

  // Every consumer takes the poison, and as many others as it may.
  for (let death = 0; death < 5; death++) {
    const consumerId = await startConsumer(db);
    const { tasks } = await claim(db, { consumerId });
    assertEquals(tasks[0]!.id, poison);
    await die(db, consumerId);
  }

  const rows = await db.sql`SELECT id::int, status FROM firefly.task WHERE crash_count > 2`;
  assertEquals(rows.map(({ id, status }) => [id, status]), [[poison, "failed"]]);
  assertEquals((await placesOf(db)).ready, 20);
});

Deno.test("a quarantined task stays in quarantine while no live consumer knows its name", async () => {
  await using db = await testDatabase();
  const id = await insertTask(db, { func_name: "test.poison" });
  const other = await startConsumer(db);
  const queues = ["default"];

  // The only consumers that know the task die of it; the others look after the queue.
  for (let death = 0; death < 5; death++) {
    const consumerId = await startConsumer(db, { tasks: ["test.poison"] });
    await unparkKnownTasks(db.store, { queues, names: ["test.poison"] });
    await claim(db, { consumerId, names: ["test.poison"], queues });
    await die(db, consumerId);
    await parkUnknownTasks(db.store, queues);
  }

  assertEquals((await recordOf(db, id)).status, "failed");
  assertEquals(await renewConsumer(db.store, other, 30), true);
});
