import { assert, assertEquals, assertRejects } from "@std/assert";
import { current, Firefly, task, TaskNotFound, type TaskRecord } from "../../mod.ts";
import { Tasks } from "../../src/records/tasks.ts";
import { noTasks } from "../../src/store/record_counts.ts";
import type { TestDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { claim, claimOne, startConsumer } from "../support/claiming.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { settle } from "../support/settling.ts";
import { backends, counting } from "../support/statements.ts";
import { until } from "../support/waiting.ts";

Deno.test("tasks.list() pages by id, and iterating it goes on to the end", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  await db
    .sql`INSERT INTO firefly.task (func_name, queue) SELECT 'test.task', (ARRAY['a', 'b'])[i % 2 + 1] FROM generate_series(1, 25) AS i`;
  const ids = (records: TaskRecord[]) => records.map(({ id }) => id);

  const first = await ff.tasks.list({ queue: "a" }, { limit: 5 });
  assertEquals([ids(first.items), first.next], [[24, 22, 20, 18, 16], "16"]);
  await insertTask(db, { queue: "a" }); // pages do not shift
  const second = await ff.tasks.list({ queue: "a" }, { limit: 5, after: first.next! });
  assertEquals(ids(second.items), [14, 12, 10, 8, 6]);
  assertEquals((await ff.tasks.list({ queue: "a" }, { limit: 5, after: second.next! })).next, null);
  const all: TaskRecord[] = [];
  for await (const record of first) all.push(record);
  assertEquals(ids(all), [24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2]);
  for await (const record of await ff.tasks.list({}, { limit: 1 })) all.push(record);
  assertEquals(all.length, 12 + 26);
});

Deno.test("tasks.list() examines as many records as it is told, and continues from where it got to", async () => {
  await using test = await testInstance();
  const { db, ff: { tasks } } = test;
  await db.sql`
    INSERT INTO firefly.task (func_name, params)
    SELECT 'test.task', firefly.encode(jsonb_build_array(i % 50)) FROM generate_series(1, 100) AS i
  `;
  await db.sql`DELETE FROM firefly.task WHERE id BETWEEN 60 AND 70`;
  const pages: [ids: number[], next: string | null][] = [];
  for (let after: string | null | undefined; after !== null;) {
    const page = await tasks.list({ params: [7] }, { limit: 1, examine: 20, ...(after ? { after } : {}) });
    pages.push([page.items.map(({ id }) => id), after = page.next]);
  }

  assertEquals(pages, [
    [[], "81"],
    [[], "61"],
    [[57], "57"],
    [[], "37"],
    [[], "17"],
    [[7], "7"],
    [[], null],
  ]);
  const all: number[] = [];
  for await (const { id } of await tasks.list({ params: [7] }, { limit: 10, examine: 5 })) all.push(id);
  assertEquals(all, [57, 7]);
});

Deno.test("tasks refuses filters that it does not know, and ids that are none", async () => {
  await using test = await testInstance();
  const { tasks } = test.ff;

  await assertRejects(() => tasks.list({ queu: "a" } as never), TypeError, 'did you mean "queue"?');
  await assertRejects(() => tasks.delete({ statuss: "failed" } as never), TypeError, 'did you mean "status"?');
  await assertRejects(() => tasks.cancel({ status: "done" as never }), RangeError, 'current value is "done"');
  for (const limit of [0, -1, 1.5, NaN]) await assertRejects(() => tasks.list({}, { limit }), RangeError, '"limit"');
  await assertRejects(() => tasks.list({}, { examine: 0 }), RangeError, '"examine"');
  for (const id of [1.5, NaN, 2 ** 53]) await assertRejects(() => tasks.find(id), TypeError, "must be an integer");
  await assertRejects(() => tasks.list({}, { after: "x" }), RangeError);
});

Deno.test("tasks.cancel(), retry() and delete() touch all that match, in parts, and count them", async () => {
  await using test = await testInstance();
  const { db, ff: { tasks } } = test;
  await db
    .sql`INSERT INTO firefly.task (func_name, queue) SELECT 'test.task', (ARRAY['a', 'b'])[i % 2 + 1] FROM generate_series(1, 4200) AS i`;

  assertEquals(await tasks.cancel({ queue: "a" }), 2100);
  assertEquals(await tasks.cancel({ queue: "a" }), 0);
  assertEquals(await tasks.counts(), {
    a: { ...noTasks(), cancelled: 2100 },
    b: { ...noTasks(), created: 2100, ready: 2100 },
  });
  assertEquals(await tasks.retry({ status: "cancelled" }), 2100);
  const { tasks: claimed } = await claim(db, { consumerId: await startConsumer(db), queues: ["a"], limit: 10 });
  assertEquals([claimed.length, (await tasks.counts()).a!.running], [10, 10]);
  assertEquals(await tasks.delete({ status: "running" }), 10);
  assertEquals(await tasks.delete({ queue: ["a", "b"] }), 4190);
  assertEquals((await db.sql`SELECT FROM firefly.task`).length, 0);
});

