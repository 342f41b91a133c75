import { assert, assertEquals } from "@std/assert";
import { cancelTasks, type Chosen, deleteTasks, retryTasks } from "../../src/store/bulk.ts";
import { registerWaiters } from "../../src/store/records.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { claim, claimOne, startConsumer } from "../support/claiming.ts";
import { notificationsOf } from "../support/notifications.ts";
import { insertTask, placesOf, recordOf } from "../support/records.ts";
import { settle } from "../support/settling.ts";
import { backends } from "../support/statements.ts";
import { until } from "../support/waiting.ts";

/** These tasks, however they have changed. */
function chosen(ids: number[]): Chosen[] {
  return ids.map((id) => ({ id, claimSeq: null }));
}

/** These tasks, as a list shows them now. */
async function listed(db: TestDatabase, ids: number[]): Promise<Chosen[]> {
  const rows = await db.sql`SELECT id, claim_seq FROM firefly.task WHERE id = ANY (${ids}) ORDER BY id DESC`;
  return rows.map(({ id, claim_seq }) => ({ id: Number(id), claimSeq: Number(claim_seq) }));
}

/** Calls `act` while `change` is open, which commits once `act` waits for it. */
async function against<T>(
  db: TestDatabase,
  change: (sql: TestDatabase["sql"]) => Promise<unknown>,
  act: () => Promise<T>,
): Promise<T> {
  let acting: Promise<T>;
  await db.sql.begin(async (sql) => {
    await change(sql as unknown as TestDatabase["sql"]);
    acting = act();
    await until(async () => await backends(db, "active", "Lock") > 0);
  });
  return await acting!;
}

Deno.test("cancelTasks() cancels tasks that have not ended, wherever they stand", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await insertTask(db);
  const done = await claimOne(db, consumerId);
  await settle(db, done);
  await insertTask(db);
  const running = await claimOne(db, consumerId);
  const ready = await insertTask(db);
  const waiting = await insertTask(db, { not_before: new Date(Date.now() + 3_600_000) });
  const ids = [waiting, ready, running.id, done.id, 404];

  const notifications = await notificationsOf(db, ["firefly:control"], async () => {
    assertEquals((await cancelTasks(db.records, chosen(ids))).done, 3);
    assertEquals((await cancelTasks(db.records, chosen(ids))).done, 0);
  });

  for (const id of [waiting, ready, running.id]) {
    const { status, cancelled, claim_seq } = await recordOf(db, id);
    assertEquals([status, claim_seq, cancelled instanceof Date], ["cancelled", 1, true]);
  }
  assertEquals((await recordOf(db, done.id)).status, "completed");
  assertEquals(await placesOf(db), { ready: 0, waiting: 0, claimBatches: 1 });
  assertEquals(await settle(db, running), false, "fenced off");
  assertEquals(notifications, ["firefly:control"], "its consumer is told to look, for the running one alone");
});

Deno.test("cancelTasks() of a task that is claimed at the same time leaves no place behind", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);

  for (let round = 0; round < 15; round++) {
    const id = await insertTask(db);
    const [cancelled, { tasks }] = await Promise.all([
      cancelTasks(db.records, chosen([id])),
      claim(db, { consumerId }),
    ]);
    assertEquals(cancelled.done, 1);
    for (const task of tasks) assertEquals(await settle(db, task), false);
  }

  assertEquals((await placesOf(db)).ready, 0);
});

Deno.test("retryTasks() schedules failed and cancelled tasks again, with fresh retries, and keeps history and fence", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const error = JSON.stringify({ name: "Error", message: "no" });
  await insertTask(db, { max_retries: 1, retry_attempts: 1, rescues: 2, not_before: new Date(Date.now() - 60_000) });
  const failed = await claimOne(db, consumerId);
  await settle(db, failed, { status: "failed", returned: null, error });
  const cancelled = await insertTask(db, { not_before: new Date(Date.now() + 3_600_000) });
  await cancelTasks(db.records, chosen([cancelled]));
  await insertTask(db);
  const done = await claimOne(db, consumerId);
  await settle(db, done);
  const created = await insertTask(db, { priority: -1 });
  const before = await recordOf(db, failed.id);

  const retried = await retryTasks(db.records, chosen([failed.id, cancelled, done.id, created, 404]));

  const left = [{ id: done.id, reason: "completed" as const }, { id: created, reason: "waiting" as const }];
  assertEquals(retried, { done: 2, changed: [], left });

  const after = await recordOf(db, failed.id);
  const { status, retry_attempts, rescues, crash_count, started, errors } = after;
  assertEquals(
    { status, retry_attempts, rescues, crash_count, started, failed: after.failed },
    { status: "created", retry_attempts: 0, rescues: 0, crash_count: 0, started: null, failed: null },
  );
  assertEquals((errors as unknown[]).length, 1);
  assert(Number(after.claim_seq) >= Number(before.claim_seq), "the fence never goes back");
  assert(after.not_before as Date > (before.not_before as Date), "behind what waits already");
  const { tasks } = await claim(db, { consumerId });
  assertEquals(tasks.map(({ id, attempt }) => [id, attempt]), [[failed.id, 1], [cancelled, 1], [created, 1]]);
  assertEquals(await settle(db, failed), false);
});

