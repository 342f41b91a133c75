import { assert, assertEquals } from "@std/assert";
import type { TaskFilter } from "../../src/task/record.ts";
import { countStates, noTasks } from "../../src/store/record_counts.ts";
import { deleteExpiredWaiters, listRecords, readRecords, registerWaiters } from "../../src/store/records.ts";
import { settleTasks } from "../../src/store/settle.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { claim, claimOne, startConsumer } from "../support/claiming.ts";
import { insertTask } from "../support/records.ts";
import { outcomeOf, settle } from "../support/settling.ts";

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
    .sql`INSERT INTO firefly.claim_batch (id, consumer_id, ids, lengths, claim_seqs) VALUES (gen_random_uuid(), gen_random_uuid(), ARRAY[${id}::bigint], '{1}', '{0}')`;
  assertEquals((await read()).status, "created", "a lease of an earlier claim is stale");
});

Deno.test("countStates() counts by queue and state", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  for (let i = 0; i < 3; i++) await insertTask(db);
  await insertTask(db, { queue: "mail" });
  const { tasks } = await claim(db, { consumerId, limit: 2 });
  await settleTasks(db.records, [outcomeOf(tasks[0]!)], []);

  const counts = await countStates(db.records);

  assertEquals(Object.fromEntries(counts), {
    default: { ...noTasks(), created: 1, ready: 1, running: 1, completed: 1 },
    mail: { ...noTasks(), created: 1, ready: 1 },
  });
});

Deno.test("countStates() and a list stay quick beside thousands of claimed tasks", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await db.sql`INSERT INTO firefly.task (func_name) SELECT 'test.task' FROM generate_series(1, 20000)`;
  for (let i = 0; i < 8; i++) await claim(db, { consumerId, limit: 500 });
  const started = performance.now();

  const counts = await countStates(db.records);
  const listed = await listRecords(db.records, { status: "running" }, { limit: 1000, before: null });

  assertEquals(counts.get("default"), { ...noTasks(), created: 16_000, ready: 16_000, running: 4_000 });
  assertEquals(listed.length, 1000);
  assert(performance.now() - started < 3000, `it took ${performance.now() - started} ms`);
});

Deno.test("registerWaiters() registers one task for many programs, and deleteExpiredWaiters() deletes expired waiters", async () => {
  await using db = await testDatabase();
  const ids = [await insertTask(db), await insertTask(db)];

  await Promise.all([
    registerWaiters(db.records, ids),
    registerWaiters(db.records, ids.toReversed()),
    registerWaiters(db.records, [...ids, 404]),
  ]);
  assertEquals((await db.sql`SELECT FROM firefly.result_waiter`).length, 2);

  await db.sql`UPDATE firefly.result_waiter SET until = now() - interval '1 minute' WHERE task_id = ${ids[0]!}`;
  await deleteExpiredWaiters(db.records);
  assertEquals((await db.sql`SELECT task_id::int FROM firefly.result_waiter`)[0]!.task_id, ids[1]);
});
