import { assertEquals } from "@std/assert";
import type { QueueSettings } from "../../src/task/queue_options.ts";
import { pruneTasks, readBounds, storeRetention } from "../../src/store/prune.ts";
import { storeQueues } from "../../src/store/queues.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { backends } from "../support/statements.ts";
import { until } from "../support/waiting.ts";

const DAY = 86_400;
const UNSAID = { completed: null, failed: null };

/** Records that ended so many days ago, and were created an hour before. */
async function ended(
  db: TestDatabase,
  { status = "completed", days = 0, count = 1, name = "test.task", queue = "default" } = {},
): Promise<number[]> {
  const rows = await db.sql`
    INSERT INTO firefly.task (func_name, queue, status, created, completed, failed, cancelled)
    SELECT ${name}, ${queue}, ${status}, at - interval '1 hour', CASE WHEN ${status} = 'completed' THEN at END,
      CASE WHEN ${status} = 'failed' THEN at END, CASE WHEN ${status} = 'cancelled' THEN at END
    FROM (SELECT now() - make_interval(secs => ${days * DAY}) AS at) AS ended, generate_series(1, ${count})
    RETURNING id
  `;
  return rows.map(({ id }) => Number(id));
}

async function left(db: TestDatabase): Promise<number[]> {
  return (await db.sql`SELECT id FROM firefly.task ORDER BY id`).map(({ id }) => Number(id));
}

Deno.test("pruneTasks() deletes completed records after 7 days, failed and cancelled ones after 30, and no others", async () => {
  await using db = await testDatabase();
  await ended(db, { days: 7.1 });
  const kept = [
    ...await ended(db, { days: 6.9 }),
    ...await ended(db, { status: "failed", days: 29.9 }),
    ...await ended(db, { status: "cancelled", days: 29.9 }),
  ];
  await ended(db, { status: "failed", days: 30.1 });
  await ended(db, { status: "cancelled", days: 30.1 });
  const [waiting] = await db.sql`
    INSERT INTO firefly.task (func_name, created) VALUES ('test.task', now() - interval '1 year') RETURNING id
  `;

  assertEquals(await pruneTasks(db.store, { after: null }), { pruned: 3, full: false, last: null });

  assertEquals(await left(db), [...kept, Number(waiting!.id)]);
});

Deno.test("pruneTasks() applies the retention of the task, else of its queue, else the default", async () => {
  await using db = await testDatabase();
  await storeRetention(db.store, { completed: 1 * DAY, failed: null });
  await storeQueues(db.store, [
    { name: "slow", retention: { completed: 3 * DAY, failed: 5 * DAY }, notify: null },
    { name: "audit", retention: { completed: Infinity, failed: Infinity }, notify: null },
  ]);
  await db.sql`
    INSERT INTO firefly.definition (func_name, retain_completed, retain_failed)
    VALUES ('test.short', 0, NULL), ('test.kept', 'Infinity', 'Infinity')
  `;
  const cases: [kept: boolean, record: Parameters<typeof ended>[1]][] = [
    [false, { days: 1.1 }],
    [true, { days: 0.9 }],
    [true, { days: 29, status: "failed" }],
    [true, { days: 2.9, queue: "slow" }],
    [false, { days: 3.1, queue: "slow" }],
    [false, { days: 5.1, queue: "slow", status: "cancelled" }],
    [true, { days: 9000, queue: "audit" }],
    [true, { days: 9000, queue: "audit", status: "failed" }],
    [false, { days: 0.01, queue: "audit", name: "test.short" }],
    [true, { days: 9000, queue: "audit", name: "test.short", status: "failed" }],
    [true, { days: 9000, queue: "slow", name: "test.kept" }],
  ];
  const expected: number[] = [];
  for (const [kept, record] of cases) {
    const ids = await ended(db, record);
    if (kept) expected.push(...ids);
  }

  assertEquals((await pruneTasks(db.store, { after: null })).pruned, cases.length - expected.length);

  assertEquals(await left(db), expected);
});

Deno.test("pruneTasks() applies a given retention in place of the default, and of nothing else", async () => {
  await using db = await testDatabase();
  await db.sql`INSERT INTO firefly.definition (func_name, retain_completed) VALUES ('test.kept', 'Infinity')`;
  const kept = await ended(db, { days: 2, name: "test.kept" });
  await ended(db, { days: 2 });
  const failed = await ended(db, { days: 2, status: "failed" });
  const request = { after: 0, retention: { completed: DAY, failed: null } };

  assertEquals((await pruneTasks(db.store, { ...request, dryRun: true })).pruned, 1);
  assertEquals((await left(db)).length, 3);
  assertEquals((await pruneTasks(db.store, request)).pruned, 1);
  assertEquals(await left(db), [...kept, ...failed]);
});

Deno.test("pruneTasks() keeps all records if the default retention is infinite", async () => {
  await using db = await testDatabase();
  await storeRetention(db.store, { completed: Infinity, failed: Infinity });
  await ended(db, { days: 9000 });

  assertEquals(await pruneTasks(db.store, { after: null }), { pruned: 0, full: false, last: null });
  assertEquals((await left(db)).length, 1);
});

