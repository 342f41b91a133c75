import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { current, FireflyError, FireflyFormatError, task, TaskNotFound } from "../../mod.ts";
import { renderPage } from "../../src/cli/record_page.ts";
import { Terminal } from "../../src/cli/terminal.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { claimOne, startConsumer } from "../support/claiming.ts";
import { insertTask } from "../support/records.ts";
import { settle } from "../support/settling.ts";

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

Deno.test("records that were scheduled together are an array of objects of their own, whole for whatever copies them", async () => {
  await using test = await testInstance();
  const add = task(taskName(), (i: number) => i);

  const records = await test.ff.run(() => add.scheduleMany(Array.from({ length: 20 }, (_, i) => [i])));
  const [first, second] = records as [typeof records[0], typeof records[0]];
  const read = await first.refresh();

  assert(Array.isArray(records) && Object.getPrototypeOf(records) === Array.prototype);
  assertEquals(Object.keys(first), Object.keys(read));
  assertEquals({ ...first }, { ...read });
  assertEquals(structuredClone(records).map(({ id }) => id), records.map(({ id }) => id));
  assertEquals(JSON.stringify(records[19]), JSON.stringify(await records[19]!.refresh()));
  assertStringIncludes(Deno.inspect(first), `funcName: "${add.funcName}"`);
  assert(first.created !== second.created && first.created !== first.notBefore && first.errors !== second.errors);
  first.created.setTime(0);
  first.tags.push("mine");
  assertEquals([second.tags, (await test.ff.run(() => add.schedule(1))).tags], [[], []]);
  assertEquals([first.params, second.created, second.notBefore], [[0], read.created, read.notBefore]);
});

Deno.test("records of many tasks are made when one is looked at, and are then as those of few", async () => {
  await using test = await testInstance();
  const add = task({ name: taskName(), maxRetries: 2 }, (i: number) => i);
  const tags = ["a"];
  const calls = Array.from({ length: 1200 }, (_, i): [number] => [i]);

  const records = await test.ff.run(() => add.with({ tags }).scheduleMany(calls));
  tags.push("later");

  assert(Array.isArray(records) && records.length === 1200);
  const rows = await test.db.sql`SELECT id::integer AS id FROM firefly.task ORDER BY id`;
  assertEquals(records.map(({ id }) => id), rows.map(({ id }) => id));
  assertEquals(records.map(({ params }) => params), calls);
  const [first, second] = records as [typeof records[0], typeof records[0]];
  const read = await first.refresh();
  assertEquals([{ ...first }, JSON.stringify(first)], [{ ...read }, JSON.stringify(read)]);
  assert(first.created !== second.created && first.created !== first.notBefore && first.tags !== second.tags);
  assertEquals([first.tags, records[0] === first], [["a"], true]);
  await test.drain({ tasks: [add] });
  assertEquals(await records[1199]!.result(), 1199);
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

Deno.test("a record shows the delay before a retry as it is: seconds, a backoff, or that code computes it", async () => {
  await using test = await testInstance();
  const backoff = { kind: "exponential", delay: "200ms" } as const;
  const fail = () => {
    throw new Error("no");
  };
  const computed = task({ name: taskName(), maxRetries: 3, retryDelay: (attempt) => attempt * 0.5 }, fail);
  const doubled = task({ name: taskName(), maxRetries: 3, retryDelay: backoff }, fail);
  const fixed = task({ name: taskName(), maxRetries: 3, retryDelay: "200ms" }, fail);
  const rows = await test.ff.run(() => Promise.all([computed.schedule(), doubled.schedule(), fixed.schedule()]));

  const shown = [{ kind: "function" }, backoff, 0.2];
  assertEquals(rows.map(({ retryDelay }) => retryDelay), shown);
  const read = await Promise.all(rows.map((row) => row.refresh()));
  assertEquals(read.map((row) => row.toJSON().retry_delay), shown);
  const terminal = new Terminal({ json: false, table: true, verbosity: "normal" });
  const lines = read.map((row) => /^Attempt .*$/m.exec(renderPage(row, terminal))![0].replace(/ +/g, " "));
  assertEquals(lines, [
    "Attempt 1 of 4, retry delay computed by the task's code",
    "Attempt 1 of 4, retry delay exponential from 200 ms",
    "Attempt 1 of 4, retry delay 200 ms",
  ]);
});

Deno.test("a record of a task that is not defined here does not guess the delay that code computes", async () => {
  await using test = await testInstance();
  const id = await insertTask(test.db, { func_name: "test.elsewhere", max_retries: 3 });

  assertEquals((await test.ff.tasks.get(id)).retryDelay, { kind: "function" });
});

Deno.test("a record shows the code and the statement of a failed statement, under its message", async () => {
  await using test = await testInstance();
  const work = task({ name: taskName() }, async () =>
    void await current().sql`
    SELECT *
      FROM nowhere
  `);
  const { id } = await test.ff.run(() => work.schedule());
  await test.drain({ tasks: [work] });

  const record = await test.ff.tasks.get(id);

  assertEquals([record.error!.code, record.error!.statement!.trim().startsWith("SELECT *")], ["42P01", true]);
  const page = renderPage(record, new Terminal({ json: false, table: true, verbosity: "normal" }));
  assertStringIncludes(page, "\n  code 42P01\n  statement SELECT *\n    FROM nowhere\n");
});
