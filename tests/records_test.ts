import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { current, FireflyError, FireflyFormatError, task, TaskNotFound, type TaskRecord } from "../mod.ts";
import { taskName, testInstance } from "./instance.ts";
import { claim, claimOne, insertTask, recordOf, settle, startConsumer } from "./steps.ts";

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

Deno.test("a record's missing limits are its definition's, else the seed's", async () => {
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
