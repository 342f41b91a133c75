import { assert, assertEquals, assertRejects } from "@std/assert";
import postgres from "postgres";
import { rescueTasks } from "../../src/store/consumers.ts";
import { retryTasks } from "../../src/store/bulk.ts";
import { type NewTask, scheduleUnique } from "../../src/store/schedule.ts";
import { settleTasks } from "../../src/store/settle.ts";
import { deleteExpiredKeys, findDuplicate } from "../../src/store/unique.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { claim, claimOne, startConsumer } from "../support/claiming.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { outcomeOf, settle } from "../support/settling.ts";
import { backends } from "../support/statements.ts";
import { until } from "../support/waiting.ts";

/** A task with a unique key, as `schedule()` hands it to the store. */
function uniqueTask(key: string, columns: Partial<NewTask> = {}): NewTask {
  return {
    func_name: "test.task",
    queue: "default",
    params: "W10=",
    priority: 0,
    not_before: null,
    delay: null,
    max_retries: null,
    retry_delay: null,
    backoff: null,
    timeout: null,
    tags: [],
    unique_key: key,
    unique_among: null,
    unique_for: null,
    on_conflict: "keep",
    ...columns,
  };
}

/** The ids of those who hold keys, by key. */
async function holders(db: TestDatabase): Promise<Record<string, number>> {
  const rows = await db.sql`SELECT key, task_id::int FROM firefly.unique_key ORDER BY key`;
  return Object.fromEntries(rows.map(({ key, task_id }) => [key, task_id]));
}

async function count(db: TestDatabase): Promise<number> {
  return (await db.sql`SELECT count(*)::int AS n FROM firefly.task`)[0]!.n;
}

async function deadlocks(db: TestDatabase): Promise<number> {
  await db.sql`SELECT pg_stat_clear_snapshot()`;
  return Number(
    (await db.sql`SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`)[0]!.deadlocks,
  );
}

/** Clients of their own, so that their statements run side by side. */
function clients(db: TestDatabase, n: number): AsyncDisposable & { each: postgres.Sql[] } {
  const each = Array.from({ length: n }, () => postgres(db.url, { max: 1, onnotice() {} }));
  return {
    each,
    [Symbol.asyncDispose]: async () => void await Promise.all(each.map((sql) => sql.end({ timeout: 1 }))),
  };
}

const RETRY = {
  status: "created",
  returned: null,
  error: '{"name":"Error","message":"x"}',
  delay: 0,
  counts: "retry",
} as const;

Deno.test("20 concurrent schedulers of one key make exactly one task, by SQL and by plain INSERT", async () => {
  await using db = await testDatabase();
  await using many = clients(db, 20);

  const ids = await Promise.all(
    many.each.map(async (sql) =>
      (await sql`SELECT firefly.schedule('test.task', unique_key => 'a')::int AS id`)[0]!.id
    ),
  );
  assertEquals([new Set(ids).size, await count(db)], [1, 1]);

  const inserts = await Promise.allSettled(
    many.each.map((sql) => sql`INSERT INTO firefly.task ${sql({ func_name: "test.task", unique_key: "b" })}`),
  );
  assertEquals(inserts.filter(({ status }) => status === "fulfilled").length, 1);
  const refusals = inserts.flatMap((result) => result.status === "rejected" ? [result.reason] : []);
  assert(refusals.every((error) => error.code === "23505" && error.constraint_name === "unique_key"));
  assertEquals(await count(db), 2);
});

Deno.test("a scheduler waits for an open transaction of the same key: rolled back, the key is free", async () => {
  await using db = await testDatabase();
  await using one = clients(db, 1);
  let second: Promise<unknown> | undefined;

  await assertRejects(() =>
    one.each[0]!.begin(async (sql) => {
      await sql`SELECT firefly.schedule('test.task', unique_key => 'a')`;
      second = db.sql`SELECT firefly.schedule('test.task', unique_key => 'a')::int AS id`.execute();
      second!.catch(() => {});
      await until(async () => await backends(db, "active", "Lock") === 1);
      throw new RangeError("undone");
    }), RangeError);

  const [{ id }] = await second! as [{ id: number }];
  assertEquals([await holders(db), await count(db)], [{ a: id }, 1]);
});

