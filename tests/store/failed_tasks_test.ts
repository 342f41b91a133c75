import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { deleteTasks, retryTasks } from "../../src/store/bulk.ts";
import { removeExpiredConsumers } from "../../src/store/consumers.ts";
import { rescueTasks } from "../../src/store/rescue.ts";
import { requeueUnplaced } from "../../src/store/unplaced.ts";
import { repairFailedTasks } from "../../src/store/failed_tasks.ts";
import { requeueForLimits } from "../../src/store/limits.ts";
import { pruneEach, pruneTasks } from "../../src/store/prune.ts";
import { scheduleUnique } from "../../src/store/schedule.ts";
import { claim, claimOne, expireConsumer, startConsumer } from "../support/claiming.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { insertTask, withoutTriggers } from "../support/records.ts";
import { settle } from "../support/settling.ts";
import { uniqueTask } from "../support/unique.ts";

const errorOf = (message: string, name = "Error") => JSON.stringify({ name, message });

/** Inserts and claims a task, and ends it as failed; resolves to its id. */
async function fail(db: TestDatabase, message = "no", columns = {}): Promise<number> {
  const consumerId = await startConsumer(db, { queues: ["default", "mail"] });
  await insertTask(db, columns);
  const { tasks: [task] } = await claim(db, { consumerId, queues: ["default", "mail"], limit: 1 });
  assert(await settle(db, task!, { status: "failed", returned: null, error: errorOf(message) }));
  return task!.id;
}

/** The ids in `failed_task`. */
async function listed(db: TestDatabase): Promise<number[]> {
  return (await db.sql`SELECT task_id FROM firefly.failed_task ORDER BY task_id`).map(({ task_id }) => Number(task_id));
}

async function fingerprint(db: TestDatabase, message: string, name = "Error", funcName = "f"): Promise<string> {
  const [row] = await db.sql`SELECT firefly._fingerprint(${funcName}, ${name}, ${message}) AS fingerprint`;
  return String(row!.fingerprint);
}

Deno.test("_fingerprint() is the same for errors that differ in numbers, quoted words, UUIDs and hashes", async () => {
  await using db = await testDatabase();
  const alike = [
    ["user 4711 is gone", "user 12 is gone"],
    ["took 3 ms", "took 3.5 ms"],
    ["connect ECONNREFUSED 10.0.0.1:5432", "connect ECONNREFUSED 10.0.12.1:80"],
    [`no column "a"`, `no column "b c"`],
    ["no column 'a'", "no column 'b c'"],
    ["no column `a`", "no column `b c`"],
    ["commit deadbeefcafe failed", "commit 00c0ffee11 failed"],
    ["no 550e8400-e29b-41d4-a716-446655440000", "no aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"],
    ["at 2026-11-29T14:31:59Z", "at 2025-01-02T00:00:00Z"],
    ["x".repeat(300) + "a", "x".repeat(300) + "b"],
  ] as const;
  for (const [one, other] of alike) assertEquals(await fingerprint(db, one), await fingerprint(db, other), one);

  const different = ["user is gone", "user was gone", "can't read", "can't write", "added", "defaced"];
  const found = new Set(await Promise.all(different.map((message) => fingerprint(db, message))));
  assertEquals(found.size, different.length);
  assertNotEquals(await fingerprint(db, "a", "TypeError"), await fingerprint(db, "a", "RangeError"));
  assertNotEquals(await fingerprint(db, "a", "Error", "f"), await fingerprint(db, "a", "Error", "g"));
});

Deno.test("settleTasks() lists a task that failed, and none that is retried or completed", async () => {
  await using db = await testDatabase();
  const failed = await fail(db, "user 4711 is gone", { queue: "mail" });
  const consumerId = await startConsumer(db);
  await insertTask(db);
  await settle(db, await claimOne(db, consumerId), {
    status: "created",
    returned: null,
    error: errorOf("no"),
    delay: 60,
    counts: "retry",
  });
  await insertTask(db);
  await settle(db, await claimOne(db, consumerId));

  const rows = await db.sql`
    SELECT failed_task.task_id::int, failed_task.queue, failed_task.func_name, fingerprint,
      failed_task.failed = task.failed AS same
    FROM firefly.failed_task JOIN firefly.task ON task.id = task_id
  `;
  assertEquals(rows.map((row) => ({ ...row })), [{
    task_id: failed,
    queue: "mail",
    func_name: "test.task",
    fingerprint: await fingerprint(db, "user 12 is gone", "Error", "test.task"),
    same: true,
  }]);
});

Deno.test("a task that fails again after a retry is listed once, by its last error", async () => {
  await using db = await testDatabase();
  const id = await fail(db, "first");
  assertEquals((await retryTasks(db.store, [{ id, claimSeq: null }])).done, 1);
  assertEquals(await listed(db), []);

  await settle(db, await claimOne(db, await startConsumer(db)), {
    status: "failed",
    returned: null,
    error: errorOf("second"),
  });

  const [row] = await db.sql`SELECT fingerprint FROM firefly.failed_task`;
  assertEquals([await listed(db), String(row!.fingerprint)], [
    [id],
    await fingerprint(db, "second", "Error", "test.task"),
  ]);
});

