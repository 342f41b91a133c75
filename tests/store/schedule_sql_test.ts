import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import type postgres from "postgres";
import { Firefly, task } from "../../mod.ts";
import { testDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { notificationsOf } from "../support/notifications.ts";
import { placesOf, recordOf } from "../support/records.ts";

Deno.test("a plain INSERT is a scheduled task like any other", async () => {
  await using test = await testInstance();
  const echo = task(taskName(), (...values: unknown[]) => values);
  const { db } = test;

  await db.sql.unsafe(`
    INSERT INTO firefly.task (func_name) VALUES ('${echo.funcName}');
    INSERT INTO firefly.task (func_name, params) VALUES ('${echo.funcName}', firefly.encode('[1, {"a": "é"}]'));
    INSERT INTO firefly.task (func_name, status) VALUES ('${echo.funcName}', 'completed');
    INSERT INTO firefly.task (func_name) SELECT '${echo.funcName}' WHERE false;
  `);
  assertEquals(await placesOf(db), { ready: 2, waiting: 0, claimBatches: 0 });
  assertEquals(await test.drain({ tasks: [echo] }), { completed: 2, failed: 0 });

  const rows = await db.sql`SELECT returned, max_retries, retry_delay FROM firefly.task_json WHERE id < 3 ORDER BY id`;
  assertEquals(rows.map((row) => row.returned), [[], [1, { a: "é" }]]);
  assertEquals([rows[0]!.max_retries, rows[0]!.retry_delay], [null, null]);
});

Deno.test("firefly.schedule() takes each argument by name, and NULL for its default", async () => {
  await using db = await testDatabase();
  const { sql } = db;
  const idOf = async (rows: Promise<postgres.Row[]>) => Number((await rows)[0]!.id);

  const plain = await idOf(sql`SELECT firefly.schedule('test.task') AS id`);
  const nulls = await idOf(
    sql`SELECT firefly.schedule('test.task', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL) AS id`,
  );
  const full = await idOf(sql`
    SELECT firefly.schedule(
      'test.task', params => '[1, "zwei", {"$": "Date"}]', queue => 'mail', not_before => '2100-01-01', priority => -3,
      max_retries => 7, retry_delay => 0.5, timeout => 30, tags => ARRAY['a', 'b']
    ) AS id
  `);

  for (const id of [plain, nulls]) {
    const { queue, params, priority, max_retries, retry_delay, timeout, tags, created, not_before } = await recordOf(
      db,
      id,
    );
    assertEquals(
      { queue, params, priority, max_retries, retry_delay, timeout, tags },
      {
        queue: "default",
        params: btoa("[]"),
        priority: 0,
        max_retries: null,
        retry_delay: null,
        timeout: null,
        tags: [],
      },
    );
    assertEquals(created, not_before);
  }
  const { queue, not_before, priority, max_retries, retry_delay, timeout, tags } = await recordOf(db, full);
  assertEquals(
    { queue, priority, max_retries, retry_delay, timeout, tags },
    { queue: "mail", priority: -3, max_retries: 7, retry_delay: 0.5, timeout: 30, tags: ["a", "b"] },
  );
  assertEquals((not_before as Date).getUTCFullYear() >= 2099, true);
  const [decoded] = await sql`SELECT params FROM firefly.task_json WHERE id = ${full}`;
  assertEquals(decoded!.params, [1, "zwei", { $: "Date" }], "plain data, whatever it looks like");
  assertEquals(await placesOf(db), { ready: 2, waiting: 1, claimBatches: 0 });
});

Deno.test("firefly.schedule() refuses params that are not a list, and leaves the transaction to its caller", async () => {
  await using db = await testDatabase();
  const { sql } = db;
  const failures: [Promise<unknown>, string][] = [
    [sql`SELECT firefly.schedule('a', '{"b": 1}')`, 'Cannot schedule task "a" as params must be a JSON array'],
    [sql`SELECT firefly.schedule('a', '5')`, "current value is of type number"],
    [sql`SELECT firefly.schedule('a', 'null')`, "current value is of type null"],
    [sql`SELECT firefly.schedule(NULL)`, "null value"],
    [sql`SELECT firefly.schedule('')`, "violates check constraint"],
    [sql`SELECT firefly.schedule('a', max_retries => -1)`, "violates check constraint"],
    [sql`SELECT firefly.schedule('a', timeout => 0)`, "violates check constraint"],
    [sql`SELECT firefly.schedule('a', queue => 'Mail')`, "task_queue_name"],
  ];
  for (const [statement, message] of failures) await assertRejects(() => statement, Error, message);

  await sql.begin(async (transaction) => {
    await transaction.savepoint((savepoint) => savepoint`SELECT firefly.schedule('a', '5')`).catch(() => {});
    await transaction`SELECT firefly.schedule('a')`;
  });
  assertEquals(await placesOf(db), { ready: 1, waiting: 0, claimBatches: 0 });
});

Deno.test("queue names are accepted and notified up to the channel's 63 bytes, else refused, in SQL and in TypeScript", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const work = task(taskName(), () => {});
  const good = ["a", "0", "a-b_c.d", "x".repeat(54), "x".repeat(55)]; // "firefly_" and 55 are 63
  const bad = [
    "x".repeat(56),
    "x".repeat(200),
    "é",
    "Mail",
    "a b",
    "a'b",
    'a"b',
    "_a",
    ".a",
    "a:b",
    "",
    'q"; drop table--',
  ];

  const notifications = await notificationsOf(db, good.map((queue) => `firefly_${queue}`), async () => {
    for (const queue of good) {
      await ff.run(() => work.with({ queue }).schedule());
      await db.sql`INSERT INTO firefly.task ${db.sql({ func_name: "test.task", queue })}`;
    }
  });
  assertEquals(notifications, good.flatMap((queue) => [`firefly_${queue}`, `firefly_${queue}`]));

  for (const queue of bad) {
    await assertRejects(
      () => db.sql`INSERT INTO firefly.task ${db.sql({ func_name: "test.task", queue })}`,
      Error,
      "task_queue",
    );
    await assertRejects(
      async () => await ff.run(() => work.with({ queue }).schedule()),
      RangeError,
      "Cannot schedule task",
    );
  }
  assertThrows(() => work.with({ queue: "a\0b" }), RangeError);
  await assertRejects(() => db.sql`INSERT INTO firefly.task ${db.sql({ func_name: "test.task", queue: "a\0b" })}`);
  await using jobs = new Firefly({ database: db.url, schema: "a_longer_schema" });
  await jobs.migrate();
  const over = { queue: "x".repeat(48) };
  await assertRejects(async () => await jobs.run(() => work.with(over).schedule()), RangeError, "would have 64 bytes");
  assertEquals(await jobs.run(async () => (await work.with({ queue: "x".repeat(47) }).schedule()).id), 1);
  assertEquals((await db.sql`SELECT FROM firefly.task`).length, 2 * good.length);
});