Deno.test("pruneTasks() deletes 1,000 records a statement, and continues where it stopped", async () => {
  await using db = await testDatabase();
  await ended(db, { days: 8, count: 2300 });
  const batches = [];
  for (let i = 0; i < 3; i++) batches.push(await pruneTasks(db.store, { after: null }));

  assertEquals(batches, [
    { pruned: 1000, full: true, last: 1000 },
    { pruned: 1000, full: true, last: 2000 },
    { pruned: 300, full: false, last: null },
  ]);
  assertEquals((await db.sql`SELECT prune_cursor FROM firefly.retention`)[0]!.prune_cursor, "0", "it begins anew");
});

Deno.test("pruneTasks() examines 5,000 records a statement, rests, and stops at records that are too young", async () => {
  await using db = await testDatabase();
  await ended(db, { days: 8, status: "failed", count: 5000 });
  const [old] = await ended(db, { days: 8 });
  await ended(db, { count: 6000 });

  assertEquals(await pruneTasks(db.store, { after: null }), { pruned: 0, full: false, last: 5000 });
  assertEquals(await pruneTasks(db.store, { after: null }), { pruned: 0, full: false, last: null }, "it rests");
  await db.sql`UPDATE firefly.retention SET next_prune = now()`;
  assertEquals(await pruneTasks(db.store, { after: null }), { pruned: 1, full: false, last: null });
  assertEquals(await pruneTasks(db.store, { after: old! - 1 }), { pruned: 0, full: false, last: null });
});

Deno.test("pruneTasks() of two consumers at once: one prunes, and the other does not wait", async () => {
  await using db = await testDatabase();
  await ended(db, { days: 8, count: 10 });

  await db.sql.begin(async (sql) => {
    await sql`SELECT FROM firefly.retention FOR UPDATE`;
    assertEquals(await pruneTasks(db.store, { after: null }), { pruned: 0, full: false, last: null });
  });

  assertEquals((await pruneTasks(db.store, { after: null })).pruned, 10);
});

Deno.test("pruneTasks() skips a record that another transaction has locked, and deletes it on the next walk", async () => {
  await using db = await testDatabase();
  const [held] = await ended(db, { days: 8, count: 3 });

  await db.sql.begin(async (sql) => {
    await sql`SELECT FROM firefly.task WHERE id = ${held!} FOR UPDATE`;
    assertEquals((await pruneTasks(db.store, { after: null })).pruned, 2);
  });

  assertEquals(await left(db), [held]);
  assertEquals((await pruneTasks(db.store, { after: 0 })).pruned, 1);
});

Deno.test("pruneTasks() leaves a record that was retried since its statement began", async () => {
  await using db = await testDatabase();
  const [blocking] = await ended(db, { days: 31, status: "failed" });
  const [retried] = await ended(db, { days: 31, status: "failed" });
  // Deleting the first record waits, and the statement's snapshot is taken by then.
  await db.sql.unsafe(`
    CREATE FUNCTION wait_for_test() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_advisory_xact_lock(42); RETURN OLD; END $$;
    CREATE TRIGGER wait_for_test BEFORE DELETE ON firefly.task FOR EACH ROW EXECUTE FUNCTION wait_for_test();
  `);
  let pruning: ReturnType<typeof pruneTasks>;

  await db.sql.begin(async (sql) => {
    await sql`SELECT pg_advisory_xact_lock(42)`;
    pruning = pruneTasks(db.store, { after: 0 });
    await until(async () => await backends(db, "active", "Lock") > 0);
    await db.sql`SELECT firefly.retry(${retried!})`;
  });

  assertEquals((await pruning!).pruned, 1);
  assertEquals(await left(db), [retried], `${blocking} is gone`);
});

Deno.test("storeRetention() and storeQueues() leave settings that are not given, and a queue's pause", async () => {
  await using db = await testDatabase();
  await db.sql`SELECT firefly.pause('mail')`;
  const mail = (completed: number | null, failed: number | null, notify: QueueSettings["notify"]) =>
    storeQueues(db.store, [{ name: "mail", retention: { completed, failed }, notify }]);

  await storeRetention(db.store, { completed: 60, failed: null });
  await storeRetention(db.store, UNSAID);
  await mail(1, 2, "always");
  await mail(5, null, null);
  await storeQueues(db.store, [{ name: "slow", retention: { completed: 3, failed: Infinity }, notify: null }]);

  const [all] = await db.sql`SELECT retain_completed, retain_failed FROM firefly.retention`;
  assertEquals({ ...all }, { retain_completed: 60, retain_failed: 30 * DAY });
  const queues = await db.sql`
    SELECT name, paused, retain_completed, retain_failed, notify FROM firefly.queue ORDER BY name
  `;
  assertEquals(queues.map((row) => Object.values(row)), [
    ["mail", true, 5, 2, "always"],
    ["slow", false, 3, Infinity, null],
  ]);
  await mail(null, null, "asleep");
  assertEquals((await db.sql`SELECT notify FROM firefly.queue WHERE name = 'mail'`)[0]!.notify, "asleep");
});

Deno.test("readBounds() reads the first and the last id", async () => {
  await using db = await testDatabase();

  assertEquals(await readBounds(db.records), null);
  await ended(db, { count: 3 });
  assertEquals(await readBounds(db.records), { first: 1, last: 3 });
});