Deno.test("retryTasks() of a task whose attempt still runs fences the attempt", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const id = await insertTask(db);
  const stale = await claimOne(db, consumerId);
  // As an operator may do it by hand, who does not know of the fence.
  await db.sql`UPDATE firefly.task SET status = 'failed' WHERE id = ${id}`;

  await retryTasks(db.records, chosen([id]));
  const fresh = await claimOne(db, consumerId);

  assertEquals(await settle(db, stale, { returned: "InN0YWxlIg==" }), false);
  assertEquals(await settle(db, fresh), true);
});

Deno.test("deleteTasks() deletes tasks of every status, and leaves no place behind", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  for (let i = 0; i < 2; i++) await insertTask(db);
  const { tasks: [done, running] } = await claim(db, { consumerId });
  await settle(db, done!);
  const ready = await insertTask(db);
  const waiting = await insertTask(db, { not_before: new Date(Date.now() + 3_600_000) });

  const result = await deleteTasks(db.records, chosen([done!.id, running!.id, ready, waiting, 404]));

  assertEquals(result, { done: 4, changed: [], left: [] });
  assertEquals(await settle(db, running!), false, "fenced off");
  assertEquals((await db.sql`SELECT FROM firefly.task`).length, 0);
  assertEquals([(await placesOf(db)).ready, (await placesOf(db)).waiting], [0, 0]);
});

Deno.test("deleteTasks() notifies for running tasks, limited tasks and tasks with a waiter", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const channels = ["firefly:control", "firefly:ended"];
  const done = await insertTask(db);
  await settle(db, await claimOne(db, consumerId));
  const running = await insertTask(db);
  await claimOne(db, consumerId);
  const [ready, awaited] = [await insertTask(db), await insertTask(db)];
  const limited = await insertTask(db, { concurrency_key: "k" });
  await registerWaiters(db.records, [awaited]);
  const ringsFor = (id: number) => notificationsOf(db, channels, () => deleteTasks(db.records, chosen([id])));

  assertEquals(await ringsFor(done), []);
  assertEquals(await ringsFor(ready), []);
  assertEquals(await ringsFor(running), ["firefly:control"]);
  assertEquals(await ringsFor(limited), ["firefly:control"]);
  assertEquals(await ringsFor(awaited), ["firefly:ended"]);
  assertEquals((await db.sql`SELECT FROM firefly.result_waiter`).length, 0);
});

Deno.test("deleteTasks() frees the slot of a running task", async () => {
  await using db = await testDatabase();
  const id = await insertTask(db, { concurrency_key: "k" });
  await db.sql`INSERT INTO firefly.slot (kind, key, task_id) VALUES ('concurrency', 'k', ${id})`;

  await deleteTasks(db.records, chosen([id]));

  assertEquals((await db.sql`SELECT FROM firefly.slot`).length, 0);
});

Deno.test("deleteTasks() leaves a task that is retried at the same time", async () => {
  await using db = await testDatabase();
  const id = await insertTask(db);
  await cancelTasks(db.records, chosen([id]));
  const before = await listed(db, [id]);

  const result = await against(db, (sql) => sql`SELECT firefly.retry(${id})`, () => deleteTasks(db.records, before));

  assertEquals(result, { done: 0, changed: [id], left: [] });
  assertEquals((await recordOf(db, id)).status, "created");
});

Deno.test("retryTasks() leaves a failed task that was cancelled meanwhile", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const id = await insertTask(db);
  await settle(db, await claimOne(db, consumerId), { status: "failed", returned: null });
  const before = await listed(db, [id]);

  const result = await against(
    db,
    async (sql) => {
      await sql`SELECT firefly.retry(${id})`;
      await sql`SELECT firefly.cancel(${id})`;
    },
    () => retryTasks(db.records, before),
  );

  assertEquals(result, { done: 0, changed: [id], left: [] });
  assertEquals((await recordOf(db, id)).status, "cancelled");
});

Deno.test("cancelTasks() of idle tasks leaves one that a consumer is claiming", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const id = await insertTask(db);
  const before = await listed(db, [id]);

  // What a claim does: it takes the place, and has no need of the record's lock.
  const result = await against(
    db,
    async (sql) => {
      const [row] = await sql`DELETE FROM firefly.ready WHERE id = ${id} RETURNING claim_seq`;
      await sql`
        INSERT INTO firefly.claim_batch (id, consumer_id, ids, lengths, claim_seqs)
        VALUES (gen_random_uuid(), ${consumerId}, ARRAY[${id}::bigint], '{1}', ARRAY[${row!.claim_seq}::integer])
      `;
    },
    () => cancelTasks(db.records, before, { idle: true }),
  );

  assertEquals(result, { done: 0, changed: [id], left: [] });
  assertEquals((await recordOf(db, id)).status, "created");
  assertEquals((await cancelTasks(db.records, before)).done, 1, "it is cancelled where running ones are meant, too");
});

Deno.test("deleteTasks() of idle tasks leaves one that is claimed at the same time", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);

  for (let round = 0; round < 15; round++) {
    const id = await insertTask(db);
    const before = await listed(db, [id]);
    const [deleted, { tasks }] = await Promise.all([
      deleteTasks(db.records, before, { idle: true }),
      claim(db, { consumerId }),
    ]);
    assertEquals(deleted.done + tasks.length, 1, "either is done, and never both");
    for (const task of tasks) assertEquals(await settle(db, task), true);
  }
});
