import { assert, assertEquals } from "@std/assert";
import { deleteBatches, readClaims, settleTasks, storeProgress } from "../../src/store/settle.ts";
import { registerWaiters } from "../../src/store/records.ts";
import { removeExpiredConsumers } from "../../src/store/consumers.ts";
import { rescueTasks } from "../../src/store/rescue.ts";
import { testDatabase } from "../support/database.ts";
import { claim, claimMany, claimOne, expireConsumer, startConsumer } from "../support/claiming.ts";
import { insertTask, placesOf, recordOf } from "../support/records.ts";
import { outcomeOf, settle } from "../support/settling.ts";
import { updatesOf } from "../support/statements.ts";

Deno.test("settleTasks() completes tasks and deletes their batch", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await insertTask(db);
  const task = await claimOne(db, consumerId);

  assert(await settle(db, task, { returned: "NA==", began: performance.now() - 2000 }));

  const { status, returned, completed, started, claim_seq } = await recordOf(db, task.id);
  assertEquals({ status, returned, claim_seq }, { status: "completed", returned: "NA==", claim_seq: 1 });
  const seconds = (Number(completed) - Number(started)) / 1000;
  assert(seconds >= 2 && seconds < 3, `${seconds} s`);
  assertEquals(await placesOf(db), { ready: 0, waiting: 0, claimBatches: 0 });
});

Deno.test("settleTasks() refuses an attempt whose task was claimed again", async () => {
  await using db = await testDatabase();
  const dead = await startConsumer(db);
  await insertTask(db);
  const stale = await claimOne(db, dead);
  await expireConsumer(db, dead);
  await removeExpiredConsumers(db.store);
  await rescueTasks(db.store);
  const fresh = await claimOne(db, await startConsumer(db));

  assertEquals(await settle(db, stale, { returned: "InN0YWxlIg==" }), false);
  assertEquals(await settle(db, fresh, { returned: "ImZyZXNoIg==" }), true);

  assertEquals((await recordOf(db, fresh.id)).returned, "ImZyZXNoIg==");
});

Deno.test("settleTasks() refuses an attempt whose task was cancelled, and one that was retried since", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const id = await insertTask(db);
  const stale = await claimOne(db, consumerId);
  await db.sql`SELECT firefly.cancel(${id})`;
  assertEquals(await settle(db, stale), false);

  await db.sql`SELECT firefly.retry(${id})`;
  assertEquals(await settle(db, stale), false);

  const again = await claimOne(db, consumerId);
  assertEquals(await settle(db, stale), false);
  assertEquals(await settle(db, again), true);
});

Deno.test("settleTasks() skips a row that another transaction has locked", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  for (let i = 0; i < 3; i++) await insertTask(db);
  const { tasks } = await claim(db, { consumerId });
  const locked = tasks[1]!;

  await db.sql.begin(async (sql) => {
    await sql`SELECT FROM firefly.task WHERE id = ${locked.id} FOR UPDATE`;
    const settled = await settleTasks(db.store, tasks.map((task) => outcomeOf(task)), [locked.batchId]);
    assertEquals([...settled.keys()].sort(), [tasks[0]!.id, tasks[2]!.id]);
  });

  assertEquals((await placesOf(db)).claimBatches, 1, "the batch stays while a task of it has not ended");
  assert(await settle(db, locked));
});

Deno.test("settleTasks() never deadlocks with calls that settle the same tasks in other orders", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const deadlocks = async () => {
    await db.sql`SELECT pg_stat_clear_snapshot()`;
    const [row] = await db.sql`SELECT deadlocks::int FROM pg_stat_database WHERE datname = current_database()`;
    return row!.deadlocks;
  };
  for (let round = 0; round < 5; round++) {
    await db.sql`INSERT INTO firefly.task (func_name) SELECT 'test.task' FROM generate_series(1, 100)`;
    const { tasks } = await claim(db, { consumerId });
    const outcomes = tasks.map((task) => outcomeOf(task));
    await Promise.all([
      settleTasks(db.store, outcomes, []),
      settleTasks(db.store, outcomes.toReversed(), []),
      settleTasks(db.store, outcomes.toSorted((a, b) => a.id % 7 - b.id % 7), []),
    ]);
  }
  assertEquals(await deadlocks(), 0);
  assertEquals((await db.sql`SELECT count(*)::int AS n FROM firefly.task WHERE status = 'completed'`)[0]!.n, 500);
});

