import { assert, assertEquals, assertRejects } from "@std/assert";
import { resolveConnection } from "../../src/database/settings.ts";
import { Database } from "../../src/database/pools.ts";
import type { Tag } from "../../src/database/driver.ts";
import { Settler } from "../../src/settle/settler.ts";
import type { ClaimedTask } from "../../src/store/claimed_task.ts";
import type { Outcome } from "../../src/store/settle.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { claimMany } from "../support/claiming.ts";
import { placesOf, recordOf } from "../support/records.ts";
import { outcomeOf } from "../support/settling.ts";
import { counting } from "../support/statements.ts";
import { until } from "../support/waiting.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";

/** A result by which the statement that stores it is known on the wire. */
const MARKER = btoa('"marker"');

/** A settler that tracks the batch of `tasks`. */
function settlerOf(sql: Tag, tasks: ClaimedTask[]) {
  const settler = new Settler(sql);
  settler.track(tasks[0]!.batchId, tasks.length);
  return {
    settler,
    settle: (task: ClaimedTask, outcome: Partial<Outcome> = {}) => settler.settle(task, outcomeOf(task, outcome)),
  };
}

/** A database whose pool goes through a proxy. */
async function behindProxy(db: TestDatabase) {
  const proxy = await TcpProxy.start(db.url);
  const database = new Database(await resolveConnection(proxy.through(db.url)), "firefly");
  return {
    proxy,
    sql: database.sql,
    async [Symbol.asyncDispose]() {
      await database.end();
      await proxy[Symbol.asyncDispose]();
    },
  };
}

async function completed(db: TestDatabase): Promise<number> {
  const [row] = await db.sql`SELECT count(*)::int AS n FROM firefly.task WHERE status = 'completed'`;
  return row!.n;
}

Deno.test("settle() settles outcomes that come together in few statements, and deletes their batch with the last", async () => {
  await using db = await testDatabase();
  const tasks = await claimMany(db, 1200);
  const sql = counting(db.store);
  const { settler, settle } = settlerOf(sql, tasks);

  const settled = await Promise.all(tasks.map((task) => settle(task)));
  await settler.idle();

  assert(settled.every((each) => each));
  assertEquals(sql.calls, 2, "1,000 and 200 at a time, and the batch with the second");
  assertEquals(await completed(db), 1200);
  assertEquals(await placesOf(db), { ready: 0, waiting: 0, claimBatches: 0 });
  assert(!settler.isTracked(tasks[0]!.batchId));
});

Deno.test("settle() and untrackOne() count the tasks of a batch down", async () => {
  await using db = await testDatabase();
  const tasks = await claimMany(db, 3);
  const { settler, settle } = settlerOf(db.store, tasks);
  const { batchId } = tasks[0]!;

  await settle(tasks[0]!);
  assertEquals([settler.remaining(batchId), settler.unsettled, (await placesOf(db)).claimBatches], [2, 0, 1]);
  await db.sql`UPDATE firefly.task SET claim_seq = 9 WHERE id = ${tasks[1]!.id}`;
  settler.untrackOne(batchId);
  assertEquals([settler.remaining(batchId), settler.isTracked(batchId)], [1, true]);
  await settle(tasks[2]!);
  await settler.idle();

  assertEquals([settler.isTracked(batchId), (await placesOf(db)).claimBatches], [false, 0]);
});

Deno.test("untrackOne() deletes a batch with its last task, and untrack() leaves it to the rescue", async () => {
  await using db = await testDatabase();
  const [task] = await claimMany(db, 1) as [ClaimedTask];
  const [untracked] = await claimMany(db, 1) as [ClaimedTask];
  const { settler } = settlerOf(db.store, [task]);
  settler.track(untracked.batchId, 1);
  await db.sql`UPDATE firefly.task SET claim_seq = 9`;

  settler.untrack(untracked.batchId);
  settler.untrackOne(untracked.batchId);
  settler.untrackOne(task.batchId);
  await settler.idle();

  assertEquals((await db.sql`SELECT id FROM firefly.claim_batch`).map(({ id }) => id), [untracked.batchId]);
});

