import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ServedQueues } from "../../src/claim/served_queues.ts";
import { task } from "../../mod.ts";
import { startConsumer } from "../support/claiming.ts";
import { testDatabase } from "../support/database.ts";
import { parkUnknownTasks } from "../../src/store/waiting.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { notificationsOf } from "../support/notifications.ts";
import { insertTask } from "../support/records.ts";
import { counting } from "../support/statements.ts";
import { until } from "../support/waiting.ts";

Deno.test("consume() without queues serves those of its tasks, each by its option or by the default", async () => {
  await using test = await testInstance({ defaults: { queue: "usual" } });
  const [mail, plain] = [task({ name: taskName(), queue: "mail" }, () => 1), task(taskName(), () => 2)];
  await using consumer = test.ff.consume({ tasks: [mail, plain] });
  await consumer.ready;

  const records = await test.ff.run(() => Promise.all([mail.schedule(), plain.schedule()]));

  assertEquals(await Promise.all(records.map((record) => record.result())), [1, 2]);
  const [row] = await test.db.sql`SELECT queues, all_queues FROM firefly.consumer`;
  assertEquals(row, { queues: ["mail", "usual"], all_queues: false });
});

Deno.test("consume() of all queues runs what is in any, and is notified of a queue that is new", async () => {
  await using test = await testInstance();
  const name = taskName();
  const work = task({ name, queue: "own" }, (i: number) => i);
  const old = await test.ff.run(() => work.with({ queue: "old" }).schedule(1));
  await using _ = test.ff.consume({ tasks: [work], queues: "*", pollInterval: "600s" });
  assertEquals(await old.result(), 1);

  const began = performance.now();
  for (const queue of ["new.a", "new.b", "new.a"]) {
    const record = await test.ff.run(() => work.with({ queue }).schedule(2));
    assertEquals(await record.result({ timeout: "60s" }), 2);
  }
  const sql = await test.db.sql`SELECT firefly.schedule(${name}, '[3]', queue => 'by-sql') AS id`;
  await until(async () => (await test.ff.tasks.get(Number(sql[0]!.id))).status === "completed");

  assert(performance.now() - began < 300_000, "it found the queues by its polls");
  const [row] = await test.db.sql`SELECT queues, all_queues FROM firefly.consumer`;
  assertEquals([row!.queues.toSorted(), row!.all_queues], [["by-sql", "new.a", "new.b", "old", "own"], true]);
});

Deno.test("consume() of all queues finds delayed, limited, retried and parked tasks of queues that are new", async () => {
  await using test = await testInstance();
  const name = taskName();
  const failing = task({ name, concurrency: { limit: 1, key: () => "k" } }, (fails: boolean) => {
    if (fails) throw new Error("as it should");
    return "ran";
  });
  await using consumer = test.ff.consume({ tasks: [failing], queues: ["*"], pollInterval: "600s" });
  await consumer.ready;

  const delayed = await test.ff.run(() => failing.with({ queue: "later", delay: 0.2 }).schedule(false));
  assertEquals(await delayed.result(), "ran");
  const failed = await test.ff.run(() => failing.with({ queue: "again" }).schedule(true));
  await assertRejects(() => failed.result(), Error, "as it should");
  await test.db.sql`UPDATE firefly.task SET params = firefly.encode('[false]') WHERE id = ${failed.id}`;
  assertEquals(await (await failed.retry()).result(), "ran");
});

Deno.test("consume() of all queues that drains leaves none that a handler filled", async () => {
  await using test = await testInstance();
  const name = taskName();
  const chain = task(name, async (i: number): Promise<void> => {
    if (i > 0) await chain.with({ queue: `chain-${i}` }).schedule(i - 1);
  });
  await test.ff.run(() => chain.schedule(3));

  assertEquals(await test.drain({ tasks: [chain], queues: "*" }), { completed: 4, failed: 0 });
});

Deno.test("INSERT announces a queue that no live consumer serves, if one serves all", async () => {
  await using db = await testDatabase();
  const insert = (queue: string) =>
    notificationsOf(db, ["firefly:queues"], async () => void await insertTask(db, { queue }));

  assertEquals(await insert("a"), [], "no consumer serves all");
  const all = await startConsumer(db, { queues: ["b"] });
  await db.sql`UPDATE firefly.consumer SET all_queues = true WHERE id = ${all}`;
  assertEquals(await insert("b"), [], "it serves this one already");
  assertEquals(await insert("c"), ["firefly:queues"]);
  await startConsumer(db, { queues: ["c"] });
  assertEquals(await insert("c"), [], "another consumer serves it");
});

