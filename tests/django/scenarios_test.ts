import { noTasks } from "../../src/store/record_counts.ts";
import { assert, assertEquals } from "@std/assert";
import { current, task } from "../../mod.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { recordOf } from "../support/records.ts";

/** The scenarios of django-firefly-tasks' own tests. */

Deno.test("django-firefly-tasks: a simple task is scheduled, consumed, and read back", async () => {
  await using test = await testInstance();
  const add = task({ name: taskName(), queue: "default", maxRetries: 3, retryDelay: 10 })((i: number, j: number) =>
    i + j
  );

  const row = await test.ff.run(() => add.schedule(1, 3));
  assertEquals([row.status, row.returned], ["created", undefined]);
  assertEquals(await test.drain(), { completed: 1, failed: 0 });

  const again = await test.ff.run(() => add.get(row.id));
  assertEquals([again.status, again.returned], ["completed", 4]);
  assert(again.status === "completed" && again.completed instanceof Date);
});

Deno.test("django-firefly-tasks: sync and async handlers give the same", async () => {
  await using test = await testInstance();
  const sync = task(taskName(), (n: number) => n * 2);
  const async = task(taskName(), (n: number) => Promise.resolve(n * 2));

  const rows = await test.ff.run(() => Promise.all([sync.schedule(21), async.schedule(21)]));
  await test.drain();

  for (const row of rows) assertEquals((await row.refresh()).returned, 42);
});

Deno.test("django-firefly-tasks: effects in the database commit with the task", async () => {
  await using test = await testInstance();
  await test.db.sql`CREATE TABLE author (name text)`;
  const create = task(taskName(), async (name: string) => {
    await current().sql`INSERT INTO author VALUES (${name})`;
  });

  await test.ff.run(() => create.schedule("Ursula"));
  await test.drain();

  assertEquals([...await test.db.sql`SELECT name FROM author`], [{ name: "Ursula" }]);
});

Deno.test("django-firefly-tasks: the effects of a failing task are rolled back", async () => {
  await using test = await testInstance();
  await test.db.sql`CREATE TABLE author (name text)`;
  const create = task(taskName(), async (name: string) => {
    await current().sql`INSERT INTO author VALUES (${name})`;
    throw new Error("no ink");
  });

  const row = await test.ff.run(() => create.schedule("Ursula"));
  assertEquals(await test.drain(), { completed: 0, failed: 1 });

  const failed = await row.refresh();
  assert(failed.status === "failed");
  assertEquals([failed.error.name, failed.error.message, failed.error.attempt], ["Error", "no ink", 1]);
  assertEquals((await test.db.sql`SELECT FROM author`).length, 0);
});

Deno.test("django-firefly-tasks: a task that keeps failing is tried max_retries + 1 times, then failed", async () => {
  await using test = await testInstance();
  let attempts = 0;
  const fail = task({ name: taskName(), maxRetries: 3, retryDelay: 0 }, () => {
    attempts++;
    throw new Error(`attempt ${current().attempt}`);
  });

  const row = await test.ff.run(() => fail.schedule());
  await test.drain();

  assertEquals(attempts, 4);
  const failed = await row.refresh();
  assertEquals([failed.status, failed.retryAttempts, failed.attempt], ["failed", 3, 4]);
  assertEquals(failed.errors.map(({ message }) => message), ["attempt 1", "attempt 2", "attempt 3", "attempt 4"]);
});

Deno.test("django-firefly-tasks: a task that fails at first and then succeeds is completed", async () => {
  await using test = await testInstance();
  const flaky = task({ name: taskName(), maxRetries: 5, retryDelay: 0 }, () => {
    const { attempt } = current();
    if (attempt < 3) throw new Error("not yet");
    return attempt;
  });

  const row = await test.ff.run(() => flaky.schedule());
  assertEquals(await test.drain(), { completed: 1, failed: 0 });

  const done = await row.refresh();
  assertEquals([done.status, done.returned, done.retryAttempts, done.error], ["completed", 3, 2, null]);
});