Deno.test("retry(), deleteTasks(), pruneTasks(), pruneEach() and TRUNCATE take tasks off the list of failed ones", async () => {
  await using db = await testDatabase();
  const [retried, deleted, pruned, each, left] = [
    await fail(db),
    await fail(db),
    await fail(db),
    await fail(db),
    await fail(db),
  ];
  assertEquals(await listed(db), [retried, deleted, pruned, each, left]);

  await db.sql`SELECT firefly.retry(${retried})`;
  await deleteTasks(db.store, [{ id: deleted, claimSeq: null }]);
  const age = (id: number) =>
    withoutTriggers(db, (sql) => sql`UPDATE firefly.task SET failed = now() - interval '31 days' WHERE id = ${id}`);
  await age(pruned);
  assertEquals((await pruneTasks(db.store, { after: 0 })).pruned, 1);
  await age(each);
  assertEquals((await pruneEach(db.store, { after: 0 })).pruned, 1);
  assertEquals(await listed(db), [left]);

  await db.sql`TRUNCATE firefly.task`;
  assertEquals(await listed(db), []);
});

Deno.test("an INSERT and an UPDATE by hand list a failed task, and take it off the list", async () => {
  await using db = await testDatabase();
  const [inserted, created] = [await insertTask(db, { status: "failed" }), await insertTask(db)];
  assertEquals(await listed(db), [inserted]);
  await db.sql`UPDATE firefly.task SET status = 'failed' WHERE id = ${created}`;
  assertEquals(await listed(db), [inserted, created]);
  await db.sql`UPDATE firefly.task SET status = 'cancelled' WHERE id = ${inserted}`;
  assertEquals(await listed(db), [created]);
  await db.sql`UPDATE firefly.task SET status = 'failed' WHERE id = ${inserted}`;
  assertEquals(await listed(db), [inserted, created]);
  await db.sql`UPDATE firefly.task SET status = 'created'`;
  assertEquals(await listed(db), []);
});

Deno.test("rescueTasks() lists a task that ended as failed, and returns its error", async () => {
  await using db = await testDatabase();
  const id = await insertTask(db);
  let rescued: Awaited<ReturnType<typeof rescueTasks>> = [];
  for (let death = 0; death < 5; death++) {
    assertEquals(await listed(db), []);
    const consumerId = await startConsumer(db);
    await claimOne(db, consumerId);
    await expireConsumer(db, consumerId);
    await removeExpiredConsumers(db.store);
    rescued = await rescueTasks(db.store);
  }
  assertEquals([rescued[0]!.status, rescued[0]!.error!.name, await listed(db)], ["failed", "ConsumerCrashed", [id]]);
});

Deno.test("requeueForLimits() and requeueUnplaced() list tasks that a duplicate keeps from running again", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const among = { unique_among: ["created" as const] };
  await scheduleUnique(db.store, [uniqueTask("a", among), uniqueTask("b", among)]);
  const { tasks } = await claim(db, { consumerId });
  await scheduleUnique(db.store, [uniqueTask("a", among), uniqueTask("b", among)]);
  const [first, second] = tasks;

  await requeueForLimits(db.store, [{
    ...first!,
    id: first!.id,
    claimSeq: first!.claimSeq,
    quarantined: false,
    concurrencyKey: "k",
    rateKey: null,
  }]);
  assertEquals(await listed(db), [first!.id]);

  await db.sql`DELETE FROM firefly.claim_batch`;
  await requeueUnplaced(db.store, 0);
  assertEquals(await listed(db), [first!.id, second!.id]);
});

Deno.test("repairFailedTasks() adds what is missing and outdated, and deletes what is stale", async () => {
  await using db = await testDatabase();
  const [missing, moved, gone, created, kept] = [
    await fail(db),
    await fail(db),
    await fail(db),
    await fail(db),
    await fail(db),
  ];
  await db.sql`DELETE FROM firefly.failed_task WHERE task_id = ${missing}`;
  await withoutTriggers(db, async (sql) => {
    await sql`UPDATE firefly.task SET queue = 'other' WHERE id = ${moved}`;
    await sql`UPDATE firefly.task SET status = 'created' WHERE id = ${created}`;
  });
  await db.sql`DELETE FROM firefly.task WHERE id = ${gone}`;
  await db.sql`INSERT INTO firefly.failed_task VALUES (${kept + 1000}, now(), 'default', 'test.task', 1)`;

  assertEquals(await repairFailedTasks(db.store, 0), { last: 0, repaired: 5 });

  assertEquals(await listed(db), [missing, moved, kept]);
  const [row] = await db.sql`SELECT queue FROM firefly.failed_task WHERE task_id = ${moved}`;
  assertEquals(row!.queue, "other");
  assertEquals(await repairFailedTasks(db.store, 0), { last: 0, repaired: 0 });
});

Deno.test("repairFailedTasks() examines 5,000 records a call, and waits for no lock", async () => {
  await using db = await testDatabase();
  await withoutTriggers(db, async (sql) => {
    await sql`
      INSERT INTO firefly.task (func_name, status, failed)
      SELECT 'test.task', 'failed', now() FROM generate_series(1, 5001)
    `;
  });
  const [row] = await db.sql`SELECT min(id)::int AS first FROM firefly.task`;
  const { first } = row!;
  await db.sql.begin(async (sql) => {
    await sql`SELECT FROM firefly.task WHERE id = ${first} FOR UPDATE`;
    assertEquals(await repairFailedTasks(db.store, 0), { last: first + 4999, repaired: 4999 });
  });
  assertEquals(await repairFailedTasks(db.store, first + 4999), { last: 0, repaired: 1 });
  assertEquals(await repairFailedTasks(db.store, 0), { last: first + 4999, repaired: 1 });
});
