import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import postgres from "postgres";
import { Firefly, type Queryable, task, type TaskRecord } from "../../mod.ts";
import { chunksOf, insertTasks, type NewTask, scheduleUnique } from "../../src/store/schedule.ts";
import { testDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { notificationsOf } from "../support/notifications.ts";
import { placesOf, recordOf } from "../support/records.ts";

/** A task as `schedule()` hands it to the store. */
function newTask(columns: Partial<NewTask> = {}): NewTask {
  return {
    func_name: "test.task",
    queue: "default",
    params: "W10=",
    priority: 0,
    not_before: null,
    delay: null,
    max_retries: null,
    retry_delay: null,
    backoff: null,
    timeout: null,
    tags: [],
    ...columns,
  };
}

Deno.test("insertTasks() gives ids in the order of its tasks, and stores every column", async () => {
  await using db = await testDatabase();
  const tasks = Array.from({ length: 3000 }, (_, i) => newTask({ priority: i }));

  const inserted = await insertTasks(db.store, tasks);

  assertEquals(inserted.map(({ id }) => Number(id)), tasks.map((_, i) => i + 1));
  const rows = await db.sql`SELECT priority FROM firefly.task ORDER BY id`;
  assertEquals(rows.map(({ priority }) => priority), tasks.map(({ priority }) => priority));

  const full = newTask({
    queue: "mail",
    params: "WzFd",
    max_retries: 3,
    retry_delay: 1.5,
    backoff: { kind: "linear", delay: 1 },
    timeout: 30,
    tags: ["a", 'b"{},\\'],
  });
  const [stored] = await insertTasks(db.store, [full]);
  const { not_before: _, delay: __, ...columns } = full;
  const record = await recordOf(db, Number(stored!.id));
  assertEquals(Object.fromEntries(Object.keys(columns).map((column) => [column, record[column]])), columns as never);
});

Deno.test("insertTasks() sends shared columns once, and stores every column of each task", async () => {
  await using db = await testDatabase();
  const alike: Partial<NewTask> = {
    queue: "mail",
    priority: 7,
    max_retries: 3,
    retry_delay: 1.5,
    backoff: { kind: "linear", delay: 1 },
    timeout: 30,
    tags: ["a", 'b"{},\\'],
    concurrency_key: "c",
    rate_key: "r",
  };
  const params = Array.from({ length: 3000 }, (_, i) => btoa(`[${i}]`));

  const inserted = await insertTasks(db.store, params.map((params) => newTask({ ...alike, params })));

  assertEquals(inserted.map(({ id }) => Number(id)), params.map((_, i) => i + 1));
  const rows = await db.sql`SELECT params FROM firefly.task ORDER BY id`;
  assertEquals(rows.map((row) => row.params), params);
  const record = await recordOf(db, 3000);
  assertEquals(Object.fromEntries(Object.keys(alike).map((column) => [column, record[column]])), alike);
  assertEquals([inserted[7]!.created, inserted[7]!.not_before], [record.created, record.not_before] as Date[]);
  assert(inserted[0]!.created !== inserted[1]!.created, "a Date that can be set is no other record's");
});

Deno.test("insertTasks() keeps a column in which one task of many differs", async () => {
  await using db = await testDatabase();
  const future = new Date(Date.now() + 3_600_000);
  const own: Partial<NewTask>[] = [
    { func_name: "test.other" },
    { queue: "mail" },
    { priority: 1 },
    { max_retries: 2 },
    { retry_delay: 3 },
    { backoff: { kind: "linear", delay: 1 } },
    { timeout: 4 },
    { tags: ["a"] },
    { concurrency_key: "c" },
    { rate_key: "r" },
    { not_before: future.toISOString() },
    { delay: 3600 },
  ];

  for (const columns of own) {
    const tasks = Array.from({ length: 20 }, (_, i) => newTask(i === 13 ? columns : {}));
    const ids = (await insertTasks(db.store, tasks)).map(({ id }) => Number(id));
    const [column, value] = Object.entries(columns)[0]!;
    const read = await Promise.all([ids[12]!, ids[13]!].map((id) => recordOf(db, id)));
    if (column === "not_before" || column === "delay") {
      const later = Number(read[1]!.not_before) - Number(read[0]!.not_before);
      assert(later > 3_500_000, `${column}: ${later} ms`);
    } else {
      assertEquals(read[1]![column], value, column);
      assert(JSON.stringify(read[0]![column]) !== JSON.stringify(value), column);
    }
  }
});

Deno.test("chunksOf() cuts by rows and by size, keeps the order, and never makes an empty chunk", () => {
  const tasks = (sizes: number[]) => sizes.map((size, i) => ({ priority: i, params: "x".repeat(size) }) as NewTask);
  const shape = (sizes: number[]) => [...chunksOf(tasks(sizes))].map((chunk) => chunk.map(({ priority }) => priority));
  const MiB = 1024 * 1024;

  assertEquals(shape([]), []);
  assertEquals(shape([1, 1]), [[0, 1]]);
  assertEquals(shape([9 * MiB, 9 * MiB, 1]), [[0], [1], [2]]);
  assertEquals(shape([5 * MiB, 3 * MiB, 1, 1]), [[0, 1], [2, 3]]);
  assertEquals([...chunksOf(tasks(Array(12_000).fill(1)))].map((chunk) => chunk.length), [5000, 5000, 2000]);
});

Deno.test("insertTasks() counts a delay from now, by the database's clock, even in an old transaction", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const later = task(taskName(), () => {});

  const row = await ff.transaction(async (sql) => {
    await sql`SELECT pg_sleep(0.3)`; // what is measured is the age of the transaction
    const [{ clock }] = await sql<{ clock: Date }>`SELECT clock_timestamp() AS clock` as [{ clock: Date }];
    const row = await later.with({ delay: 10 }).schedule();
    assert(Number(row.notBefore) - Number(clock) >= 10_000, `${Number(row.notBefore) - Number(clock)} ms`);
    return row;
  });

  const [waits] = await db
    .sql`SELECT extract(epoch FROM not_before - clock_timestamp())::float AS left FROM firefly.task`;
  assert(waits!.left > 5 && waits!.left <= 10, `${waits!.left} s`);
  assertEquals(await placesOf(db), { ready: 0, waiting: 1, claimBatches: 0 });
  assertEquals((await row.refresh()).notBefore, row.notBefore);
});