Deno.test("settle() resolves to false for a claim that another statement ended, and deletes its batch", async () => {
  await using db = await testDatabase();
  const tasks = await claimMany(db, 2);
  const { settler, settle } = settlerOf(db.store, tasks);
  await db.sql`SELECT firefly.cancel(${tasks[0]!.id})`;
  await db.sql`DELETE FROM firefly.task WHERE id = ${tasks[1]!.id}`;

  assertEquals(await Promise.all(tasks.map((task) => settle(task))), [false, false]);
  await settler.idle();

  assertEquals((await recordOf(db, tasks[0]!.id)).status, "cancelled");
  assertEquals((await placesOf(db)).claimBatches, 0);
});

Deno.test("settle() is delayed by a locked row for that row alone", async () => {
  await using db = await testDatabase();
  const tasks = await claimMany(db, 20);
  const { settler, settle } = settlerOf(db.store, tasks);
  const locked = tasks[7]!;
  let waiting: Promise<string | false>;

  await db.sql.begin(async (sql) => {
    await sql`SELECT FROM firefly.task WHERE id = ${locked.id} FOR UPDATE`;
    waiting = settle(locked);
    const others = await Promise.all(tasks.filter((task) => task !== locked).map((task) => settle(task)));
    assert(others.every((each) => each));
    assertEquals([await completed(db), settler.unsettled], [19, 1]);
  });

  assert(await waiting!);
  await settler.idle();
  assertEquals([await completed(db), (await placesOf(db)).claimBatches], [20, 0]);
});

Deno.test("settle() takes one more statement where one of the rows is locked", async () => {
  await using db = await testDatabase();
  const tasks = await claimMany(db, 100);
  const sql = counting(db.store);
  const { settler, settle } = settlerOf(sql, tasks);
  let all: Promise<unknown>[] = [];

  await db.sql.begin(async (tx) => {
    await tx`SELECT FROM firefly.task WHERE id = ${tasks[50]!.id} FOR UPDATE`;
    all = tasks.map((task) => settle(task));
    await Promise.all(all.toSpliced(50, 1));
    // All at once, then those that are not locked, a look at the one that is left over, and perhaps a try more.
    assert(sql.calls <= 5, `${sql.calls} statements`);
  });

  assertEquals(await all[50], "completed");
  await settler.idle();
});

Deno.test("settle() rejects for the one outcome that the database refuses, and not for its neighbors", async () => {
  await using db = await testDatabase();
  const tasks = await claimMany(db, 5);
  await db.sql`ALTER TABLE firefly.task ADD CONSTRAINT refused CHECK (returned <> 'refused')`;
  const { settler, settle } = settlerOf(db.store, tasks);

  const outcomes = tasks.map((task, i) => settle(task, i === 2 ? { returned: "refused" } : {}));
  const results = await Promise.allSettled(outcomes);

  assertEquals(results.map(({ status }) => status), ["fulfilled", "fulfilled", "rejected", "fulfilled", "fulfilled"]);
  await assertRejects(() => outcomes[2]!, Error, "refused");
  assertEquals([await completed(db), settler.unsettled], [4, 0]);
  assert(await settle(tasks[2]!, { status: "failed", returned: null }), "another outcome ends it");
  await settler.idle();
  assertEquals((await placesOf(db)).claimBatches, 0);
});

Deno.test("settle() retries while the server has no room, and settles nothing twice", async () => {
  await using db = await testDatabase();
  const tasks = await claimMany(db, 3);
  await db.sql.unsafe(`
    CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
    CREATE TRIGGER no_room BEFORE UPDATE ON firefly.task FOR EACH ROW EXECUTE FUNCTION no_room()`);
  const sql = counting(db.store);
  const { settler, settle } = settlerOf(sql, tasks);
  const reported: string[] = [];
  settler.outage = {
    onError: (error) => reported.push((error as Error).message),
    onSuccess: () => reported.push("room"),
  };
  const settled = Promise.all(tasks.map((task) => settle(task)));
  await until(() => sql.calls >= 3);
  assertEquals(await completed(db), 0);

  await db.sql`DROP TRIGGER no_room ON firefly.task`;
  assertEquals(await settled, ["completed", "completed", "completed"]);
  await settler.idle();
  assertEquals([reported[0], reported.at(-1)], ["could not extend file", "room"]);
  assertEquals(await placesOf(db), { ready: 0, waiting: 0, claimBatches: 0 });
  assertEquals((await recordOf(db, tasks[0]!.id)).claim_seq, 1);
});

