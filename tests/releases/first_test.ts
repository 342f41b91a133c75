/**
 * Migrations are applied beside the release that came before. `first/` holds the statements of the release of the first
 * migration, as they were: they must go on working while the later migrations are applied, and afterwards.
 */
import { assert, assertEquals } from "@std/assert";
import { Firefly, task } from "../../mod.ts";
import { Database } from "../../src/database/pools.ts";
import { migrate } from "../../src/schema/migrator.ts";
import { MIGRATIONS } from "../../src/schema/migrations.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { taskName } from "../support/instance.ts";
import { placesOf, recordOf } from "../support/records.ts";
import { type ClaimedTask, claimTasks, parkUnknownTasks, promoteDueTasks, unparkKnownTasks } from "./first/claim.ts";
import { registerConsumer, removeExpiredConsumers, renewConsumer, rescueTasks } from "./first/consumers.ts";
import { insertTasks, type NewTask } from "./first/schedule.ts";
import { type Outcome, settleTasks } from "./first/settle.ts";

const QUEUES = ["default"];

/** A consumer of the first release, by its statements alone. */
async function firstConsumer(db: TestDatabase, names: string[]) {
  const consumerId = crypto.randomUUID();
  const info = {
    id: consumerId,
    host: "test",
    pid: 1,
    version: "0.1.0",
    queues: QUEUES,
    tasks: names,
    concurrency: 10,
  };
  await registerConsumer(db.store, info, 60);
  const settle = (task: ClaimedTask, outcome: Partial<Outcome> = {}) =>
    settleTasks(db.store, [{
      id: task.id,
      claimSeq: task.claimSeq,
      status: "completed",
      returned: "bnVsbA==",
      error: null,
      began: performance.now(),
      delay: null,
      counts: null,
      ...outcome,
    }], [task.batchId]);
  return {
    id: consumerId,
    settle,
    async claim(limit = 100): Promise<ClaimedTask[]> {
      const [batchId, quarantinedBatchId] = [crypto.randomUUID(), crypto.randomUUID()];
      const request = { consumerId, batchId, quarantinedBatchId, queues: QUEUES, names, limit };
      return (await claimTasks(db.store, request)).tasks;
    },
  };
}

function newTask(columns: Partial<NewTask> = {}): NewTask {
  return {
    func_name: "test.task",
    queue: "default",
    params: "W10=",
    priority: 0,
    not_before: null,
    delay: null,
    max_retries: 0,
    retry_delay: 120,
    backoff: null,
    timeout: null,
    tags: [],
    ...columns,
  };
}

Deno.test("migrate() lets a consumer of the first release work on while it applies what came later", async () => {
  await using db = await testDatabase({ migrated: false });
  await migrate(db.settings, "firefly", undefined, MIGRATIONS.slice(0, 1));
  const consumer = await firstConsumer(db, ["test.task"]);
  let [scheduled, completed, migrated, claimedSince] = [0, 0, false, 0];
  async function schedule(): Promise<void> {
    while (!migrated || claimedSince < 200) {
      await insertTasks(db.records, Array.from({ length: 10 }, () => newTask()));
      scheduled += 10;
    }
  }
  async function consume(): Promise<void> {
    let idle = false;
    while (!idle) {
      const tasks = await consumer.claim();
      for (const task of tasks) completed += (await consumer.settle(task)).size;
      if (migrated) claimedSince += tasks.length;
      assert(await renewConsumer(db.store, consumer.id, 60));
      idle = migrated && claimedSince >= 200 && tasks.length === 0;
    }
  }
  async function apply(): Promise<void> {
    const applied = await migrate(db.settings, "firefly");
    assertEquals(applied.map(({ version }) => version), MIGRATIONS.slice(1).map(({ version }) => version));
    migrated = true;
  }
  await Promise.all([schedule(), apply(), consume().then(() => {})]);
  for (const task of await consumer.claim(1000)) completed += (await consumer.settle(task)).size;
  assertEquals(completed, scheduled);
  assertEquals(await placesOf(db), { ready: 0, waiting: 0, lease: 0 });
});

Deno.test("the statements of the first release retry, promote, park and rescue on the schema of today", async () => {
  await using db = await testDatabase();
  const consumer = await firstConsumer(db, ["test.task"]);
  const ids = (await insertTasks(db.store, [newTask(), newTask({ delay: 3600 }), newTask({ func_name: "unknown" })]))
    .map(({ id }) => Number(id));
  const [first] = await consumer.claim();
  assertEquals(first!.id, ids[0]);
  const error = JSON.stringify({ name: "Error", message: "no" });
  await consumer.settle(first!, { status: "created", error, delay: 0, counts: "retry" });
  await db.sql`UPDATE firefly.waiting SET not_before = now() WHERE id = ${ids[1]!}`;
  await db.sql`UPDATE firefly.task SET not_before = now() WHERE id = ${ids[1]!}`;
  assertEquals(await promoteDueTasks(db.store, QUEUES), 1);
  assertEquals(await parkUnknownTasks(db.store, QUEUES), 1);
  assertEquals(await unparkKnownTasks(db.store, { queues: QUEUES, names: ["unknown"] }), 1);
  assertEquals((await consumer.claim()).map(({ id }) => id).sort(), ids.slice(0, 2));

  await db.sql`UPDATE firefly.consumer SET lease_until = now() - interval '1 hour'`;
  assertEquals(await removeExpiredConsumers(db.store), [consumer.id]);
  assertEquals((await rescueTasks(db.store)).map(({ id }) => id).sort(), ids.slice(0, 2));
});

Deno.test("a consumer of the first release gives back the unique keys and the slots of what it ends", async () => {
  await using db = await testDatabase();
  const [row] = await db.sql`SELECT firefly.schedule('test.task', unique_key => 'k') AS id`;
  await db.sql`INSERT INTO firefly.slot (kind, key, task_id) VALUES ('concurrency', 'c', ${row!.id})`;
  await db.sql`UPDATE firefly.task SET concurrency_key = 'c'`;
  const consumer = await firstConsumer(db, ["test.task"]);
  const [claimed] = await consumer.claim();
  await consumer.settle(claimed!);
  assertEquals((await recordOf(db, claimed!.id)).status, "completed");
  assertEquals((await db.sql`SELECT FROM firefly.unique_key`).count, 0);
  assertEquals((await db.sql`SELECT FROM firefly.slot`).count, 0);
});

Deno.test("a record of the first release runs on the schema of today", async () => {
  await using db = await testDatabase({ migrated: false });
  await migrate(db.settings, "firefly", undefined, MIGRATIONS.slice(0, 1));
  const name = taskName();
  const before = new Database(db.settings, "firefly");
  await insertTasks(before.sql, [newTask({ func_name: name, params: "WzEsM10=" })]);
  await before.end();
  await using ff = new Firefly({ database: db.url });
  await ff.migrate();
  const add = task(name, (i: number, j: number) => i + j);
  await ff.consume({ drain: true, tasks: [add] }).finished;
  const record = await ff.run(() => add.get(1));
  assertEquals(record.status === "completed" && record.returned, 4);
});
