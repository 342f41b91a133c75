import { assert, assertEquals, assertThrows } from "@std/assert";
import { current, Fail, Firefly, Retry, task } from "../../mod.ts";
import { Statistics } from "../../src/statistics/statistics.ts";
import type { ClaimedRun } from "../../src/store/claimed_task.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { insertTask } from "../support/records.ts";

/** The sums over all minutes, which may be two if one has just begun. */
async function queueSums(db: TestDatabase): Promise<Record<string, unknown>[]> {
  const rows = await db.sql`
    SELECT queue, sum(completed)::int AS completed, sum(failed)::int AS failed, sum(retried)::int AS retried,
      sum(snoozed)::int AS snoozed, (SELECT sum(n)::int FROM firefly.queue_minute AS q, unnest(wait) AS n
        WHERE q.queue = queue_minute.queue) AS waits
    FROM firefly.queue_minute GROUP BY queue ORDER BY queue
  `;
  return rows.map((row) => ({ ...row }));
}

async function taskSums(db: TestDatabase, funcName: string): Promise<Record<string, unknown>> {
  const [row] = await db.sql`
    SELECT sum(completed)::int AS completed, sum(failed)::int AS failed, sum(retried)::int AS retried,
      (SELECT sum(n)::int FROM firefly.task_minute AS t, unnest(run) AS n WHERE t.func_name = ${funcName}) AS runs
    FROM firefly.task_minute WHERE func_name = ${funcName}
  `;
  return { ...row };
}

/** How many of a histogram, over all minutes, are in buckets from `first` on. */
async function countFrom(db: TestDatabase, column: "wait" | "run", first: number): Promise<number> {
  const [row] = column === "wait"
    ? await db
      .sql`SELECT sum(n)::int AS n FROM firefly.queue_minute, unnest(wait) WITH ORDINALITY AS b (n, place) WHERE place > ${first}`
    : await db
      .sql`SELECT sum(n)::int AS n FROM firefly.task_minute, unnest(run) WITH ORDINALITY AS b (n, place) WHERE place > ${first}`;
  return row!.n ?? 0;
}

const NAMES = {
  atOnce: taskName(),
  inTransaction: taskName(),
  failing: taskName(),
  refusing: taskName(),
  snoozing: taskName(),
  sleeping: taskName(),
};
const atOnce = task({ name: NAMES.atOnce }, () => 1);
const inTransaction = task({ name: NAMES.inTransaction, queue: "mail" }, async () => {
  await current().sql`SELECT 1`;
});
const failing = task({ name: NAMES.failing, maxRetries: 1, retryDelay: 0 }, (id: number) => {
  throw new TypeError(`no user ${id}`);
});
const refusing = task({ name: NAMES.refusing }, () => {
  throw new Fail("never");
});
let naps = 0;
const snoozing = task({ name: NAMES.snoozing }, async () => {
  if (naps++ === 0) throw new Retry({ delay: 0 });
  await Promise.resolve();
});
task({ name: NAMES.sleeping }, () => new Promise((resolve) => setTimeout(resolve, 120)));

Deno.test("a consumer writes what its attempts did when it stops", async () => {
  naps = 0;
  await using test = await testInstance();
  await test.ff.migrate();
  await test.ff.run(async () => {
    await atOnce.scheduleMany(Array.from({ length: 25 }, () => [] as []));
    for (let i = 0; i < 3; i++) await inTransaction.schedule();
    await failing.schedule(4711);
    await refusing.schedule();
    await snoozing.schedule();
  });

  await test.drain({ concurrency: 5 });

  assertEquals(await queueSums(test.db), [
    { queue: "default", completed: 26, failed: 2, retried: 1, snoozed: 1, waits: 30 },
    { queue: "mail", completed: 3, failed: 0, retried: 0, snoozed: 0, waits: 3 },
  ]);
  assertEquals(await taskSums(test.db, NAMES.atOnce), { completed: 25, failed: 0, retried: 0, runs: 25 });
  assertEquals(await taskSums(test.db, NAMES.inTransaction), { completed: 3, failed: 0, retried: 0, runs: 3 });
  assertEquals(await taskSums(test.db, NAMES.failing), { completed: 0, failed: 1, retried: 1, runs: 2 });
  assertEquals(await taskSums(test.db, NAMES.snoozing), { completed: 1, failed: 0, retried: 0, runs: 2 });
});

Deno.test("a consumer counts from when a task was due to its start, and how long its handler ran", async () => {
  await using test = await testInstance();
  await test.ff.migrate();
  const due = (seconds: number) => new Date(Date.now() - seconds * 1000);
  for (let i = 0; i < 3; i++) await insertTask(test.db, { func_name: NAMES.sleeping, not_before: due(200) });
  await insertTask(test.db, { func_name: NAMES.atOnce });
  // A single statement of many, so that they are one run.
  await test.db.sql`
    INSERT INTO firefly.task (func_name, not_before)
    SELECT ${NAMES.atOnce}, now() - interval '1 hour' FROM generate_series(1, 20)
  `;

  await test.drain();

  // 178 s to 316 s is the bucket of index 22, 3,162 s to 5,623 s that of 27.
  assertEquals([await countFrom(test.db, "wait", 22), await countFrom(test.db, "wait", 27)], [23, 20]);
  // 100 ms to 178 ms is that of 9.
  assertEquals(await countFrom(test.db, "run", 9) >= 3, true);
  assertEquals(await countFrom(test.db, "run", 0), 24);
});