Deno.test("batches with the same keys in opposite orders never deadlock, whatever the collation makes of the keys", async () => {
  await using db = await testDatabase();
  await using two = clients(db, 4);
  const before = await deadlocks(db);
  const keys = Array.from({ length: 200 }, (_, i) => `${"aBbAä_-."[i % 8]}${i}`);

  for (let round = 0; round < 5; round++) {
    const tasks = keys.map((key) => uniqueTask(`${key} ${round}`));
    const orders = [tasks, tasks.toReversed(), tasks.toSorted(() => Math.random() - 0.5)];
    await Promise.all([
      ...orders.map((order, i) => two.each[i]!`SELECT FROM firefly._schedule(${JSON.stringify(order)}::text::json)`),
      // A plain INSERT takes its keys in the same order.
      two.each[3]!`
        INSERT INTO firefly.task ${
        two.each[3]!(orders[2]!.map(({ unique_key }) => ({ func_name: "test.task", unique_key })))
      }
      `.catch((error) => assertEquals(error.code, "23505")),
    ]);
  }

  assertEquals([await count(db), await deadlocks(db)], [1000, before]);
});

Deno.test("batches that replace the same duplicates in opposite orders never deadlock", async () => {
  await using db = await testDatabase();
  await using two = clients(db, 2);
  const tasks = Array.from({ length: 200 }, (_, i) => uniqueTask(`k${i}`, { on_conflict: "replace" }));
  await scheduleUnique(db.store, tasks);
  const before = await deadlocks(db);

  for (let round = 0; round < 5; round++) {
    await Promise.all(
      [tasks, tasks.toReversed()].map((order, i) =>
        two.each[i]!`SELECT FROM firefly._schedule(${JSON.stringify(order)}::text::json)`
      ),
    );
  }

  assertEquals([await count(db), await deadlocks(db)], [200, before]);
  assertEquals((await db.sql`SELECT count(DISTINCT id)::int AS n, count(*)::int AS all FROM firefly.ready`)[0], {
    n: 200,
    all: 200,
  });
});

Deno.test("scheduleUnique() treats duplicates within one call as it treats older ones", async () => {
  await using db = await testDatabase();
  const call = (on_conflict: NewTask["on_conflict"] & string, name: string) =>
    scheduleUnique(
      db.store,
      ["WzFd", "WzJd", "WzNd"].map((params) => uniqueTask("a", { func_name: name, params, on_conflict })),
    );

  const kept = await call("keep", "keep");
  assertEquals(kept.map(({ id, inserted }) => [id === kept[0]!.id, inserted]), [[true, true], [true, false], [
    true,
    false,
  ]]);
  assertEquals(kept.map(({ record }) => record?.params), ["WzFd", "WzFd", "WzFd"]);

  const replaced = await call("replace", "replace");
  assertEquals(replaced.map(({ record }) => record?.params), ["WzNd", "WzNd", "WzNd"]);

  const [refused, ...others] = await call("error", "error");
  assertEquals([refused!.refusedKey, others.length, await count(db)], ["a", 0, 2]);
  assertEquals((await db.sql`SELECT FROM firefly.unique_key`).length, 2);
});

Deno.test("scheduleUnique() that is refused holds no key, even in a transaction that goes on", async () => {
  await using db = await testDatabase();
  await using one = clients(db, 1);
  await scheduleUnique(db.store, [uniqueTask("b")]);

  await one.each[0]!.begin(async (sql) => {
    const refused = JSON.stringify(["a", "b"].map((key) => uniqueTask(key, { on_conflict: "error" })));
    assertEquals((await sql`SELECT refused_key FROM firefly._schedule(${refused}::text::json)`)[0], {
      refused_key: "b",
    });
    // Waits for the transaction above, if that still held the key: until the statement's deadline.
    assertEquals((await scheduleUnique(db.store, [uniqueTask("a")]))[0]!.inserted, true);
  });
  assertEquals(await count(db), 2);
});

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

Deno.test("`for` rejects duplicates until its time has passed, even after the record is deleted", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const task = uniqueTask("a", { unique_for: 3600 });
  const [first] = await scheduleUnique(db.store, [task]);
  await settle(db, await claimOne(db, consumerId));

  const [kept] = await scheduleUnique(db.store, [task]);
  assertEquals([kept!.id, kept!.inserted, kept!.record?.status], [first!.id, false, "completed"]);
  await db.sql`DELETE FROM firefly.task`;
  const [outlasting] = await scheduleUnique(db.store, [task]);
  assertEquals([outlasting!.id, outlasting!.inserted, outlasting!.record], [first!.id, false, null]);
  assertEquals(await deleteExpiredKeys(db.store), 0);

  await db.sql`UPDATE firefly.unique_key SET until = now() - interval '1 s'`;
  const many = await Promise.all(Array.from({ length: 8 }, () => scheduleUnique(db.store, [task])));
  assertEquals(many.flat().filter(({ inserted }) => inserted).length, 1, "one of several takes what has expired");
});

