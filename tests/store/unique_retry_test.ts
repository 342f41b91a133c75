import { assert, assertEquals } from "@std/assert";
import { rescueTasks } from "../../src/store/rescue.ts";
import { retryTasks } from "../../src/store/bulk.ts";
import { scheduleUnique } from "../../src/store/schedule.ts";
import { settleTasks } from "../../src/store/settle.ts";
import { findDuplicate } from "../../src/store/unique.ts";
import { testDatabase } from "../support/database.ts";
import { claim, claimOne, startConsumer } from "../support/claiming.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { outcomeOf, settle } from "../support/settling.ts";
import { clients, holders, uniqueTask } from "../support/unique.ts";

const RETRY = {
  status: "created",
  returned: null,
  error: '{"name":"Error","message":"x"}',
  delay: 0,
  counts: "retry",
} as const;

Deno.test("every end of a task releases its key: completed, failed, cancelled, deleted", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const next = async () => (await scheduleUnique(db.store, [uniqueTask("a")]))[0]!;

  const first = await next();
  assertEquals((await next()).id, first.id, "created");
  const claimed = await claimOne(db, consumerId);
  assertEquals((await next()).record?.status, "running");
  await settle(db, claimed);
  const second = await next();
  assertEquals([second.inserted, await holders(db)], [true, { a: Number(second.id) }]);
  await settle(db, await claimOne(db, consumerId), { status: "failed", returned: null });
  const third = await next();
  await db.sql`SELECT firefly.cancel(${third.id})`;
  const fourth = await next();
  await db.sql`DELETE FROM firefly.task WHERE id = ${fourth.id}`;
  const fifth = await next();
  assertEquals([third, fourth, fifth].map(({ inserted }) => inserted), [true, true, true]);
});

Deno.test("a task of `among` without running is claimed without its key; a duplicate makes its retry fail, and no other of the batch", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const among = { unique_among: ["created" as const] };
  await scheduleUnique(db.store, ["a", "b"].map((key) => uniqueTask(key, among)));
  await insertTask(db);
  const { tasks } = await claim(db, { consumerId });
  assertEquals(await holders(db), {});

  const [duplicate] = await scheduleUnique(db.store, [uniqueTask("a", among)]);
  const settled = await settleTasks(db.store, tasks.map((task) => outcomeOf(task, RETRY)), [tasks[0]!.batchId]);

  assertEquals(tasks.map(({ id }) => settled.get(id)), ["failed", "created", "created"]);
  const failed = await recordOf(db, tasks[0]!.id) as {
    status: string;
    failed: Date;
    errors: { name: string; message: string }[];
  };
  assertEquals([failed.status, failed.failed !== null, failed.errors.at(-1)!.name], ["failed", true, "TaskExists"]);
  assert(
    failed.errors.at(-1)!.message.includes(`task ${duplicate!.id} has its unique key "a"`),
    failed.errors.at(-1)!.message,
  );
  assertEquals(await holders(db), { a: Number(duplicate!.id), b: tasks[1]!.id });
  assertEquals((await db.sql`SELECT id::int FROM firefly.ready ORDER BY id`).map(({ id }) => id), [
    tasks[1]!.id,
    tasks[2]!.id,
    Number(duplicate!.id),
  ]);
});

Deno.test("a task that completes stays completed, whichever task has its key by then", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  for (
    const columns of [{ unique_among: ["created" as const, "completed" as const] }, {
      unique_among: ["created" as const],
      unique_for: 60,
    }]
  ) {
    const key = JSON.stringify(columns);
    await scheduleUnique(db.store, [uniqueTask(key, columns)]);
    const first = await claimOne(db, consumerId);
    const [duplicate] = await scheduleUnique(db.store, [uniqueTask(key, columns)]);
    assert(duplicate!.inserted && await settle(db, first));
    assertEquals((await recordOf(db, first.id)).status, "completed");
    assertEquals((await holders(db))[key], Number(duplicate!.id));

    await settle(db, await claimOne(db, consumerId)); // the key is free by now: it takes it again
    assertEquals((await scheduleUnique(db.store, [uniqueTask(key, columns)]))[0]!.inserted, false);
  }
});

Deno.test("a rescue that collides fails its task alone", async () => {
  await using db = await testDatabase();
  const dead = crypto.randomUUID();
  const consumerId = await startConsumer(db);
  const among = { unique_among: ["created" as const] };
  await scheduleUnique(db.store, ["a", "b"].map((key) => uniqueTask(key, among)));
  const { tasks } = await claim(db, { consumerId });
  await scheduleUnique(db.store, [uniqueTask("a", among)]);
  await db.sql`UPDATE firefly.claim_batch SET consumer_id = ${dead}`;

  const rescued = await rescueTasks(db.store);

  assertEquals(rescued.map(({ id, status }) => [id, status]).sort(), [[tasks[0]!.id, "failed"], [
    tasks[1]!.id,
    "created",
  ]]);
});

Deno.test("retryTasks() skips tasks that collide with a duplicate, committed or in an open transaction", async () => {
  await using db = await testDatabase();
  await using one = clients(db, 1);
  const ids = (await scheduleUnique(db.store, ["a", "b", "c"].map((key) => uniqueTask(key)))).map(({ id }) =>
    Number(id)
  );
  for (const id of ids) await db.sql`SELECT firefly.cancel(${id})`;
  const [duplicate] = await scheduleUnique(db.store, [uniqueTask("a")]);

  await one.each[0]!.begin(async (sql) => {
    await sql`SELECT firefly.schedule('test.task', unique_key => 'b')`;
    const chosen = ids.map((id) => ({ id, claimSeq: null }));
    assertEquals((await retryTasks(db.records, chosen)).done, 1);
  });

  const statuses = await Promise.all(ids.map(async (id) => (await recordOf(db, id)).status));
  assertEquals(statuses, ["cancelled", "cancelled", "created"]);
  assertEquals(await findDuplicate(db.records, ids[0]!), {
    id: Number(duplicate!.id),
    funcName: "test.task",
    key: "a",
  });
  assertEquals(await findDuplicate(db.records, ids[2]!), undefined);
});

Deno.test("many retries that collide with one open transaction hold up their batch for no more than a moment", async () => {
  await using db = await testDatabase();
  await using one = clients(db, 1);
  const consumerId = await startConsumer(db);
  const keyed = Array.from({ length: 60 }, (_, i) => uniqueTask(`k${i}`, { unique_among: ["created"] }));
  await scheduleUnique(db.store, keyed);
  await insertTask(db);
  const { tasks } = await claim(db, { consumerId });

  await one.each[0]!.begin(async (sql) => {
    await sql`SELECT FROM firefly._schedule(${JSON.stringify(keyed)}::text::json)`;
    const began = performance.now();
    const settled = await settleTasks(db.store, tasks.map((task) => outcomeOf(task, RETRY)), []);
    const seconds = (performance.now() - began) / 1000;
    assert(seconds < 8, `${seconds} s`); // half a second each would be 30
    assertEquals(tasks.map(({ id }) => settled.get(id)), [...Array(60).fill("failed"), "created"]);
  });
});