Deno.test("django-firefly-tasks: a retry waits for its delay", async () => {
  await using test = await testInstance();
  const fail = task({ name: taskName(), maxRetries: 1 }, () => {
    throw new Error("later");
  });

  const row = await test.ff.run(() => fail.schedule());
  await test.drain();

  const again = await row.refresh();
  const wait = (Number(again.notBefore) - Date.now()) / 1000;
  assertEquals([again.status, again.retryAttempts, again.retryDelay], ["created", 1, 120]);
  assert(wait > 110 && wait <= 121, `django-firefly-tasks' delay is 120 s: ${wait}`);
});

Deno.test("django-firefly-tasks: tasks are consumed in the order in which they were scheduled", async () => {
  await using test = await testInstance();
  const order: number[] = [];
  const note = task(taskName(), (n: number) => void order.push(n));

  await test.ff.run(async () => {
    for (let n = 0; n < 20; n++) await note.schedule(n);
  });
  await test.drain({ concurrency: 1 });

  assertEquals(order, Array.from({ length: 20 }, (_, n) => n));
});

Deno.test("django-firefly-tasks: a task scheduled for later is left until then", async () => {
  await using test = await testInstance();
  const later = task(taskName(), () => {});

  const row = await test.ff.run(() => later.with({ notBefore: new Date(Date.now() + 3_600_000) }).schedule());
  assertEquals(await test.drain(), { completed: 0, failed: 0 });

  assertEquals((await row.refresh()).status, "created");
});

Deno.test("django-firefly-tasks: a queue is consumed without touching the others", async () => {
  await using test = await testInstance();
  const work = task({ name: taskName(), queue: "mail" }, () => {});

  const [mail, slow] = await test.ff.run(() => Promise.all([work.schedule(), work.with({ queue: "slow" }).schedule()]));
  await test.drain({ queues: "mail" });

  assertEquals((await mail.refresh()).status, "completed");
  assertEquals((await slow.refresh()).status, "created");
});

Deno.test("django-firefly-tasks: failed tasks are made consumable again, and completed and failed ones deleted", async () => {
  await using test = await testInstance();
  let broken = true;
  const work = task(taskName(), () => {
    if (broken) throw new Error("broken");
  });
  const { tasks } = test.ff;
  const rows = await test.ff.run(() => work.scheduleMany([[], [], []]));
  await test.drain();
  assertEquals(await tasks.counts(), {
    default: { ...noTasks(), failed: 3 },
  });

  broken = false;
  assertEquals(await tasks.retry({ status: "failed", ids: [rows[0]!.id, rows[1]!.id] }), 2);
  await test.drain();

  assertEquals(await tasks.delete({ status: "completed" }), 2);
  assertEquals(await tasks.delete({ status: "failed" }), 1);
  assertEquals(await tasks.counts(), {});
});

Deno.test("django-firefly-tasks: task_as_dict has its names", async () => {
  await using test = await testInstance();
  const add = task(taskName(), (i: number, j: number) => i + j);
  const row = await test.ff.run(() => add.schedule(1, 3));
  await test.drain();

  const dict = JSON.parse(JSON.stringify(await row.refresh()));

  const { id, func_name, queue, status, params, returned, retry_attempts, retry_delay, max_retries, failed } = dict;
  assertEquals(
    { id, func_name, queue, status, params, returned, retry_attempts, retry_delay, max_retries, failed },
    {
      id: row.id,
      func_name: add.funcName,
      queue: "default",
      status: "completed",
      params: [1, 3],
      returned: 4,
      retry_attempts: 0,
      retry_delay: 120,
      max_retries: 0,
      failed: null,
    },
  );
  assertEquals(Date.parse(dict.completed), Number((await recordOf(test.db, row.id)).completed));
});