Deno.test("a consumer groups errors that are alike, with the last message, and failed tasks have the same fingerprint", async () => {
  await using test = await testInstance();
  await test.ff.migrate();
  await test.ff.run(async () => {
    for (const id of [1, 22, 333]) await failing.schedule(id);
    await refusing.schedule();
  });

  await test.drain({ concurrency: 1 });

  const groups = await test.db.sql`
    SELECT func_name, name, message, attempts::int, queue, first <= last AS ordered,
      (SELECT count(*)::int FROM firefly.failed_task WHERE failed_task.fingerprint = error_group.fingerprint) AS tasks
    FROM firefly.error_group ORDER BY attempts DESC
  `;
  assertEquals(groups.map(({ message: _, ...row }) => row), [
    { func_name: NAMES.failing, name: "TypeError", attempts: 6, queue: "default", ordered: true, tasks: 3 },
    { func_name: NAMES.refusing, name: "Fail", attempts: 1, queue: "default", ordered: true, tasks: 1 },
  ]);
  assert(/^no user \d+$/.test(groups[0]!.message), groups[0]!.message);
});

Deno.test("with statistics: false, a consumer writes none, and lists failed tasks all the same", async () => {
  await using test = await testInstance({ statistics: false });
  await test.ff.migrate();
  await test.ff.run(async () => {
    await atOnce.schedule();
    await refusing.schedule();
  });

  await test.drain();

  const [row] = await test.db.sql`
    SELECT (SELECT count(*)::int FROM firefly.queue_minute) AS queues, (SELECT count(*)::int FROM firefly.task_minute) AS tasks,
      (SELECT count(*)::int FROM firefly.error_group) AS errors, (SELECT count(*)::int FROM firefly.failed_task) AS failed
  `;
  assertEquals({ ...row }, { queues: 0, tasks: 0, errors: 0, failed: 1 });
});

Deno.test("an instance refuses statistics that is neither true nor false", () => {
  assertThrows(() => new Firefly({ statistics: "no" as never }), TypeError, '"statistics" must be true or false');
});

/** An attempt as Statistics counts it. */
function attemptOf(run: Partial<ClaimedRun> = {}, { began = 100, ran = 5 } = {}) {
  return { task: { run: { queue: "default", funcName: "f", due: 0, ...run } as ClaimedRun }, began, ran };
}

Deno.test("Statistics counts attempts that are alike and in a row as often as they come", async () => {
  await using db = await testDatabase();
  const statistics = new Statistics(db.store);
  const alike = attemptOf();
  for (let i = 0; i < 10; i++) statistics.count(alike, "completed");
  for (const outcome of ["failed", "failed", "retried", "snoozed", "returned", "lost", "cancelled"] as const) {
    statistics.count(alike, outcome);
  }
  statistics.count({ ...alike, ran: 50 }, "completed");
  statistics.count(attemptOf({ funcName: "g" }), "completed");

  await statistics.write();

  assertEquals(await queueSums(db), [
    { queue: "default", completed: 12, failed: 2, retried: 1, snoozed: 2, waits: 17 },
  ]);
  assertEquals(await taskSums(db, "f"), { completed: 11, failed: 2, retried: 1, runs: 16 });
  assertEquals(await taskSums(db, "g"), { completed: 1, failed: 0, retried: 0, runs: 1 });
});

Deno.test("the counts of two consumers add up", async () => {
  await using db = await testDatabase();
  const both = [new Statistics(db.store), new Statistics(db.store)];
  for (let round = 1; round <= 3; round++) {
    both[0]!.count(attemptOf({}, { ran: 0 }), "completed");
    both[1]!.count(attemptOf({}, { ran: 1000 * round }), "completed");
    for (const statistics of both) {
      statistics.countCrash({ id: round, queue: "default", funcName: "f", name: "Error", message: `no ${round}` });
    }
    await Promise.all(both.map((statistics) => statistics.write()));
  }

  assertEquals(await queueSums(db), [
    { queue: "default", completed: 6, failed: 6, retried: 0, snoozed: 0, waits: 6 },
  ]);
  assertEquals(await taskSums(db, "f"), { completed: 6, failed: 6, retried: 0, runs: 6 });
  assertEquals([await countFrom(db, "run", 13), await countFrom(db, "run", 14)], [3, 2]);
  const [group] = await db.sql`SELECT attempts::int, last_task_id::int, message FROM firefly.error_group`;
  assertEquals({ ...group }, { attempts: 6, last_task_id: 3, message: "no 3" });
});

Deno.test("Statistics writes with the next write what it could not write", async () => {
  await using db = await testDatabase();
  const statistics = new Statistics(db.store);
  statistics.count(attemptOf(), "completed");
  await db.sql`ALTER TABLE firefly.queue_minute RENAME TO away`;
  const failed = await statistics.write().then(() => false, () => true);
  await db.sql`ALTER TABLE firefly.away RENAME TO queue_minute`;
  statistics.count(attemptOf(), "completed");

  await statistics.write();
  await statistics.write();

  assertEquals([failed, (await queueSums(db))[0]!.completed], [true, 2]);
});