Deno.test("insertTasks() and scheduleUnique() read times past the year 9999", async () => {
  await using db = await testDatabase();
  const delay = 10_000 * 365.25 * 86_400;
  const tasks = Array.from({ length: 8 }, () => newTask({ delay }));
  const unique = { ...tasks[0]!, unique_key: "k", unique_among: null, unique_for: null, on_conflict: "keep" } as const;

  const inserted = [
    ...await insertTasks(db.store, tasks),
    ...await insertTasks(db.store, tasks.slice(1)),
    ...await scheduleUnique(db.store, [unique]),
  ];

  for (const { id, not_before } of inserted) assertEquals((await recordOf(db, Number(id))).not_before, not_before);
  assertEquals(inserted.every(({ not_before }) => not_before.getUTCFullYear() > 12_000), true);
});

Deno.test("insertTasks() makes tasks ready that may start now: no delay, a delay of 0, a time that has passed", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const work = task(taskName(), () => {});

  await ff.run(async () => {
    await work.schedule();
    await work.with({ delay: 0 }).schedule();
    await work.with({ notBefore: new Date(0) }).schedule();
    assertEquals(await placesOf(db), { ready: 3, waiting: 0, claimBatches: 0 });
    const at = new Date(Date.now() + 3_600_000);
    assertEquals((await work.with({ notBefore: at }).schedule()).notBefore, at);
  });

  assertEquals(await placesOf(db), { ready: 3, waiting: 1, claimBatches: 0 });
});

Deno.test("an INSERT notifies once for each queue, whatever it inserts, and only with its transaction", async () => {
  await using db = await testDatabase();
  const channels = ["firefly_default", "firefly_mail", "firefly_other"];
  const future = new Date(Date.now() + 3_600_000);

  const notifications = await notificationsOf(db, channels, async () => {
    await insertTasks(db.store, [
      ...Array.from({ length: 200 }, () => newTask()),
      newTask({ queue: "mail" }),
      newTask({ queue: "mail", not_before: future.toISOString() }),
    ]);
  });
  assertEquals(notifications.sort(), ["firefly_default", "firefly_mail"]);

  const failed = await notificationsOf(db, channels, () =>
    db.sql.begin(async (sql) => {
      await sql`INSERT INTO firefly.task (func_name) VALUES ('test.task')`;
      throw new Error("undone");
    }).catch(() => {}));
  assertEquals(failed, []);
  assertEquals(await placesOf(db), { ready: 201, waiting: 1, claimBatches: 0 });
});

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

