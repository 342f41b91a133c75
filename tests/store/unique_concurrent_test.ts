import { assert, assertEquals, assertRejects } from "@std/assert";
import postgres from "postgres";
import { scheduleUnique } from "../../src/store/schedule.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { claimOne, startConsumer } from "../support/claiming.ts";
import { settle } from "../support/settling.ts";
import { backends } from "../support/statements.ts";
import { until } from "../support/waiting.ts";
import { countTasks, withoutTriggers } from "../support/records.ts";
import { clients, holders, uniqueTask } from "../support/unique.ts";

async function deadlocks(db: TestDatabase): Promise<number> {
  await db.sql`SELECT pg_stat_clear_snapshot()`;
  return Number(
    (await db.sql`SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`)[0]!.deadlocks,
  );
}

Deno.test("20 concurrent schedulers of one key make exactly one task, by SQL and by plain INSERT", async () => {
  await using db = await testDatabase();
  await using many = clients(db, 20);

  const ids = await Promise.all(
    many.each.map(async (sql) =>
      (await sql`SELECT firefly.schedule('test.task', unique_key => 'a')::int AS id`)[0]!.id
    ),
  );
  assertEquals([new Set(ids).size, await countTasks(db)], [1, 1]);

  const inserts = await Promise.allSettled(
    many.each.map((sql) => sql`INSERT INTO firefly.task ${sql({ func_name: "test.task", unique_key: "b" })}`),
  );
  assertEquals(inserts.filter(({ status }) => status === "fulfilled").length, 1);
  const refusals = inserts.flatMap((result) => result.status === "rejected" ? [result.reason] : []);
  assert(refusals.every((error) => error.code === "23505" && error.constraint_name === "unique_key"));
  assertEquals(await countTasks(db), 2);
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
  assertEquals([await holders(db), await countTasks(db)], [{ a: id }, 1]);
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

  assertEquals([await countTasks(db), await deadlocks(db)], [1000, before]);
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

  assertEquals([await countTasks(db), await deadlocks(db)], [200, before]);
  assertEquals((await db.sql`SELECT count(DISTINCT id)::int AS n, count(*)::int AS all FROM firefly.ready`)[0], {
    n: 200,
    all: 200,
  });
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

Deno.test("replace overwrites a duplicate that is being moved from waiting to ready at that moment", async () => {
  await using db = await testDatabase();
  await db.sql`SELECT firefly.schedule('test.task', '[1]', unique_key => 'k', not_before => now() + interval '1 hour')`;
  await withoutTriggers(db, async (sql) => {
    await sql`UPDATE firefly.task SET not_before = created`;
    await sql`UPDATE firefly.waiting SET not_before = task.not_before FROM firefly.task WHERE task.id = waiting.id`;
  });
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