Deno.test("get() of a task refuses the record of another, and takes those of its aliases", async () => {
  await using test = await testInstance();
  const old = taskName();
  const [mine, other] = [task({ name: taskName(), aliases: [old] }, () => 1), task(taskName(), () => 2)];
  const aliased = await insertTask(test.db, { func_name: old });

  await test.ff.run(async () => {
    const row = await other.schedule();
    await assertRejects(() => mine.get(row.id), TaskNotFound, `Cannot find task ${row.id} of "${mine.funcName}"`);
    assertEquals((await mine.get(aliased)).id, aliased);
    assertEquals((await mine.list()).items.map(({ id }) => id), [aliased]);
  });
  assertEquals((await recordOf(test.db, aliased)).status, "created");
});

/** A task that failed, and a change that is open while `act` runs and commits once that waits for it. */
async function meanwhile<T>(
  { db }: { db: TestDatabase },
  change: (sql: TestDatabase["sql"], id: number) => Promise<unknown>,
  act: () => Promise<T>,
): Promise<{ id: number; result: T }> {
  const id = await insertTask(db);
  await settle(db, await claimOne(db, await startConsumer(db)), { status: "failed", returned: null });
  let acting: Promise<T>;
  await db.sql.begin(async (sql) => {
    await change(sql as unknown as TestDatabase["sql"], id);
    acting = act();
    await until(async () => await backends(db, "active", "Lock") > 0);
  });
  return { id, result: await acting! };
}

Deno.test("tasks.retry() of failed tasks leaves one that is cancelled at the same moment", async () => {
  await using test = await testInstance();
  const { id, result } = await meanwhile(
    test,
    (sql, id) => sql`UPDATE firefly.task SET status = 'cancelled', claim_seq = claim_seq + 1 WHERE id = ${id}`,
    () => test.ff.tasks.retry({ status: "failed" }),
  );

  assertEquals([result, (await recordOf(test.db, id)).status], [0, "cancelled"]);
});

Deno.test("tasks.retry() takes a task that changed at the same moment if the filter still holds", async () => {
  await using test = await testInstance();
  const { id, result } = await meanwhile(
    test,
    // It was retried, and failed again.
    (sql, id) => sql`UPDATE firefly.task SET failed = now(), claim_seq = claim_seq + 2 WHERE id = ${id}`,
    () => test.ff.tasks.retry({ status: "failed" }),
  );

  assertEquals([result, (await recordOf(test.db, id)).status], [1, "created"]);
});

Deno.test("tasks.delete() of old failures leaves one that fails anew at the same moment", async () => {
  await using test = await testInstance();
  const { id, result } = await meanwhile(
    test,
    (sql, id) =>
      sql`UPDATE firefly.task SET failed = now() + interval '1 hour', claim_seq = claim_seq + 2 WHERE id = ${id}`,
    () => test.ff.tasks.delete({ status: "failed", finishedBefore: new Date(Date.now() + 60_000) }),
  );

  assertEquals([result, (await recordOf(test.db, id)).status], [0, "failed"]);
});

Deno.test("tasks.delete() of a running task aborts its handler, whichever instance runs it", async () => {
  await using test = await testInstance();
  await using elsewhere = new Firefly({ database: test.db.url });
  const [began, aborted] = [Promise.withResolvers<void>(), Promise.withResolvers<unknown>()];
  const work = task(taskName(), async () => {
    const { signal } = current();
    signal.addEventListener("abort", () => aborted.resolve(signal.reason));
    began.resolve();
    await aborted.promise;
  });
  await using consumer = test.ff.consume({ tasks: [work], pollInterval: "60s" });
  await consumer.ready;
  await test.ff.run(() => work.schedule());
  await began.promise;

  const started = performance.now();
  assertEquals(await elsewhere.tasks.delete({ status: "running" }), 1);

  assert(String(await aborted.promise).includes("was taken away"));
  assert(performance.now() - started < 2000, `it took ${performance.now() - started} ms`);
});

Deno.test("tasks.cancel() tells how many it cancelled so far, and ends at its signal between two batches", async () => {
  await using test = await testInstance();
  await test.db.sql`INSERT INTO firefly.task (func_name) SELECT 'test.task' FROM generate_series(1, 2500)`;
  const [told, controller] = [[] as number[], new AbortController()];

  await assertRejects(
    () =>
      test.ff.tasks.cancel({}, {
        signal: controller.signal,
        onProgress(done) {
          told.push(done);
          if (done === 2000) controller.abort(new Error("enough"));
        },
      }),
    Error,
    "enough",
  );

  assertEquals(told, [1000, 2000]);
  assertEquals((await test.ff.tasks.counts()).default!.cancelled, 2000);
});

Deno.test("tasks.delete() lists thousands at a time, as each list may have to look at every record", async () => {
  await using test = await testInstance();
  await test.db
    .sql`INSERT INTO firefly.task (func_name, queue) SELECT 'test.task', 'audit' FROM generate_series(1, 6000)`;
  const records = counting(test.db.records);
  const tasks = new Tasks({ database: () => Promise.resolve({ records }) } as never);

  assertEquals(await tasks.delete({ queue: "audit", tags: [] }), 6000);

  // One list, and six deletions of a thousand.
  assertEquals(records.calls, 7);
});
