import { assert, assertEquals } from "@std/assert";
import { makeTag, openClient } from "../../src/database/driver.ts";
import { forgetStatistics, sampleQueues, type StatisticsDelta, writeStatistics } from "../../src/store/statistics.ts";
import { settleTasks } from "../../src/store/settle.ts";
import { claim, startConsumer } from "../support/claiming.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { insertTask } from "../support/records.ts";
import { outcomeOf } from "../support/settling.ts";
import { until } from "../support/waiting.ts";

const NAMES = Array.from({ length: 5 }, (_, i) => `task.${i}`);

/** One attempt of each task in each of as many queues, which failed with an error of its own. */
function deltaOf(names: readonly string[]): StatisticsDelta {
  const counts = { completed: 1, failed: 1, retried: 0, snoozed: 0 };
  return {
    queues: names.map((name) => ({ ...counts, queue: `q.${name}`, wait: [1, 0, 2] })),
    tasks: names.map((name) => ({ ...counts, queue: `q.${name}`, funcName: name, run: [0, 1] })),
    errors: names.map((name) => ({
      queue: `q.${name}`,
      funcName: name,
      name: "Error",
      message: "no",
      attempts: 1,
      lastTaskId: 1,
    })),
  };
}

Deno.test("writeStatistics() of two consumers that count in other orders adds up, without a deadlock", async () => {
  await using db = await testDatabase();
  // Not the store's own, which runs a statement again after a deadlock.
  const client = openClient(db.settings, { max: 2 });
  await using _ = { [Symbol.asyncDispose]: () => client.end() };
  const tag = makeTag((build) => build(client) as never, "firefly");
  const none: StatisticsDelta = { queues: [], tasks: [], errors: [] };
  const locks = {
    queues: "SELECT FROM firefly.queue_minute WHERE queue = 'q.task.2' FOR UPDATE",
    tasks: "SELECT FROM firefly.task_minute WHERE func_name = 'task.2' FOR UPDATE",
    errors: "SELECT FROM firefly.error_group WHERE func_name = (SELECT func_name FROM firefly.error_group ORDER BY " +
      "fingerprint LIMIT 1 OFFSET 2) FOR UPDATE",
  };
  await writeStatistics(db.store, deltaOf(NAMES));
  const groups = await db.sql`SELECT func_name FROM firefly.error_group ORDER BY fingerprint`;
  const orders = { queues: NAMES, tasks: NAMES, errors: groups.map(({ func_name }) => func_name as string) };

  for (const kind of ["queues", "tasks", "errors"] as const) {
    const write = (names: readonly string[]) => writeStatistics(tag, { ...none, [kind]: deltaOf(names)[kind] });
    // Each would get to the row in the middle from its own end, and then need the rows of the other.
    const writes: Promise<void>[] = [];
    await db.sql.begin(async (sql) => {
      await sql.unsafe(locks[kind]);
      for (const names of [orders[kind], orders[kind].toReversed()]) writes.push(write(names));
      await until(async () => await waiting(db) === 2);
    });
    await Promise.all(writes);
  }

  const [row] = await db.sql`
    SELECT (SELECT sum(completed)::int FROM firefly.queue_minute) AS queues,
      (SELECT sum(n)::int FROM firefly.queue_minute, unnest(wait) AS n) AS waits,
      (SELECT sum(completed)::int FROM firefly.task_minute) AS tasks,
      (SELECT sum(attempts)::int FROM firefly.error_group) AS errors,
      (SELECT count(*)::int FROM firefly.error_group) AS groups
  `;
  const total = 3 * NAMES.length;
  assertEquals({ ...row }, { queues: total, waits: 3 * total, tasks: total, errors: total, groups: NAMES.length });
});

/** How many sessions of the database wait for a lock. */
async function waiting(db: TestDatabase): Promise<number> {
  const [row] = await db.sql`
    SELECT count(*)::int AS count FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
  `;
  return row!.count;
}

/** Makes the next call of sampleQueues() the first of its minute. */
async function nextMinute(db: TestDatabase): Promise<void> {
  await db.sql`UPDATE firefly.retention SET sampled = '-infinity'`;
}

