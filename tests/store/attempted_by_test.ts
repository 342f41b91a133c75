import { assert, assertEquals } from "@std/assert";
import type { AttemptedBy } from "../../mod.ts";
import { completeTask, completeTasks } from "../../src/store/complete.ts";
import { deleteGoneProcesses, readConsumers } from "../../src/store/consumer_records.ts";
import { registerConsumer, removeConsumer, removeExpiredConsumers } from "../../src/store/consumers.ts";
import { rescueTasks } from "../../src/store/rescue.ts";
import { settleTasks } from "../../src/store/settle.ts";
import { claim, expireConsumer } from "../support/claiming.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { insertTask } from "../support/records.ts";
import { outcomeOf } from "../support/settling.ts";

const BY = { host: "web-1", pid: 42, release: "2026.11" };
const FAILURE = { error: JSON.stringify({ name: "Error", message: "no", seconds: 1.5 }), returned: null } as const;

/** Registers a consumer with a release; resolves to what its claims and attempts name. */
async function register(db: TestDatabase, info: Partial<AttemptedBy> = {}) {
  const id = crypto.randomUUID();
  const own = { ...BY, version: "0.0.0", queues: ["default"], tasks: ["test.task"], concurrency: 10, memory: 5e9 };
  const processId = await registerConsumer(db.store, { id, ...own, ...info }, 60);
  return { id, processId };
}

async function claimed(db: TestDatabase, count: number) {
  for (let i = 0; i < count; i++) await insertTask(db);
  const { id: consumerId, processId } = await register(db);
  const { tasks } = await claim(db, { consumerId, processId });
  assertEquals(tasks.length, count);
  return { tasks, consumerId, processId };
}

async function viewOf(db: TestDatabase, id: number) {
  const [row] = await db.sql`SELECT status, started, attempted_by, errors FROM firefly.task_record WHERE id = ${id}`;
  return row!;
}

Deno.test("task_record.attempted_by is the consumer that runs the task, and then the one that completed it", async () => {
  await using db = await testDatabase();
  const { tasks: [first, second, third], processId } = await claimed(db, 3);
  const waiting = await insertTask(db);

  assertEquals((await viewOf(db, first!.id)).attempted_by, BY);
  assertEquals((await viewOf(db, waiting)).attempted_by, null);
  const completion = { id: first!.id, claimSeq: first!.claimSeq, began: performance.now(), returned: "bnVsbA==" };
  await completeTasks(db.store, [completion], [], processId);
  await completeTask(db.store, outcomeOf(second!), null, processId);
  await settleTasks(db.store, [outcomeOf(third!)], [], processId);

  for (const { id } of [first!, second!, third!]) {
    const { status, attempted_by } = await viewOf(db, id);
    assertEquals([status, attempted_by], ["completed", BY]);
  }
  const [overview] = await db.sql`SELECT attempted_by FROM firefly.task_overview WHERE id = ${first!.id}`;
  const [json] = await db.sql`SELECT attempted_by FROM firefly.task_json WHERE id = ${first!.id}`;
  assertEquals([overview!.attempted_by, json!.attempted_by], [BY, BY]);
});

Deno.test("settleTasks() stores the consumer with failures and retries and with their errors, not with claims given back", async () => {
  await using db = await testDatabase();
  const { tasks: [failed, retried, returned], processId } = await claimed(db, 3);
  const outcomes = [
    outcomeOf(failed!, { ...FAILURE, status: "failed" }),
    outcomeOf(retried!, { ...FAILURE, status: "created", delay: 60, counts: "retry" }),
    outcomeOf(returned!, { status: "created", returned: null, began: null, counts: "snooze" }),
  ];

  await settleTasks(db.store, outcomes, [], processId);

  for (const { id } of [failed!, retried!]) {
    const { attempted_by, errors: [{ at, ...error }] } = await viewOf(db, id);
    assert(at);
    assertEquals(attempted_by, BY);
    assertEquals(error, { name: "Error", message: "no", seconds: 1.5, attempt: 1, ...BY });
  }
  assertEquals((await viewOf(db, returned!.id)).attempted_by, null);
});

Deno.test("cancel() stores when and where the task ran that it cancels, and neither for one that did not run", async () => {
  await using db = await testDatabase();
  const { tasks: [running] } = await claimed(db, 1);
  const [{ claimed: since } = { claimed: null }] = await db.sql`SELECT claimed FROM firefly.claim_batch`;
  const waiting = await insertTask(db);

  for (const id of [running!.id, waiting]) await db.sql`SELECT firefly.cancel(${id})`;

  const { status, started, attempted_by } = await viewOf(db, running!.id);
  assertEquals([status, started, attempted_by], ["cancelled", since, BY]);
  const idle = await viewOf(db, waiting);
  assertEquals([idle.status, idle.started, idle.attempted_by], ["cancelled", null, null]);
});