/** Schedules through a client of the user's in a transaction that is rolled back, and in one that commits. */
async function assertJoins(
  test: Awaited<ReturnType<typeof testInstance>>,
  inTransaction: <T>(act: (tx: postgres.TransactionSql | Queryable) => Promise<T>) => Promise<T>,
): Promise<void> {
  const work = task(taskName(), (n: number) => n);
  const at = new Date(Date.now() + 3_600_000);
  const { db, ff } = test;
  const before = await placesOf(db);
  await assertRejects(() =>
    inTransaction(async (tx) => {
      await ff.run(() => work.with({ tx }).schedule(0));
      throw new RangeError("undone");
    }), RangeError);

  const rows = await inTransaction(async (tx) => {
    const rows: TaskRecord[] = [
      await ff.run(() => work.with({ tx, delay: "1h", tags: ["a'b"] }).schedule(1)),
      ...await ff.run(() => work.with({ tx, notBefore: at }).scheduleMany([[2], [3]])),
      // So many that they share a statement with one text for all.
      ...await ff.run(() =>
        work.with({ tx, tags: ["a'b", '{"'] }).scheduleMany(Array.from({ length: 9 }, (_, i) => [i + 4]))
      ),
    ];
    assertEquals(await placesOf(db), before);
    return rows;
  });

  for (const [i, row] of rows.entries()) {
    const read = await row.refresh();
    assertEquals([read.params, read.notBefore, read.created], [[i + 1], row.notBefore, row.created]);
    assertEquals(JSON.stringify(read), JSON.stringify(row));
  }
}

Deno.test("with({ tx }) schedules in a transaction of postgres.js, however it names its columns", async () => {
  await using test = await testInstance();
  await using client = disposable(postgres(test.db.url, { max: 1 }));
  await using camel = disposable(postgres(test.db.url, { max: 1, transform: postgres.camel }));
  await using untyped = disposable(postgres(test.db.url, { max: 1, fetch_types: false, prepare: false }));

  await assertJoins(test, (act) => client.sql.begin((tx) => act(tx)) as never);
  await assertJoins(test, (act) => camel.sql.begin((tx) => act(tx)) as never);
  await assertJoins(test, (act) => untyped.sql.begin((tx) => act(tx)) as never);
});

Deno.test("with({ tx }) schedules through any client that can query, however it parses times", async () => {
  await using test = await testInstance();
  // Times as the server writes them: as some clients are told to leave them.
  const types = { time: { to: 1184, from: [1184], serialize: String, parse: (text: string) => text } };
  await using client = disposable(postgres(test.db.url, { max: 1, types }));

  await assertJoins(test, (act) =>
    client.sql.begin((tx) =>
      act({
        async query(text, params) {
          return [...await tx.unsafe(text, params as string[])];
        },
      })
    ) as never);
});

Deno.test("with({ tx }) schedules into another schema", async () => {
  await using test = await testInstance();
  await using jobs = new Firefly({ database: test.db.url, schema: 'Jo"bs' });
  await jobs.migrate();
  const work = task(taskName(), () => {});

  await test.db.sql.begin(async (tx) => {
    await jobs.run(async () => await work.with({ tx }).schedule());
  });

  assertEquals((await test.db.sql`SELECT FROM ${test.db.sql('Jo"bs')}.ready`).length, 1);
  assertEquals((await placesOf(test.db)).ready, 0);
});

Deno.test("with({ tx }) rejects when the client does not return what it inserted", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => {});
  const tx: Queryable = { query: () => Promise.resolve([]) };

  await assertRejects(
    async () => await test.ff.run(() => work.with({ tx }).schedule()),
    Error,
    "the client returned 0 rows for 1 tasks",
  );
});

function disposable(sql: postgres.Sql): AsyncDisposable & { sql: postgres.Sql } {
  return { sql, [Symbol.asyncDispose]: () => sql.end() };
}
