import { assert, assertEquals, assertRejects } from "@std/assert";
import type { ClaimedTask } from "../../src/store/claimed_task.ts";
import { completeTask, isNotHeld, readFreeClaim } from "../../src/store/complete.ts";
import { removeExpiredConsumers } from "../../src/store/consumers.ts";
import { rescueTasks } from "../../src/store/rescue.ts";
import { registerWaiters } from "../../src/store/records.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { claim, claimMany, claimOne, expireConsumer, startConsumer } from "../support/claiming.ts";
import { notificationsOf } from "../support/notifications.ts";
import { insertTask, placesOf, recordOf } from "../support/records.ts";
import { outcomeOf, settle } from "../support/settling.ts";
import { backends, updatesOf } from "../support/statements.ts";
import { until } from "../support/waiting.ts";

async function complete(db: TestDatabase, task: ClaimedTask): Promise<void> {
  await completeTask(db.store, outcomeOf(task), task.batchId);
}

/** Asserts that the attempt does not hold its task any more. */
async function assertNotHeld(db: TestDatabase, task: ClaimedTask): Promise<void> {
  const error = await assertRejects(() => complete(db, task));
  assert(isNotHeld(error), `${error}`);
}

Deno.test("completeTask() leaves the record as settleTasks() would, and deletes the claim batch", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const records = [];
  for (const end of [complete, settle]) {
    await insertTask(db, { crash_count: 2 });
    const task = await claimOne(db, consumerId);
    await end(db, task);
    const { id: _, created: __, not_before: ___, started, completed, ...record } = await recordOf(db, task.id);
    assert(started instanceof Date && completed instanceof Date);
    records.push(record);
  }

  assertEquals(records[0], records[1]);
  assertEquals([records[0]!.status, records[0]!.claim_seq, records[0]!.crash_count], ["completed", 1, 0]);
  assertEquals(await placesOf(db), { ready: 0, waiting: 0, claimBatches: 0 });
});

Deno.test("completeTask() stores when the attempt started", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await insertTask(db);
  const task = await claimOne(db, consumerId);

  await completeTask(db.store, outcomeOf(task, { began: performance.now() - 2000 }), null);

  const { started, completed } = await recordOf(db, task.id);
  const seconds = (Number(completed) - Number(started)) / 1000;
  assert(seconds >= 2 && seconds < 3, `${seconds} s`);
  assertEquals((await placesOf(db)).claimBatches, 1); // it was not said to be the last of it
});

Deno.test("completeTask() fails for an attempt whose task was claimed again", async () => {
  await using db = await testDatabase();
  const dead = await startConsumer(db);
  await insertTask(db);
  const stale = await claimOne(db, dead);
  await expireConsumer(db, dead);
  await removeExpiredConsumers(db.store);
  await rescueTasks(db.store);
  const fresh = await claimOne(db, await startConsumer(db));

  await assertNotHeld(db, stale);
  await complete(db, fresh);
  await assertNotHeld(db, fresh);

  assertEquals((await recordOf(db, fresh.id)).claim_seq, 2);
});

Deno.test("completeTask() fails for an attempt whose task was cancelled, retried since, or deleted", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const id = await insertTask(db);
  const stale = await claimOne(db, consumerId);
  for (
    const change of ["SELECT firefly.cancel($1)", "SELECT firefly.retry($1)", "DELETE FROM firefly.task WHERE id = $1"]
  ) {
    await db.sql.unsafe(change, [id]);

    await assertNotHeld(db, stale);
  }
});

Deno.test("completeTask() leaves the waiter and the batch alone if it fails", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const id = await insertTask(db);
  const task = await claimOne(db, consumerId);
  await registerWaiters(db.store, [id]);
  await db.sql`UPDATE firefly.task SET claim_seq = claim_seq + 1 WHERE id = ${id}`;

  const notifications = await notificationsOf(db, ["firefly:ended"], () => assertNotHeld(db, task));

  assertEquals([
    notifications,
    (await db.sql`SELECT FROM firefly.result_waiter`).count,
    (await placesOf(db)).claimBatches,
  ], [
    [],
    1,
    1,
  ]);
});

Deno.test("completeTask() notifies for a task with a waiter, and for no other", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const awaited = await insertTask(db);
  await insertTask(db);
  await registerWaiters(db.store, [awaited]);
  const { tasks } = await claim(db, { consumerId });

  const notifications = await notificationsOf(db, ["firefly:ended"], async () => {
    for (const task of tasks) await complete(db, task);
  });

  assertEquals([notifications, (await db.sql`SELECT FROM firefly.result_waiter`).count], [["firefly:ended"], 0]);
});

Deno.test("completeTask() updates records in place (HOT)", async () => {
  await using db = await testDatabase();
  const tasks = await claimMany(db, 50);

  const updates = await updatesOf(db, async (store) => {
    for (const task of tasks) await completeTask(store, outcomeOf(task), null);
  });

  assertEquals(updates, { updated: 50, hot: 50 });
});

Deno.test("completeTask() waits for a transaction that has locked the record, and then checks again whether it holds the task", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  for (const change of ["SELECT", "SELECT firefly.cancel($1)"]) {
    const id = await insertTask(db);
    const task = await claimOne(db, consumerId);
    let outcome: Promise<unknown> | undefined;
    await db.sql.begin(async (sql) => {
      await sql`SELECT FROM firefly.task WHERE id = ${id} FOR UPDATE`;
      if (change !== "SELECT") await sql.unsafe(change, [id]);
      outcome = complete(db, task).catch((error) => error);
      await until(async () => await backends(db, "active", "Lock") > 0);
    });

    assertEquals(isNotHeld(await outcome), change !== "SELECT");
    assertEquals((await recordOf(db, id)).status, change === "SELECT" ? "completed" : "cancelled");
  }
});

Deno.test("readFreeClaim() reads the state of a claim, that it is locked, or that there is none", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const id = await insertTask(db);
  const task = await claimOne(db, consumerId);
  assertEquals(await readFreeClaim(db.store, id), { id, claimSeq: 0, status: "created" });

  await db.sql.begin(async (sql) => {
    await sql`UPDATE firefly.task SET progress = 0.5 WHERE id = ${id}`;
    assertEquals(await readFreeClaim(db.store, id), "locked");
  });
  await complete(db, task);
  assertEquals(await readFreeClaim(db.store, id), { id, claimSeq: 1, status: "completed" });

  await db.sql`DELETE FROM firefly.task WHERE id = ${id}`;
  assertEquals(await readFreeClaim(db.store, id), undefined);
});
