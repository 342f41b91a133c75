import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { current, Firefly, FireflyError, FireflyFormatError, task, TaskNotFound, type TaskRecord } from "../../mod.ts";
import type { TestDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { claim, claimOne, startConsumer } from "../support/claiming.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { settle } from "../support/settling.ts";
import { backends } from "../support/statements.ts";
import { until } from "../support/waiting.ts";

Deno.test("a record that was just scheduled has every field, without being read again", async () => {
  await using test = await testInstance();
  const add = task(
    { name: taskName(), maxRetries: 3, retryDelay: "10s", priority: 2, timeout: "1m" },
    (i: number) => i,
  );

  const row = await test.ff.run(() => add.with({ tags: ["a"], queue: "sums" }).schedule(1));
  const read = await row.refresh();

  const { created, notBefore, ...fields } = { ...read };
  assertEquals({ ...row }, { created, notBefore, ...fields });
  assertEquals(JSON.stringify(row), JSON.stringify(read));
  assertEquals([row.id, row.funcName, row.queue, row.status, row.inserted], [1, add.funcName, "sums", "created", true]);
  assertEquals([row.params, row.returned, row.error, row.errors, row.tags], [[1], undefined, null, [], ["a"]]);
  assertEquals([row.priority, row.attempt, row.retryAttempts, row.maxRetries, row.retryDelay], [2, 1, 0, 3, 10]);
  assertEquals([row.progress, row.started], [null, null]);
  assertEquals(created, notBefore);
});

Deno.test("a record shows how its task ended", async () => {
  await using test = await testInstance();
  const work = task(taskName(), async (fails: boolean) => {
    await current().progress(0.5, "half");
    if (fails) throw new RangeError("no", { cause: new Error("why") });
    return new Map([["n", 1n]]);
  });
  const [good, bad] = await test.ff.run(() => work.scheduleMany([[false], [true]]));
  await test.drain({ tasks: [work] });

  const [done, failed] = [await good!.refresh(), await bad!.refresh()];
  assert(done.status === "completed" && failed.status === "failed");
  assertEquals(done.returned, new Map([["n", 1n]]));
  assert(done.returned === done.returned, "decoded once");
  assertEquals([done.error, done.progress], [null, { value: 0.5, note: "half" }]);
  assert(done.started! <= done.completed);
  assert(failed.failed instanceof Date && failed.error.at instanceof Date);
  assertEquals([failed.returned, failed.error.name, failed.error.message], [undefined, "RangeError", "no"]);
  assertEquals([failed.error.cause, failed.error.attempt, failed.errors.length], ["Error: why", 1, 1]);
});

Deno.test("a record's missing limits are its definition's, else django-firefly-tasks'", async () => {
  await using test = await testInstance();
  const known = task({ name: taskName(), maxRetries: 4, retryDelay: "1m" }, () => {});
  const ids = [await insertTask(test.db, { func_name: known.funcName }), await insertTask(test.db)];

  const [byDefinition, byDefault] = await Promise.all(ids.map((id) => test.ff.tasks.get(id)));

  assertEquals([byDefinition!.maxRetries, byDefinition!.retryDelay], [4, 60]);
  assertEquals([byDefault!.maxRetries, byDefault!.retryDelay], [0, 120]);
});

Deno.test("a record whose params cannot be decoded throws where they are read, and nowhere else", async () => {
  await using test = await testInstance();
  const id = await insertTask(test.db, { params: "!!" });
  await insertTask(test.db);

  const { items: [, broken] } = await test.ff.tasks.list();

  assertEquals(broken!.id, id);
  assertThrows(() => broken!.params, FireflyFormatError);
  const { params } = broken!.toJSON() as { params: { error: string } };
  assert(params.error.length > 10);
  assert(Deno.inspect(broken).includes("test.task"));
});

Deno.test("toJSON() has the names of the columns, and JSON can hold it", async () => {
  await using test = await testInstance();
  const echo = task(taskName(), (_at: Date) => ({ at: new Date(0) }));
  const row = await test.ff.run(() => echo.schedule(new Date(0)));
  await test.drain({ tasks: [echo] });

  const json = JSON.parse(JSON.stringify(await row.refresh()));

  const { id, func_name, status, params, retry_attempts, max_retries, retry_delay, errors, failed } = json;
  assertEquals(
    { id, func_name, status, params, retry_attempts, max_retries, retry_delay, errors, failed },
    {
      id: row.id,
      func_name: echo.funcName,
      status: "completed",
      params: ["1970-01-01T00:00:00.000Z"],
      retry_attempts: 0,
      max_retries: 0,
      retry_delay: 120,
      errors: [],
      failed: null,
    },
  );
  assertEquals(json.not_before, row.notBefore.toISOString());
  assertEquals(json.returned, { at: "1970-01-01T00:00:00.000Z" });
});

Deno.test("toJSON() gives what JSON can hold, as SQL shows it, of values that it cannot", async () => {
  await using test = await testInstance();
  const values = [7n, 2n ** 80n, new Map([["a", new Set([1n])]]), NaN, new Uint8Array([1, 2, 255]), undefined];
  const echo = task(taskName(), (...args: unknown[]) => args);
  const row = await test.ff.run(() => echo.schedule(...values));
  await test.drain({ tasks: [echo] });

  const text = JSON.stringify(await row.refresh());

  assertStringIncludes(text, `"params":[7,${2n ** 80n},[["a",[1]]],"NaN","AQL/",null]`);
  const [shown] = await test.db.sql`
    SELECT firefly.decode(params) = (${text}::text::jsonb) -> 'params' AS params,
      firefly.decode(returned) = (${text}::text::jsonb) -> 'returned' AS returned
    FROM firefly.task
  `;
  assertEquals(shown, { params: true, returned: true });
});

Deno.test("retry(), cancel() and delete() of a record say what they could not do", async () => {
  await using test = await testInstance();
  const consumerId = await startConsumer(test.db);
  const record = await test.ff.tasks.get(await insertTask(test.db));

  await assertRejects(
    () => record.retry(),
    FireflyError,
    `Cannot retry task ${record.id} as it must be failed or cancelled: its status is "created"`,
  );
  assertEquals([await record.cancel(), await record.cancel()], [true, false]);
  assertEquals((await record.retry()).status, "created");
  await settle(test.db, await claimOne(test.db, consumerId));
  assertEquals(await record.cancel(), false);
  await assertRejects(() => record.retry(), FireflyError, 'its status is "completed"');
  await record.delete();
  await record.delete();
  for (const act of [() => record.refresh(), () => record.retry(), () => test.ff.tasks.get(record.id)]) {
    assertEquals((await assertRejects(act, TaskNotFound, `Cannot find task ${record.id}`)).id, record.id);
  }
  assertEquals([await record.cancel(), await test.ff.tasks.find(record.id)], [false, undefined]);
});

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

Deno.test("tasks refuses filters that it does not know, and ids that are none", async () => {
  await using test = await testInstance();
  const { tasks } = test.ff;

  await assertRejects(() => tasks.list({ queu: "a" } as never), TypeError, 'did you mean "queue"?');
  await assertRejects(() => tasks.delete({ statuss: "failed" } as never), TypeError, 'did you mean "status"?');
  await assertRejects(() => tasks.cancel({ status: "done" as never }), RangeError, 'current value is "done"');
  for (const limit of [0, -1, 1.5, NaN]) await assertRejects(() => tasks.list({}, { limit }), RangeError, '"limit"');
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
    a: { created: 0, running: 0, completed: 0, failed: 0, cancelled: 2100 },
    b: { created: 2100, running: 0, completed: 0, failed: 0, cancelled: 0 },
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
    await assertRejects(() => mine.get(row.id), FireflyError, `Cannot get task ${row.id} as "${mine.funcName}"`);
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
