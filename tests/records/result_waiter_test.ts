import { Closing } from "../../src/closing.ts";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { TaskFailed, TaskNotFound } from "../../mod.ts";
import { Firefly } from "../../src/firefly/firefly.ts";
import { Results } from "../../src/records/result_waiter.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { claim, claimOne, startConsumer } from "../support/claiming.ts";
import { insertTask } from "../support/records.ts";
import { settle } from "../support/settling.ts";
import { counting } from "../support/statements.ts";
import { until } from "../support/waiting.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";

/** Results of an instance, with its statements counted. */
async function testResults(db: TestDatabase, listenDatabase = db.url) {
  const instance = new Firefly({ database: db.url, listenDatabase });
  const { database, listener } = await instance.connect();
  const sql = counting(database.sql);
  return {
    instance,
    sql,
    results: new Results({ sql, listener, closing: new Closing() }),
    async [Symbol.asyncDispose]() {
      await instance.close();
    },
  };
}

/** The looks at the record after which the next one is a second away: 10, 20, 40, … 640 ms, and then 1,000. */
const LOOKS_UNTIL_SLOW = 9;

Deno.test("wait() is woken by the notification, long before its next look", async () => {
  await using db = await testDatabase();
  await using test = await testResults(db);
  const id = await insertTask(db);
  const task = await claimOne(db, await startConsumer(db));
  const waited = test.results.wait(id);
  await until(() => test.sql.calls >= LOOKS_UNTIL_SLOW + 1);

  const settledAt = performance.now();
  await settle(db, task);
  const row = await waited;

  const took = performance.now() - settledAt;
  assertEquals(row.status, "completed");
  assert(took < 600, `it took ${took} ms; the next look was due after 1,000 ms`);
});

Deno.test("wait() looks by itself when notifications do not arrive", async () => {
  await using db = await testDatabase();
  await using network = await TcpProxy.start(db.url);
  network.mode = "hole";
  await using test = await testResults(db, network.through(db.url));
  const id = await insertTask(db);
  const task = await claimOne(db, await startConsumer(db));
  const waited = test.results.wait(id);
  await until(() => test.sql.calls >= 3 && network.accepted > 0);

  await settle(db, task);

  assertEquals((await waited).status, "completed");
});

Deno.test("wait() of a task that has ended resolves at once, and leaves no trace", async () => {
  await using db = await testDatabase();
  await using test = await testResults(db);
  const id = await insertTask(db);
  await settle(db, await claimOne(db, await startConsumer(db)), { returned: "Nw==" });

  assertEquals((await test.results.wait(id, { timeout: 0 })).returned, "Nw==");

  assertEquals((await db.sql`SELECT FROM firefly.result_waiter`).length, 0);
});

Deno.test("wait() ends with its timeout, or with its signal", async () => {
  await using db = await testDatabase();
  await using test = await testResults(db);
  const id = await insertTask(db);
  const started = performance.now();

  const late = await assertRejects(
    () => test.results.wait(id, { timeout: "150ms" }),
    DOMException,
    "did not end within",
  );
  assertEquals(late.name, "TimeoutError");
  assert(performance.now() - started >= 145);

  const reason = new Error("nobody wants it");
  const abort = new AbortController();
  const waited = test.results.wait(id, { signal: abort.signal, timeout: "1m" });
  const calls = test.sql.calls;
  await until(() => test.sql.calls >= calls + 2);
  abort.abort(reason);
  assertEquals(await assertRejects(() => waited), reason);
  assertEquals(await assertRejects(() => test.results.wait(id, { signal: abort.signal })), reason);
});

Deno.test("wait() throws when the task does not exist, or is deleted meanwhile", async () => {
  await using db = await testDatabase();
  await using test = await testResults(db);
  await assertRejects(() => test.results.wait(404), TaskNotFound, "Cannot find task 404");
  const id = await insertTask(db);
  const waited = test.results.wait(id);
  await until(() => test.sql.calls >= 3);

  await db.sql`DELETE FROM firefly.task WHERE id = ${id}`;

  const { id: missing } = await assertRejects(() => waited, TaskNotFound);
  assertEquals(missing, id);
});

Deno.test("result() throws TaskFailed with the record when the task failed or was cancelled", async () => {
  await using db = await testDatabase();
  await using test = await testResults(db);
  const [failing, cancelled] = [await insertTask(db), await insertTask(db, { func_name: "test.other" })];
  const task = await claimOne(db, await startConsumer(db));
  const [first, second] = [await test.instance.tasks.get(failing), await test.instance.tasks.get(cancelled)];
  const waited = [first, second].map((record) => assertRejects(() => record.result(), TaskFailed));
  await until(async () => (await db.sql`SELECT FROM firefly.result_waiter`).length === 2);

  await settle(db, task, {
    status: "failed",
    returned: null,
    error: JSON.stringify({ name: "RangeError", message: "too far" }),
  });
  await db.sql`SELECT firefly.cancel(${cancelled})`;

  const [failure, cancellation] = await Promise.all(waited);
  assertEquals(failure!.message, `Task ${failing} "test.task" failed: too far`);
  assertEquals([failure!.task.id, failure!.task.status], [failing, "failed"]);
  assertEquals(cancellation!.message, `Task ${cancelled} "test.other" was cancelled`);
  assertEquals(cancellation!.task.status, "cancelled");
});

Deno.test("wait() goes on over a retry of the task", async () => {
  await using db = await testDatabase();
  await using test = await testResults(db);
  const id = await insertTask(db, { max_retries: 1 });
  const consumerId = await startConsumer(db);
  const first = await claimOne(db, consumerId);
  const waited = test.results.wait(id);
  await until(async () => (await db.sql`SELECT FROM firefly.result_waiter`).length === 1);

  await settle(db, first, { status: "created", returned: null, counts: "retry", delay: 0 });
  await settle(db, await claimOne(db, consumerId), { returned: "Nw==" });

  assertEquals((await waited).returned, "Nw==");
});

Deno.test("wait() of a hundred costs one look at a time for all, and each gets its own record", async () => {
  await using db = await testDatabase();
  await using test = await testResults(db);
  await db.sql`INSERT INTO firefly.task (func_name) SELECT 'test.task' FROM generate_series(1, 100)`;
  const consumerId = await startConsumer(db);
  const { tasks } = await claim(db, { consumerId });
  const waited = tasks.map(({ id }) => test.results.wait(id));
  await until(async () => (await db.sql`SELECT FROM firefly.result_waiter`).length === 100);
  const before = test.sql.calls;

  await Promise.all(tasks.map((task) => settle(db, task, { returned: btoa(String(task.id)) })));
  const rows = await Promise.all(waited);

  assertEquals(rows.map(({ returned }) => Number(atob(returned!))), tasks.map(({ id }) => id));
  const looks = test.sql.calls - before;
  assert(looks < 300, `${looks} looks of a hundred`);
  assertEquals((await db.sql`SELECT FROM firefly.result_waiter`).length, 0);
});

Deno.test("awaiting a task that ends at the same moment misses no end", async () => {
  await using db = await testDatabase();
  await using test = await testResults(db);
  const consumerId = await startConsumer(db);
  const started = performance.now();

  for (let round = 0; round < 20; round++) {
    const id = await insertTask(db);
    const task = await claimOne(db, consumerId);
    const [row] = await Promise.all([test.results.wait(id, { timeout: "10s" }), settle(db, task)]);
    assertEquals(row.status, "completed");
  }

  assert(performance.now() - started < 8000, "none waited for a late look");
});
