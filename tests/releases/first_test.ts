/**
 * A new release migrates the schema while consumers of the release before it go on working. `first/` holds the statements
 * of the first release, as scripts/release_fixture.ts copied them from `src/store/`: they must work while later migrations
 * are applied, and afterwards. Until there is a later migration, {@linkcode REHEARSAL} stands in for it.
 */
import { assert, assertEquals } from "@std/assert";
import { Firefly, task } from "../../mod.ts";
import { Database } from "../../src/database/pools.ts";
import { migrate } from "../../src/schema/migrator.ts";
import { type Migration, MIGRATIONS } from "../../src/schema/migrations.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { taskName } from "../support/instance.ts";
import { placesOf, recordOf, withoutTriggers } from "../support/records.ts";
import { CHECKSUMS } from "./checksums.ts";
import { claimTasks } from "./first/claim.ts";
import type { ClaimedTask } from "./first/claimed_task.ts";
import { completeTasks } from "./first/complete.ts";
import { registerConsumer, removeExpiredConsumers, renewConsumer } from "./first/consumers.ts";
import { insertTasks } from "./first/insert.ts";
import { admitTasks } from "./first/limits.ts";
import type { NewTask } from "./first/new_task.ts";
import { rescueTasks } from "./first/rescue.ts";
import { type Outcome, settleTasks } from "./first/settle.ts";
import { parkUnknownTasks, promoteDueTasks, unparkKnownTasks } from "./first/waiting.ts";

const QUEUES = ["default"];

/** The migrations of the first release. */
const FIRST = MIGRATIONS.slice(0, Object.keys(CHECKSUMS["0.1.0"]!).length);

/** Changes the table that every statement of a consumer uses, as a later migration may. */
const REHEARSAL: Migration = {
  version: MIGRATIONS.length + 1,
  name: "rehearsal",
  sql: `ALTER TABLE "firefly".task ADD COLUMN rehearsed boolean;
    CREATE INDEX rehearsed ON "firefly".task (rehearsed) WHERE rehearsed;`,
};
const LATEST = [...MIGRATIONS, REHEARSAL];

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
  return {
    id: consumerId,
    /** Ends the claims of tasks that were claimed together. */
    settle: (tasks: ClaimedTask[], outcome: Partial<Outcome> = {}) =>
      settleTasks(
        db.store,
        tasks.map(({ id, claimSeq }) => ({
          id,
          claimSeq,
          status: "completed",
          returned: "bnVsbA==",
          error: null,
          began: performance.now(),
          delay: null,
          counts: null,
          ...outcome,
        })),
        tasks.slice(0, 1).map(({ batchId }) => batchId),
      ),
    async complete(task: ClaimedTask): Promise<void> {
      const completion = { id: task.id, claimSeq: task.claimSeq, began: performance.now(), returned: "bnVsbA==" };
      assertEquals(await completeTasks(db.store, [completion], [task.batchId]), undefined, "all are completed");
    },
    async claim(limit = 100): Promise<ClaimedTask[]> {
      const [batchId, quarantinedBatchId] = [crypto.randomUUID(), crypto.randomUUID()];
      const request = { consumerId, batchId, quarantinedBatchId, queues: QUEUES, names, limit };
      return (await claimTasks(db.store, request)).tasks;
    },
  };
}

/** Migrates a database to the first release and, with `latest`, on to what came later. */
async function releaseDatabase({ latest }: { latest: boolean }): Promise<TestDatabase> {
  const db = await testDatabase({ migrated: false });
  await migrate(db.settings, "firefly", undefined, FIRST);
  if (latest) await migrate(db.settings, "firefly", undefined, LATEST);
  return db;
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
  await using db = await releaseDatabase({ latest: false });
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
      completed += (await consumer.settle(tasks)).size;
      if (migrated) claimedSince += tasks.length;
      assert(await renewConsumer(db.store, consumer.id, 60));
      idle = migrated && claimedSince >= 200 && tasks.length === 0;
    }
  }
  async function apply(): Promise<void> {
    const applied = await migrate(db.settings, "firefly", undefined, LATEST);
    assertEquals(applied.map(({ version }) => version), LATEST.slice(FIRST.length).map(({ version }) => version));
    migrated = true;
  }

  await Promise.all([schedule(), apply(), consume()]);
  completed += (await consumer.settle(await consumer.claim(1000))).size;

  assertEquals(completed, scheduled);
  assertEquals(await placesOf(db), { ready: 0, waiting: 0, claimBatches: 0 });
});

Deno.test("the statements of the first release complete, retry, promote, park and rescue on the latest schema", async () => {
  await using db = await releaseDatabase({ latest: true });
  const consumer = await firstConsumer(db, ["test.task"]);
  const tasks = [newTask(), newTask({ delay: 3600 }), newTask({ func_name: "unknown" }), newTask()];
  const ids = (await insertTasks(db.store, tasks)).map(({ id }) => Number(id));
  const [first, last] = await consumer.claim();
  assertEquals([first!.id, last!.id], [ids[0], ids[3]]);
  const error = JSON.stringify({ name: "Error", message: "no" });
  await consumer.settle([first!], { status: "created", error, delay: 0, counts: "retry" });
  await consumer.complete(last!);
  assertEquals((await recordOf(db, last!.id)).status, "completed");
  await withoutTriggers(db, async (sql) => {
    await sql`UPDATE firefly.waiting SET not_before = now() WHERE id = ${ids[1]!}`;
    await sql`UPDATE firefly.task SET not_before = now() WHERE id = ${ids[1]!}`;
  });
  assertEquals((await promoteDueTasks(db.store, QUEUES)).moved, 1);
  assertEquals((await parkUnknownTasks(db.store, QUEUES)).length, 1);
  assertEquals(await unparkKnownTasks(db.store, { queues: QUEUES, names: ["unknown"] }), 1);
  assertEquals((await consumer.claim()).map(({ id }) => id).sort(), ids.slice(0, 2));

  await db.sql`UPDATE firefly.consumer SET lease_until = now() - interval '1 hour'`;
  assertEquals(await removeExpiredConsumers(db.store), [consumer.id]);
  assertEquals((await rescueTasks(db.store)).map(({ id }) => id).sort(), ids.slice(0, 2));
});

Deno.test("a consumer of the first release admits limited tasks, and releases their unique keys and slots", async () => {
  await using db = await releaseDatabase({ latest: true });
  const consumer = await firstConsumer(db, ["test.task"]);
  await db.sql`SELECT firefly.schedule('test.task', unique_key => 'k')`;
  await insertTasks(db.store, [newTask({ concurrency_key: "c" })]);
  assertEquals((await admitTasks(db.store, { concurrencyKeys: ["c"], rateKeys: [] })).admitted, 1);
  assertEquals((await db.sql`SELECT FROM firefly.slot`).count, 1);

  const claimed = await consumer.claim();
  await consumer.settle(claimed);

  const statuses = await Promise.all(claimed.map(async ({ id }) => (await recordOf(db, id)).status));
  assertEquals(statuses, ["completed", "completed"]);
  assertEquals((await db.sql`SELECT FROM firefly.unique_key`).count, 0);
  assertEquals((await db.sql`SELECT FROM firefly.slot`).count, 0);
});

Deno.test("a record of the first release runs on the schema of today", async () => {
  await using db = await releaseDatabase({ latest: false });
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