Deno.test("sampleQueues() stores what is in each queue, once a minute", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db, { queues: ["default", "mail", "idle"] });
  await startConsumer(db, { queues: ["mail"] });
  await startConsumer(db, { queues: ["mail"], lease: -10 });
  for (let i = 0; i < 4; i++) await insertTask(db, { queue: "mail" });
  const { tasks } = await claim(db, { consumerId, queues: ["mail"], limit: 3 });
  await settleTasks(db.store, [outcomeOf(tasks[0]!)], []); // its batch holds two more
  await db.sql`
    INSERT INTO firefly.task (func_name, not_before)
    SELECT 'test.task', now() - interval '100 seconds' FROM generate_series(1, 5)
  `;
  await insertTask(db, { not_before: new Date(Date.now() + 60_000) });
  await insertTask(db, { queue: "left", not_before: new Date(Date.now() - 3_600_000) });
  await nextMinute(db);

  assertEquals((await Promise.all([sampleQueues(db.store), sampleQueues(db.store)])).sort(), [false, true]);

  const rows = await db.sql`SELECT * FROM firefly.queue_minute ORDER BY queue`;
  assertEquals(
    rows.map(({ queue, due, waiting, running, places }) => ({ queue, due, waiting, running, places })),
    [
      { queue: "default", due: 5, waiting: 1, running: 0, places: 10 },
      { queue: "idle", due: 0, waiting: 0, running: 0, places: 10 },
      { queue: "left", due: 1, waiting: 0, running: 0, places: 0 },
      { queue: "mail", due: 1, waiting: 0, running: 2, places: 20 },
    ],
  );
  assert(rows[0]!.oldest >= 99 && rows[0]!.oldest < 2000, rows[0]!.oldest);
  assertEquals(rows[1]!.oldest, null);
  assertEquals(rows.every(({ completed, wait }) => completed === 0 && wait.length === 0), true);
});

Deno.test("sampleQueues() joins what writeStatistics() wrote in the same minute, in either order", async () => {
  await using db = await testDatabase();
  await insertTask(db);
  const delta = {
    ...deltaOf([]),
    queues: [{ queue: "default", completed: 2, failed: 0, retried: 0, snoozed: 0, wait: [2] }],
  };
  await writeStatistics(db.store, delta);
  await sampleQueues(db.store);
  await writeStatistics(db.store, delta);

  const rows = await db.sql`SELECT sum(completed)::int AS completed, max(due) AS due FROM firefly.queue_minute`;
  assertEquals({ ...rows[0] }, { completed: 4, due: 1 });
});

Deno.test("sampleQueues() leaves its turn to a later call while another transaction holds it", async () => {
  await using db = await testDatabase();
  await db.sql.begin(async (sql) => {
    await sql`SELECT FROM firefly.retention FOR UPDATE`;
    assertEquals(await sampleQueues(db.store), false);
  });
  assertEquals(await sampleQueues(db.store), true);
});

Deno.test("forgetStatistics() deletes minutes of tasks after 48 hours, of queues after 30 days, and errors that no failed task has", async () => {
  await using db = await testDatabase();
  await db.sql`
    INSERT INTO firefly.task_minute (minute, queue, func_name)
    SELECT now() - make_interval(hours => hours), 'q', 'f' FROM unnest(ARRAY[0, 47, 49]) AS hours
  `;
  await db.sql`
    INSERT INTO firefly.queue_minute (minute, queue)
    SELECT now() - make_interval(days => days), 'q' FROM unnest(ARRAY[0, 29, 31]) AS days
  `;
  await db.sql`
    INSERT INTO firefly.error_group
    SELECT id, 'q', 'f', 'Error', 'no', now() - interval '9 days', now() - make_interval(hours => hours), 1, 1
    FROM (VALUES (1, 47), (2, 49), (3, 49)) AS error (id, hours)
  `;
  await db.sql`INSERT INTO firefly.failed_task VALUES (1, now(), 'q', 'f', 3)`;

  await forgetStatistics(db.store);

  const [row] = await db.sql`
    SELECT (SELECT count(*)::int FROM firefly.task_minute) AS tasks, (SELECT count(*)::int FROM firefly.queue_minute) AS queues,
      (SELECT array_agg(fingerprint::int ORDER BY fingerprint) FROM firefly.error_group) AS errors
  `;
  assertEquals({ ...row }, { tasks: 2, queues: 2, errors: [1, 3] });
});
