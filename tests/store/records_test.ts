import { assert, assertEquals } from "@std/assert";
import type { TaskFilter } from "../../src/record.ts";
import {
  awaitTasks,
  cancelTasks,
  countRecords,
  deleteTasks,
  forgetAwaited,
  listRecords,
  readRecords,
  retryTasks,
} from "../../src/store/records.ts";
import { settleTasks } from "../../src/store/settle.ts";
import { type TestDatabase, testDatabase } from "../database.ts";
import {
  backends,
  claim,
  claimOne,
  insertTask,
  outcomeOf,
  placesOf,
  recordOf,
  ringsOf,
  settle,
  startConsumer,
} from "../steps.ts";

async function idsOf(db: TestDatabase, filter: TaskFilter, { limit = 100, before = null as number | null } = {}) {
  return (await listRecords(db.records, filter, { limit, before })).map(({ id }) => Number(id));
}

Deno.test("listRecords() lists newest first, below a given id, and no more than the limit", async () => {
  await using db = await testDatabase();
  await db.sql`INSERT INTO firefly.task (func_name) SELECT 'test.task' FROM generate_series(1, 10)`;

  assertEquals(await idsOf(db, {}), [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
  assertEquals(await idsOf(db, {}, { limit: 3 }), [10, 9, 8]);
  assertEquals(await idsOf(db, {}, { limit: 3, before: 8 }), [7, 6, 5]);
  assertEquals(await idsOf(db, {}, { before: 1 }), []);
});

Deno.test("listRecords() filters by each condition, and by all of them together", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const hourAgo = new Date(Date.now() - 3_600_000);
  const done = await insertTask(db, { tags: ["a", "b"], params: btoa('[{"user":7,"more":true}]') });
  await settle(db, await claimOne(db, consumerId));
  await db.sql`UPDATE firefly.task SET completed = ${hourAgo} WHERE id = ${done}`;
  const running = await insertTask(db, { tags: ["a"] });
  await claimOne(db, consumerId);
  const mail = await insertTask(db, { queue: "mail", func_name: "test.mail", created: hourAgo });
  const broken = await insertTask(db, { params: "!!", not_before: new Date(Date.now() + 3_600_000) });
  const cancelled = await insertTask(db, { queue: "slow" });
  await db.sql`SELECT firefly.cancel(${cancelled})`;
  const minuteAgo = new Date(Date.now() - 60_000);
  const cases: [TaskFilter, number[]][] = [
    [{ status: "completed" }, [done]],
    [{ status: "running" }, [running]],
    [{ status: "created" }, [broken, mail]],
    [{ status: ["running", "cancelled"] }, [cancelled, running]],
    [{ status: [] }, []],
    [{ queue: "mail" }, [mail]],
    [{ queue: ["mail", "slow"] }, [cancelled, mail]],
    [{ funcName: "test.mail" }, [mail]],
    [{ ids: [running, mail, 404] }, [mail, running]],
    [{ ids: [] }, []],
    [{ tags: ["a"] }, [running, done]],
    [{ tags: ["a", "b"] }, [done]],
    [{ createdBefore: minuteAgo }, [mail]],
    [{ createdAfter: minuteAgo }, [cancelled, broken, running, done]],
    [{ finishedBefore: minuteAgo }, [done]],
    [{ finishedBefore: new Date(Date.now() + 60_000) }, [cancelled, done]],
    [{ params: [{ user: 7 }] }, [done]],
    [{ params: [] }, [cancelled, mail, running, done]],
    [{ status: "running", queue: "default", tags: ["a"], createdAfter: minuteAgo }, [running]],
    [{ status: "running", queue: "mail" }, []],
  ];

  for (const [filter, ids] of cases) assertEquals(await idsOf(db, filter), ids, JSON.stringify(filter));
});

Deno.test("readRecords() shows running, and the number of the current or next attempt", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const id = await insertTask(db, { retry_attempts: 1, rescues: 1 });
  const read = async () => (await readRecords(db.records, [id, 404]))[0]!;
  assertEquals([(await read()).status, (await read()).attempt, (await read()).started], ["created", 3, null]);

  const task = await claimOne(db, consumerId);
  const running = await read();
  assertEquals([running.status, running.attempt], ["running", 3]);
  assert(running.started instanceof Date);

  await settle(db, task, { status: "created", returned: null, counts: "retry", delay: 60 });
  assertEquals([(await read()).status, (await read()).attempt], ["created", 4]);
  await db
    .sql`INSERT INTO firefly.lease (id, consumer_id, ids, claim_seqs) VALUES (gen_random_uuid(), gen_random_uuid(), ARRAY[${id}::bigint], '{0}')`;
  assertEquals((await read()).status, "created", "a lease of an earlier claim is stale");
});

Deno.test("countRecords() counts by queue and status", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  for (let i = 0; i < 3; i++) await insertTask(db);
  await insertTask(db, { queue: "mail" });
  const { tasks } = await claim(db, { consumerId, limit: 2 });
  await settleTasks(db.records, [outcomeOf(tasks[0]!)], []);

  const counts = (await countRecords(db.records)).map(({ queue, status, count }) => `${queue} ${status} ${count}`);

  assertEquals(counts.sort(), ["default completed 1", "default created 1", "default running 1", "mail created 1"]);
});

Deno.test("countRecords() and a list stay quick beside thousands of leased tasks", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await db.sql`INSERT INTO firefly.task (func_name) SELECT 'test.task' FROM generate_series(1, 20000)`;
  for (let i = 0; i < 8; i++) await claim(db, { consumerId, limit: 500 });
  const started = performance.now();

  const counts = await countRecords(db.records);
  const listed = await listRecords(db.records, { status: "running" }, { limit: 1000, before: null });

  assertEquals(counts.map(({ status, count }) => [status, count]).sort(), [["created", 16000], ["running", 4000]]);
  assertEquals(listed.length, 1000);
  assert(performance.now() - started < 3000, `it took ${performance.now() - started} ms`);
});

