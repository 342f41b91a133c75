import { assert, assertEquals, assertRejects } from "@std/assert";
import { current, Firefly, FireflyError, Retry, task, TaskExists, type TaskRecord } from "../../mod.ts";
import { prepareTasks } from "../../src/schedule/new_tasks.ts";
import { Scheduler } from "../../src/schedule/scheduler.ts";
import { defineTask } from "../../src/task/definition.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { backends } from "../support/statements.ts";
import { until } from "../support/waiting.ts";

/** A handler that can be held while a test looks at it. */
function gate() {
  const began = Promise.withResolvers<void>();
  const end = Promise.withResolvers<void>();
  return { began, open: end.resolve, wait: () => (began.resolve(), end.promise) };
}

Deno.test("schedule() of a duplicate returns the existing record, complete and correct, however it was scheduled", async () => {
  await using test = await testInstance();
  const name = taskName();
  const held = gate();
  const sync = task(
    { name, unique: { key: (customer: string, _: Date) => customer } },
    async (_customer: string, _at: Date) => await held.wait(),
  );
  const at = new Date("2026-01-31T08:00:00Z");

  await test.ff.run(async () => {
    const first = await sync.with({ tags: ["x"] }).schedule("acme", at);
    const duplicate = await sync.with({ priority: 5 }).schedule("acme", new Date());
    assertEquals([first.inserted, duplicate.inserted], [true, false]);
    assertEquals(JSON.stringify(duplicate), JSON.stringify(first));
    assertEquals([duplicate.params, duplicate.tags, duplicate.priority], [["acme", at], ["x"], 0]);
    const [{ id }] = await test.db
      .sql`SELECT firefly.schedule(${name}, '["acme"]', unique_key => 'acme')::int AS id` as [{ id: number }];
    assertEquals(id, first.id);
    assertEquals((await sync.schedule("other", at)).inserted, true);

    await using _ = test.ff.consume();
    await held.began.promise;
    await until(async () => (await first.refresh()).status === "running");
    const running = await sync.schedule("acme", at);
    assertEquals([running.id, running.status, running.inserted, running.started instanceof Date], [
      first.id,
      "running",
      false,
      true,
    ]);
    held.open();
    await first.result();
    assertEquals((await sync.schedule("acme", at)).inserted, true);
  });
});

Deno.test("replace debounces: the last arguments and time win while the task has not started", async () => {
  await using test = await testInstance();
  const ran: number[] = [];
  const held = gate();
  const save = task({ name: taskName(), unique: { key: "save", onConflict: "replace" } }, async (n: number) => {
    ran.push(n);
    if (n === 3) await held.wait();
  });

  await test.ff.run(async () => {
    const rows: TaskRecord[] = [];
    for (const n of [1, 2, 3]) rows.push(await save.with({ delay: n === 3 ? "0s" : "1h" }).schedule(n));
    assertEquals(
      rows.map(({ id, inserted, params }) => [id, inserted, params]),
      [1, 2, 3].map((n) => [rows[0]!.id, n === 1, [n]]),
    );
    await using _ = test.ff.consume();
    await held.began.promise;
    const late = await save.schedule(4);
    assertEquals([late.id, late.status, late.params], [rows[0]!.id, "running", [3]]);
    held.open();
    await late.result();
  });
  assertEquals(ran, [3]);
});

Deno.test("20 concurrent schedulers of two instances make one task", async () => {
  await using test = await testInstance();
  await using other = new Firefly({ database: test.db.url });
  const one = task({ name: taskName(), unique: { key: "one" } }, () => 1);

  const rows = await Promise.all(
    Array.from({ length: 20 }, (_, i) => [test.ff, other][i % 2]!.run(async () => await one.schedule())),
  );

  assertEquals(new Set(rows.map(({ id }) => id)).size, 1);
  assertEquals(rows.filter(({ inserted }) => inserted).length, 1);
});

Deno.test("record.retry() throws TaskExists while a duplicate has the key, and a bulk retry skips it", async () => {
  await using test = await testInstance();
  const name = taskName();
  const work = task({ name, unique: { key: "k" } }, () => {});
  await test.ff.run(async () => {
    const old = await work.schedule();
    await old.cancel();
    const duplicate = await work.schedule();

    const refused = await assertRejects(
      () => old.retry(),
      TaskExists,
      `Cannot retry task ${old.id} as task ${duplicate.id}`,
    );
    assertEquals([refused.id, refused.funcName, refused.key], [duplicate.id, name, "k"]);
    assertEquals(await test.ff.tasks.retry({ status: "cancelled" }), 0);
    await duplicate.delete();
    assertEquals((await old.retry()).status, "created");
  });
});

