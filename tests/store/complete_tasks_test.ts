import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import type { ClaimedTask } from "../../src/store/claimed_task.ts";
import { registerWaiters } from "../../src/store/records.ts";
import { completeTasks, type Completion } from "../../src/store/complete.ts";
import { testDatabase } from "../support/database.ts";
import { claimMany } from "../support/claiming.ts";
import { notificationsOf } from "../support/notifications.ts";
import { insertTask, placesOf, recordOf } from "../support/records.ts";
import { updatesOf } from "../support/statements.ts";

function completionOf({ id, claimSeq }: ClaimedTask): Completion {
  return { id, claimSeq, began: performance.now() - 250, returned: "WzFd" };
}

Deno.test("completeTasks() completes all of a batch, and deletes the claim batch with them", async () => {
  await using db = await testDatabase();
  const tasks = await claimMany(db, 3);
  await db.sql`UPDATE firefly.task SET crash_count = 2`;

  assertEquals(await completeTasks(db.store, tasks.map(completionOf), [tasks[0]!.batchId]), undefined);

  assertEquals(await placesOf(db), { ready: 0, waiting: 0, claimBatches: 0 });
  for (const { id, claimSeq } of tasks) {
    const { status, returned, claim_seq, started, completed, crash_count } = await recordOf(db, id);
    assertEquals([status, returned, Number(claim_seq), crash_count], ["completed", "WzFd", claimSeq + 1, 0]);
    const took = Number(completed) - Number(started);
    assert(took >= 249 && took < 5000, `it took ${took} ms`);
  }
});

Deno.test("completeTasks() refuses a task that was lost, returns the ids of the others, and leaves the batch", async () => {
  await using db = await testDatabase();
  const tasks = await claimMany(db, 3);
  await db.sql`UPDATE firefly.task SET claim_seq = claim_seq + 1 WHERE id = ${tasks[1]!.id}`;

  const ended = await completeTasks(db.store, tasks.map(completionOf), [tasks[0]!.batchId]);

  assertEquals(ended, new Set([tasks[0]!.id, tasks[2]!.id]));
  assertEquals((await recordOf(db, tasks[1]!.id)).status, "created");
  assertEquals((await placesOf(db)).claimBatches, 1);
  assertEquals(await completeTasks(db.store, [completionOf(tasks[1]!)], []), new Set());
});

Deno.test("completeTasks() gives up soon where an open transaction has locked a record, and has done nothing then", async () => {
  await using db = await testDatabase();
  const tasks = await claimMany(db, 3);

  await db.sql.begin(async (sql) => {
    await sql`SELECT FROM firefly.task WHERE id = ${tasks[1]!.id} FOR UPDATE`;
    const began = performance.now();
    const error = await assertRejects(
      () => completeTasks(db.store, tasks.map(completionOf), [tasks[0]!.batchId]),
      Error,
    );
    assertEquals((error as { code?: string }).code, "55P03");
    assertLess(performance.now() - began, 900, "less than it takes the server to look for a deadlock");
  });

  for (const { id } of tasks) assertEquals((await recordOf(db, id)).status, "created");
  const [row] = await db.store`SELECT current_setting('lock_timeout') AS timeout`;
  assertEquals(row!.timeout, "0", "the connection is as patient as before");
});

Deno.test("completeTasks() notifies for a task with a waiter, and for no other", async () => {
  await using db = await testDatabase();
  const [first, second] = await claimMany(db, 2);
  const other = await insertTask(db);
  await registerWaiters(db.store, [second!.id, other]);

  const notifications = await notificationsOf(db, ["firefly:ended"], async () => {
    await completeTasks(db.store, [completionOf(first!)], []);
    await completeTasks(db.store, [completionOf(second!)], []);
  });

  assertEquals(notifications, ["firefly:ended"]);
});

Deno.test("completeTasks() updates records in place (HOT)", async () => {
  await using db = await testDatabase();
  const tasks = await claimMany(db, 500);

  const updates = await updatesOf(db, (store) => completeTasks(store, tasks.map(completionOf), []));

  assertEquals(updates, { updated: 500, hot: 500 });
});