Deno.test("cancelTasks() cancels what has not ended, wherever it stands", async () => {
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

  const rings = await ringsOf(db, ["firefly:control"], async () => {
    assertEquals(await cancelTasks(db.records, ids), 3);
    assertEquals(await cancelTasks(db.records, ids), 0);
  });

  for (const id of [waiting, ready, running.id]) {
    const { status, cancelled, claim_seq } = await recordOf(db, id);
    assertEquals([status, claim_seq, cancelled instanceof Date], ["cancelled", "1", true]);
  }
  assertEquals((await recordOf(db, done.id)).status, "completed");
  assertEquals(await placesOf(db), { ready: 0, waiting: 0, lease: 1 });
  assertEquals(await settle(db, running), false, "fenced off");
  assertEquals(rings, ["firefly:control"], "its consumer is told to look, for the running one alone");
});

Deno.test("cancelTasks() of a task that is claimed at the same moment leaves it in no place", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);

  for (let round = 0; round < 15; round++) {
    const id = await insertTask(db);
    const [cancelled, { tasks }] = await Promise.all([cancelTasks(db.records, [id]), claim(db, { consumerId })]);
    assertEquals(cancelled, 1);
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
  await cancelTasks(db.records, [cancelled]);
  await insertTask(db);
  const done = await claimOne(db, consumerId);
  await settle(db, done);
  const created = await insertTask(db, { priority: -1 });
  const before = await recordOf(db, failed.id);

  assertEquals(await retryTasks(db.records, [failed.id, cancelled, done.id, created, 404]), 2);

  const after = await recordOf(db, failed.id);
  const { status, retry_attempts, rescues, suspect_deaths, started, errors } = after;
  assertEquals(
    { status, retry_attempts, rescues, suspect_deaths, started, failed: after.failed },
    { status: "created", retry_attempts: 0, rescues: 0, suspect_deaths: 0, started: null, failed: null },
  );
  assertEquals((errors as unknown[]).length, 1);
  assert(Number(after.claim_seq) >= Number(before.claim_seq), "the fence never goes back");
  assert(after.not_before as Date > (before.not_before as Date), "behind what waits already");
  const { tasks } = await claim(db, { consumerId });
  assertEquals(tasks.map(({ id, attempt }) => [id, attempt]), [[failed.id, 1], [cancelled, 1], [created, 1]]);
  assertEquals(await settle(db, failed), false);
});

Deno.test("deleteTasks() deletes by id, and rechecks the status when its turn comes", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const error = JSON.stringify({ name: "Error", message: "no" });
  for (let i = 0; i < 3; i++) await insertTask(db);
  const { tasks } = await claim(db, { consumerId });
  const ids = tasks.map(({ id }) => id);
  const outcomes = [outcomeOf(tasks[0]!), outcomeOf(tasks[1]!, { status: "failed", returned: null, error })];
  await settleTasks(db.records, outcomes, []);

  assertEquals(await deleteTasks(db.records, ids, ["failed"]), 1);
  assertEquals(await deleteTasks(db.records, ids, ["failed"]), 0);
  assertEquals(await deleteTasks(db.records, ids, ["running"]), 1);
  assertEquals(await settle(db, tasks[2]!), false);
  assertEquals(await deleteTasks(db.records, [...ids, 404], null), 1);
  assertEquals((await db.sql`SELECT FROM firefly.task`).length, 0);
});

Deno.test("deleteTasks() leaves a task that somebody retries at the same moment", async () => {
  await using db = await testDatabase();
  const id = await insertTask(db);
  await cancelTasks(db.records, [id]);
  let deletion: Promise<number>;

  await db.sql.begin(async (sql) => {
    await sql`SELECT firefly.retry(${id})`;
    deletion = deleteTasks(db.records, [id], ["cancelled"]);
    while (await backends(db, "active", "Lock") === 0);
  });

  assertEquals(await deletion!, 0);
  assertEquals((await recordOf(db, id)).status, "created");
});

Deno.test("awaitTasks() can be asked for one task by many, and forgetAwaited() drops who went away", async () => {
  await using db = await testDatabase();
  const ids = [await insertTask(db), await insertTask(db)];

  await Promise.all([
    awaitTasks(db.records, ids),
    awaitTasks(db.records, ids.toReversed()),
    awaitTasks(db.records, [...ids, 404]),
  ]);
  assertEquals((await db.sql`SELECT FROM firefly.awaited`).length, 2);

  await db.sql`UPDATE firefly.awaited SET until = now() - interval '1 minute' WHERE task_id = ${ids[0]!}`;
  await forgetAwaited(db.records);
  assertEquals((await db.sql`SELECT task_id::int FROM firefly.awaited`)[0]!.task_id, ids[1]);
});

Deno.test("retryTasks() of a task whose attempt still runs gives the attempt no way to end it", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const id = await insertTask(db);
  const stale = await claimOne(db, consumerId);
  // As an operator may do it by hand, who does not know of the fence.
  await db.sql`UPDATE firefly.task SET status = 'failed' WHERE id = ${id}`;

  await retryTasks(db.records, [id]);
  const fresh = await claimOne(db, consumerId);

  assertEquals(await settle(db, stale, { returned: "InN0YWxlIg==" }), false);
  assertEquals(await settle(db, fresh), true);
});