Deno.test("a retry that collides is reported as failed, and its neighbours are retried", async () => {
  await using test = await testInstance();
  const held = gate();
  const failed: [number, string][] = [];
  const retried: number[] = [];
  test.ff.on("failed", ({ id, error }) => failed.push([id, (error as Error).message]));
  test.ff.on("retried", ({ id }) => retried.push(id));
  const chain = task({
    name: taskName(),
    maxRetries: 1,
    retryDelay: 0,
    unique: { key: (n: number) => `n${n}`, among: ["created"] },
  }, async (n: number) => {
    if (current().attempt > 1 || n > 2) return n;
    await held.wait();
    throw new Error("again");
  });

  await test.ff.run(async () => {
    const [first, second] = await chain.scheduleMany([[1], [2]]);
    await using consumer = test.ff.consume({ concurrency: 2 });
    await using other = test.ff.consume({ concurrency: 2 });
    await Promise.all([consumer.ready, other.ready]);
    await until(async () => (await test.db.sql`SELECT FROM firefly.unique_key`).length === 0);
    const duplicate = await chain.with({ delay: "1h" }).schedule(1);
    assert(duplicate.inserted);
    held.open();
    await second!.result();
    await until(() => failed.length === 1);

    assertEquals(failed, [[first!.id, `Cannot run task ${first!.id} again as a duplicate has its unique key`]]);
    assertEquals(retried, [second!.id]);
    const record = await first!.refresh();
    assertEquals([record.status, record.error?.name, record.errors.length], ["failed", "TaskExists", 2]);
  });
});

Deno.test("two consumers and many schedulers never run two duplicates at a time", async () => {
  await using test = await testInstance();
  let [running, most, runs] = [0, 0, 0];
  const work = task({ name: taskName(), unique: { key: "one" }, maxRetries: 100 }, async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, 3));
    running--;
    if (++runs % 5 === 0) throw new Retry({ delay: 0 });
  });
  await using one = test.ff.consume();
  await using two = test.ff.consume();
  await Promise.all([one.ready, two.ready]);

  await test.ff.run(async () => {
    while (runs < 40) {
      const rows = await Promise.all(Array.from({ length: 5 }, () => work.schedule()));
      await rows.at(-1)!.result();
    }
  });
  assertEquals(most, 1);
});

Deno.test("a scheduler that waits for a duplicate's transaction leaves the pool to others", async () => {
  await using test = await testInstance();
  const one = task({ name: taskName(), unique: { key: "one" } }, () => 1);
  const plain = task(taskName(), () => 1);
  await test.ff.run(async () => {
    const waiting: Promise<unknown>[] = [];
    await test.ff.transaction(async () => {
      await one.schedule();
      waiting.push(...Array.from({ length: 6 }, async () => await one.with({ tx: null }).schedule()));
      await until(async () => await backends(test.db, "active", "Lock") === 6);
      await Promise.all(Array.from({ length: 6 }, () => plain.with({ tx: null }).schedule()));
    });
    const rows = await Promise.all(waiting) as { inserted: boolean }[];
    assertEquals(rows.map(({ inserted }) => inserted), Array(6).fill(false));
  });
});

Deno.test("insert() waits `uniqueTimeout` for an open transaction that schedules a duplicate, and then rejects", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const name = taskName();
  const ping = defineTask({ name, unique: { key: "k" } }, () => {});
  const options = { options: {}, defaults: {}, schema: "firefly" };
  const scheduler = new Scheduler({
    schema: "firefly",
    openTransaction: () => undefined,
    connect: () => ff.connect(),
    uniqueTimeout: 1,
  });
  const end = Promise.withResolvers<void>();
  const scheduled = Promise.withResolvers<void>();
  const holder = db.sql.begin(async (sql) => {
    await sql`SELECT firefly.schedule(${name}, unique_key => 'k')`;
    scheduled.resolve();
    await end.promise;
  });
  await scheduled.promise;

  const message = `Cannot schedule task "${name}" as an open transaction has held its unique key for 1 s`;
  const { tasks } = await prepareTasks(ping, [[]], options);
  await assertRejects(() => scheduler.insert(tasks, undefined), FireflyError, message);
  end.resolve();
  await holder;
});
