import { assert, assertEquals } from "@std/assert";
import { task } from "../../mod.ts";
import { insertTasks } from "../../src/store/insert.ts";
import type { NewTask } from "../../src/store/new_task.ts";
import { chunksOf, scheduleUnique } from "../../src/store/schedule.ts";
import { testDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { notificationsOf } from "../support/notifications.ts";
import { newTask } from "../support/new_task.ts";
import { placesOf, recordOf } from "../support/records.ts";

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