Deno.test("ServedQueues claims from a new queue before its row says so, and keeps no more than a hundred without tasks", async () => {
  await using db = await testDatabase();
  const id = await startConsumer(db, { queues: ["own"] });
  const sql = counting(db.store);
  const changes: [names: string[], statements: number][] = [];
  const config = { queues: ["own"], allQueues: true, names: ["test.task"] };
  const queues = new ServedQueues({
    sql,
    config,
    consumerId: () => id,
    onChange: () => changes.push([queues.names, sql.calls]),
  });
  const row = async () => (await db.sql`SELECT queues FROM firefly.consumer`)[0]!.queues.toSorted();
  await insertTask(db, { queue: "first" });

  await queues.refresh();
  assertEquals([changes, sql.calls], [[[["own", "first"], 1]], 2], "it is told before the row is written");
  assertEquals(await row(), ["first", "own"]);
  await db.sql`DELETE FROM firefly.ready`;
  await queues.refresh();
  assertEquals(queues.names, ["own", "first"], "it is not forgotten when it is empty");

  for (let i = 0; i < 120; i++) await insertTask(db, { queue: `q${i}` });
  await queues.refresh();
  assertEquals([queues.names.length, queues.areLockable, (await row()).includes("first")], [121, false, false]);
  await db.sql`DELETE FROM firefly.ready`;
  await queues.refresh();
  assertEquals([queues.names, queues.areLockable, await row()], [["own"], true, ["own"]]);
});

Deno.test("ServedQueues stores its queues with the next look if the database failed", async () => {
  await using db = await testDatabase();
  const id = await startConsumer(db, { queues: ["own"] });
  await insertTask(db, { queue: "first" });
  await db.sql`ALTER TABLE firefly.consumer RENAME COLUMN queues TO hidden`;
  const config = { queues: ["own"], allQueues: true, names: [] };
  const queues = new ServedQueues({ sql: db.store, config, consumerId: () => id, onChange() {} });

  await assertRejects(() => queues.refresh());
  await db.sql`ALTER TABLE firefly.consumer RENAME COLUMN hidden TO queues`;
  await queues.refresh();

  assertEquals((await db.sql`SELECT queues FROM firefly.consumer`)[0]!.queues, ["own", "first"]);
});

Deno.test("consume() refuses a pattern that is not the star alone, and a release that cannot be stored", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => {});
  for (const queues of ["mail.*", "**", ["mail", "*x"], ""]) {
    assertThrows(() => test.ff.consume({ tasks: [work], queues }), RangeError, "queue");
  }
  for (const release of ["", "x".repeat(201), "a\0b"]) {
    assertThrows(() => test.ff.consume({ tasks: [work], release }), RangeError, '"release" must have 1 to 200');
  }
  assertThrows(() => test.ff.consume({ tasks: [work], release: 7 as never }), TypeError, '"release" must be a string');
});

Deno.test("a live consumer of all queues counts for every queue: explain() names it, and its tasks are not parked", async () => {
  await using db = await testDatabase();
  const all = await startConsumer(db, { queues: ["default"] });
  const id = await insertTask(db, { queue: "new" });
  const limited = await insertTask(db, { queue: "other", concurrency_key: "k" });
  const reasons = async () => (await db.sql`SELECT reason FROM firefly.explain(${id})`).map(({ reason }) => reason);

  assertEquals(await reasons(), ["no_consumer"]);
  await db.sql`UPDATE firefly.consumer SET all_queues = true WHERE id = ${all}`;
  assertEquals(await reasons(), ["due"]);
  assertEquals(await parkUnknownTasks(db.store, ["new"]), []);
  await db.sql`INSERT INTO firefly.definition (func_name, concurrency_limit) VALUES ('test.task', 1)`;
  assertEquals((await db.sql`SELECT id::int FROM firefly._limit_queue`).map(({ id }) => id), [limited]);
});