Deno.test("deleteExpiredKeys() deletes in batches, and no key that is held", async () => {
  await using db = await testDatabase();
  await scheduleUnique(db.store, [uniqueTask("held")]);
  await db.sql`
    INSERT INTO firefly.unique_key
    SELECT 'test.task', 'old' || i, -i, now() - interval '1 s' FROM generate_series(1, 1500) AS i
  `;
  assertEquals([
    await deleteExpiredKeys(db.store),
    await deleteExpiredKeys(db.store),
    await deleteExpiredKeys(db.store),
  ], [1000, 500, 0]);
  assertEquals(Object.keys(await holders(db)), ["held"]);
});

Deno.test("replace leaves a running duplicate as it is, and its consumer free to settle it", async () => {
  await using db = await testDatabase();
  await using one = clients(db, 1);
  const consumerId = await startConsumer(db);
  await scheduleUnique(db.store, [uniqueTask("a", { params: "WzFd" })]);
  const running = await claimOne(db, consumerId);

  await one.each[0]!.begin(async (sql) => {
    const tasks = JSON.stringify([uniqueTask("a", { params: "WzJd", on_conflict: "replace" })]);
    const [row] = await sql`SELECT inserted, record FROM firefly._schedule(${tasks}::text::json)`;
    assertEquals([row!.inserted, row!.record.status, row!.record.params], [false, "running", "WzFd"]);
    assert(await settle(db, running), "the open transaction holds no lock on it");
  });
});

Deno.test("firefly.schedule() keeps, replaces or refuses, and accepts a time after completion", async () => {
  await using db = await testDatabase();
  const schedule = async (rest: string) =>
    (await db.sql.unsafe(`SELECT firefly.schedule('test.task', '[1]', unique_key => 'a' ${rest})::int AS id`))[0]!.id;

  const id = await schedule("");
  assertEquals(await schedule(""), id);
  await db
    .sql`SELECT firefly.schedule('test.task', '[3]', unique_key => 'a', on_conflict => 'replace', not_before => now() + interval '1 h')`;
  const [row] = await db.sql`SELECT params, not_before > now() + interval '59 min' AS later FROM firefly.task_json`;
  assertEquals([row!.params, row!.later], [[3], true]);
  const refused = await assertRejects(
    () => schedule(", on_conflict => 'error'"),
    Error,
    `task ${id} has its unique key "a"`,
  );
  assertEquals((refused as postgres.PostgresError).code, "23505");
  await assertRejects(() => schedule(", on_conflict => 'ignore'"), Error, "keep, replace or error");
  await assertRejects(
    () => db.sql`SELECT firefly.schedule('test.task', unique_key => '')`,
    Error,
    "unique_key_key_check",
  );
  await db.sql`SELECT firefly.schedule('test.timed', unique_key => 'a', unique_for => 60)`;
  assertEquals((await db.sql`SELECT unique_for FROM firefly.task WHERE func_name = 'test.timed'`)[0]!.unique_for, 60);
});

Deno.test("replace overwrites a duplicate that is being moved from waiting to ready at that moment", async () => {
  await using db = await testDatabase();
  await db.sql`SELECT firefly.schedule('test.task', '[1]', unique_key => 'k', not_before => now() + interval '1 hour')`;
  await db.sql`UPDATE firefly.task SET not_before = created`;
  await db.sql`UPDATE firefly.waiting SET not_before = task.not_before FROM firefly.task WHERE task.id = waiting.id`;
  const mover = postgres(db.url, { max: 1, onnotice() {} });
  const moved = Promise.withResolvers<void>();
  const mayCommit = Promise.withResolvers<void>();
  const moving = mover.begin(async (sql) => {
    await sql`
      WITH moved AS (DELETE FROM firefly.waiting RETURNING id, claim_seq, not_before, priority, queue, func_name)
      INSERT INTO firefly.ready (id, claim_seq, not_before, priority, queue, func_name) SELECT * FROM moved
    `;
    moved.resolve();
    await mayCommit.promise;
  });
  await moved.promise;
  const replacing = db.sql`SELECT firefly.schedule('test.task', '[2]', unique_key => 'k', on_conflict => 'replace')`;
  replacing.catch(() => {}); // sent now, awaited below
  await until(async () => await backends(db, "active", "Lock") === 1);
  mayCommit.resolve();
  await Promise.all([moving, replacing]);
  await mover.end();
  const [row] = await db.sql`SELECT params FROM firefly.task_json`;
  assertEquals(row!.params, [2]);
});