Deno.test("retry() forgets what ran the task before", async () => {
  await using db = await testDatabase();
  const { tasks: [task] } = await claimed(db, 1);
  await db.sql`SELECT firefly.cancel(${task!.id})`;

  await db.sql`SELECT firefly.retry(${task!.id})`;

  const { status, started, attempted_by } = await viewOf(db, task!.id);
  assertEquals([status, started, attempted_by], ["created", null, null]);
});

Deno.test("rescueTasks() stores and returns the consumer that crashed, after its row is gone", async () => {
  await using db = await testDatabase();
  const { tasks: [task], consumerId } = await claimed(db, 1);
  await expireConsumer(db, consumerId);
  assertEquals((await readConsumers(db.records)).map(({ state }) => state), ["crashed"]);
  await removeExpiredConsumers(db.store);

  const [rescued] = await rescueTasks(db.store);

  assertEquals(rescued!.attemptedBy, BY);
  const { status, started, attempted_by } = await viewOf(db, task!.id);
  assert(started instanceof Date);
  assertEquals([status, attempted_by], ["created", BY]);
});

Deno.test("rescueTasks() names the consumer in the error of a task that crashed five", async () => {
  await using db = await testDatabase();
  const { tasks: [task], consumerId } = await claimed(db, 1);
  await db.sql`UPDATE firefly.task SET crash_count = 4`;
  await db.sql`UPDATE firefly.claim_batch SET quarantined = true`;
  await expireConsumer(db, consumerId);
  await removeExpiredConsumers(db.store);

  await rescueTasks(db.store);

  const { status, started, errors: [{ name, host, pid, release }] } = await viewOf(db, task!.id);
  assert(started instanceof Date);
  assertEquals([status, name, { host, pid, release }], ["failed", "ConsumerCrashed", BY]);
});

Deno.test("rescueTasks() rescues the claims of a consumer that did not store its process", async () => {
  await using db = await testDatabase();
  const { consumerId } = await claimed(db, 1);
  await db.sql`UPDATE firefly.claim_batch SET attempted_by = NULL`;
  await removeConsumer(db.store, consumerId);

  assertEquals((await rescueTasks(db.store)).map(({ attemptedBy }) => attemptedBy), [null]);
});

Deno.test("registerConsumer() gives consumers of one process and release one process id", async () => {
  await using db = await testDatabase();
  const { processId } = await register(db);

  assertEquals((await register(db)).processId, processId);
  const others = [
    await register(db, { pid: 43 }),
    await register(db, { release: null }),
    await register(db, { host: "b" }),
  ];
  assertEquals(new Set([processId, ...others.map((other) => other.processId)]).size, 4);
  assertEquals((await register(db, { release: null })).processId, others[1]!.processId);
});

Deno.test("deleteGoneProcesses() keeps the processes of consumers, and others as long as records are kept", async () => {
  await using db = await testDatabase();
  const alive = await register(db);
  const gone = await register(db, { pid: 43 });
  await removeConsumer(db.store, gone.id);
  const age = (days: number) =>
    db.sql`UPDATE firefly.consumer_process SET seen = now() - make_interval(days => ${days})`;

  await age(30);
  assertEquals(await deleteGoneProcesses(db.store), 0, "failed records are kept for 30 days");
  await age(32);
  await db.sql`INSERT INTO firefly.definition (func_name, retain_completed) VALUES ('kept', 'Infinity')`;
  assertEquals(await deleteGoneProcesses(db.store), 0, "records of one task are kept for ever");
  await age(32);
  await db.sql`DELETE FROM firefly.definition`;
  assertEquals(await deleteGoneProcesses(db.store), 1);
  const left = await db.sql`SELECT id, seen > now() - interval '1 minute' AS fresh FROM firefly.consumer_process`;
  assertEquals(left.map(({ id, fresh }) => [id, fresh]), [[alive.processId, true]]);
});

Deno.test("readConsumers() shows what each consumer runs, those that it has held longest first", async () => {
  await using db = await testDatabase();
  const { tasks, consumerId } = await claimed(db, 25);
  await register(db, { host: "web-2", release: null });

  const [busy, idle, ...others] = await readConsumers(db.records);

  assertEquals(others, []);
  const { started, seen, leaseUntil, runningSince, runningTasks, ...shown } = busy!;
  assertEquals(shown, {
    id: consumerId,
    name: null,
    ...BY,
    version: "0.0.0",
    state: "live",
    queues: ["default"],
    tasks: ["test.task"],
    concurrency: 10,
    wantedConcurrency: null,
    memory: 5e9,
    running: 25,
  });
  assert(started <= seen && seen < leaseUntil && runningSince! >= started);
  assertEquals(runningTasks.length, 20);
  assertEquals(runningTasks[0], { id: tasks[0]!.id, funcName: "test.task", since: runningSince! });
  assertEquals([idle!.host, idle!.release, idle!.running, idle!.runningSince, idle!.runningTasks], [
    "web-2",
    null,
    0,
    null,
    [],
  ]);
});