Deno.test("settle() resolves to the status when it took effect and its reply was lost", async () => {
  await using db = await testDatabase();
  await using network = await behindProxy(db);
  const { proxy } = network;
  const tasks = await claimMany(db, 3);
  const { settler, settle } = settlerOf(network.sql, tasks);
  proxy.onRequest = (text) => {
    if (text.includes(MARKER)) proxy.mode = "mute";
  };

  const settled = Promise.all(tasks.map((task) => settle(task, { returned: MARKER })));
  await until(async () => await completed(db) === 3);
  proxy.onRequest = () => {};
  proxy.mode = "pass";
  proxy.cut({ reset: true });

  assertEquals(await settled, ["completed", "completed", "completed"]);
  await settler.idle();
  assertEquals((await recordOf(db, tasks[0]!.id)).claim_seq, 1);
  assertEquals((await placesOf(db)).claimBatches, 0);
});

Deno.test("settle() retries when it never reached the database, and while there is none", async () => {
  await using db = await testDatabase();
  await using network = await behindProxy(db);
  const { proxy } = network;
  const tasks = await claimMany(db, 3);
  const { settler, settle } = settlerOf(network.sql, tasks);
  const refused = Promise.withResolvers<void>();
  let sent = false;
  proxy.onRequest = (text) => {
    if (!text.includes(MARKER) || sent) return;
    sent = true;
    proxy.mode = "reject";
    const accepted = proxy.accepted;
    proxy.cut({ reset: true });
    until(() => proxy.accepted > accepted).then(refused.resolve);
  };

  const settled = Promise.all(tasks.map((task) => settle(task, { returned: MARKER })));
  await refused.promise;
  assertEquals(settler.unsettled, 3);
  proxy.mode = "pass";

  assertEquals(await settled, ["completed", "completed", "completed"]);
  await settler.idle();
  assertEquals([await completed(db), (await placesOf(db)).claimBatches], [3, 0]);
});

Deno.test("settle() counts each task of a batch once when the connection is lost halfway", async () => {
  await using db = await testDatabase();
  await using network = await behindProxy(db);
  const { proxy } = network;
  const tasks = await claimMany(db, 3);
  const sql = counting(network.sql);
  const { settler, settle } = settlerOf(sql, tasks);
  let cut = false;
  let settled: Promise<(string | false)[]>;

  await db.sql.begin(async (transaction) => {
    await transaction`SELECT FROM firefly.task WHERE id = ${tasks[2]!.id} FOR UPDATE`;
    proxy.onRequest = (text) => {
      // It reads the state of the locked one.
      if (cut || !/SELECT id, claim_seq, status\s+FROM/.test(text)) return;
      cut = true;
      proxy.cut({ reset: true });
    };
    settled = Promise.all(tasks.map((task) => settle(task)));
    await until(() => cut && sql.calls >= 6);
  });

  assertEquals(await settled!, ["completed", "completed", "completed"]);
  await settler.idle();
  assertEquals([await completed(db), (await placesOf(db)).claimBatches], [3, 0]);
});

Deno.test("abandon() leaves claims that cannot be settled to the rescue", async () => {
  await using db = await testDatabase();
  await using network = await behindProxy(db);
  await network.proxy[Symbol.asyncDispose](); // nothing answers
  const tasks = await claimMany(db, 2);
  const { settler, settle } = settlerOf(network.sql, tasks);

  const settled = Promise.all(tasks.map((task) => settle(task)));
  settler.abandon();

  assertEquals(await settled, [false, false]);
  await settler.idle();
  assertEquals([await completed(db), (await placesOf(db)).claimBatches], [0, 1]);
});