Deno.test("settleTasks() gives a task back for a retry, with its error in the history", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await insertTask(db);
  const task = await claimOne(db, consumerId);
  const error = JSON.stringify({ name: "Error", message: "boom", delay: 60 });

  await settle(db, task, { status: "created", returned: null, error, delay: 60, counts: "retry" });

  const { status, retry_attempts, snoozes, errors, not_before } = await recordOf(db, task.id);
  assertEquals({ status, retry_attempts, snoozes }, { status: "created", retry_attempts: 1, snoozes: 0 });
  const [{ at, ...stored }] = errors as [Record<string, unknown>];
  assertEquals(stored, { name: "Error", message: "boom", delay: 60, attempt: 1 });
  assert(!Number.isNaN(Date.parse(at as string)));
  assert(Number(not_before) > Date.now() + 50_000);
  assertEquals(await placesOf(db), { ready: 0, waiting: 1, claimBatches: 0 });
});

Deno.test("settleTasks() gives a task back uncounted and in its old place", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const first = await insertTask(db);
  const second = await insertTask(db);
  const task = await claimOne(db, consumerId);

  await settle(db, task, { status: "created", returned: null, began: null, counts: "snooze" });

  const { retry_attempts, snoozes, started } = await recordOf(db, first);
  assertEquals({ retry_attempts, snoozes, started }, { retry_attempts: 0, snoozes: 1, started: null });
  assertEquals((await claim(db, { consumerId })).tasks.map(({ id }) => id), [first, second]);
});

Deno.test("settleTasks() keeps the latest 100 errors", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const history = Array.from(
    { length: 100 },
    (_, i) => ({ name: "Error", message: `${i}`, attempt: i + 1, at: "2026-01-01T00:00:00Z" }),
  );
  const id = await insertTask(db, { errors: db.sql.json(history), retry_attempts: 100 });
  const task = await claimOne(db, consumerId);

  await settle(db, task, {
    status: "failed",
    returned: null,
    error: JSON.stringify({ name: "Error", message: "last" }),
  });

  const errors = (await recordOf(db, id)).errors as { message: string; attempt: number }[];
  assertEquals(errors.length, 100);
  assertEquals(errors[0]!.message, "1");
  assertEquals(errors.at(-1)!.attempt, 101);
});

Deno.test("settleTasks() notifies for a task with a waiter, and for no other", async () => {
  await using db = await testDatabase();
  const notifications: string[] = [];
  const heard = Promise.withResolvers<void>();
  const { unlisten } = await db.sql.listen("firefly:ended", () => notifications.push("ended"));
  await db.sql.listen("test", () => heard.resolve());
  const consumerId = await startConsumer(db);
  const awaited = await insertTask(db);
  await insertTask(db);
  await registerWaiters(db.store, [awaited]);
  const { tasks } = await claim(db, { consumerId });

  await settle(db, tasks[1]!);
  await settle(db, tasks[0]!);
  await db.sql.notify("test", "");
  await heard.promise;

  assertEquals(notifications, ["ended"]);
  await unlisten();
});

Deno.test("settleTasks() updates records in place (HOT)", async () => {
  await using db = await testDatabase();
  const tasks = await claimMany(db, 500);

  const updates = await updatesOf(db, (store) => settleTasks(store, tasks.map((task) => outcomeOf(task)), []));

  assertEquals(updates, { updated: 500, hot: 500 });
});

Deno.test("deleteBatches() keeps a batch with a current claim", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await insertTask(db);
  const task = await claimOne(db, consumerId);

  await deleteBatches(db.store, [task.batchId]);
  assertEquals((await placesOf(db)).claimBatches, 1);

  await settleTasks(db.store, [outcomeOf(task)], []);
  await deleteBatches(db.store, [task.batchId]);
  assertEquals((await placesOf(db)).claimBatches, 0);
});

Deno.test("readClaims() distinguishes a claim that has ended from one that is held", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await insertTask(db);
  const task = await claimOne(db, consumerId);
  assertEquals((await readClaims(db.store, [task.id])).get(task.id), { id: task.id, claimSeq: 0, status: "created" });

  await settle(db, task);

  assertEquals((await readClaims(db.store, [task.id])).get(task.id), { id: task.id, claimSeq: 1, status: "completed" });
  assertEquals((await readClaims(db.store, [99])).size, 0);
});

Deno.test("storeProgress() is fenced", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await insertTask(db);
  const task = await claimOne(db, consumerId);
  const report = { id: task.id, claimSeq: task.claimSeq, value: 0.5, note: "half" };

  assertEquals(await storeProgress(db.store, report), true);
  assertEquals((await recordOf(db, task.id)).progress, 0.5);
  await settle(db, task);
  assertEquals(await storeProgress(db.store, report), false);
});
