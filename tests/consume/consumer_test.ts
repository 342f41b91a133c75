import { assert, assertEquals, assertLess } from "@std/assert";
import { setTimeout as sleep } from "node:timers/promises";
import { current, LeaseLost, task } from "../../mod.ts";
import { removeExpiredConsumers, rescueTasks } from "../../src/store/consumers.ts";
import type { TestDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { claim, expireConsumer, startConsumer } from "../support/claiming.ts";
import { insertTask, placesOf, recordOf } from "../support/records.ts";
import { backends } from "../support/statements.ts";
import { until } from "../support/waiting.ts";

/** Ends every other connection to the database, as a restart of the server would. */
async function terminateAll(db: TestDatabase, condition = "true"): Promise<void> {
  await db.sql.unsafe(`
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'firefly' AND ${condition}
  `);
}

/** Resolves when its gate is opened; a handler that waits for it can be looked at. */
function gate() {
  const began = Promise.withResolvers<void>();
  const end = Promise.withResolvers<void>();
  return {
    began: began.promise,
    open: end.resolve,
    async handler() {
      began.resolve();
      await end.promise;
    },
  };
}

Deno.test("consume() runs no more than `concurrency` handlers at a time", async () => {
  await using test = await testInstance();
  let [running, most] = [0, 0];
  const work = task(taskName(), async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, 2));
    running--;
  });
  await test.ff.run(() => work.scheduleMany(Array.from({ length: 100 }, () => [])));

  assertEquals(await test.drain({ concurrency: 3 }), { completed: 100, failed: 0 });
  assertEquals(most, 3);
});

Deno.test("consume() serves several queues, and leaves others", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => {});
  const rows = await test.ff.run(() => Promise.all(["a", "b", "c"].map((queue) => work.with({ queue }).schedule())));

  assertEquals(await test.drain({ queues: ["a", "c"] }), { completed: 2, failed: 0 });
  assertEquals((await rows[1]!.refresh()).status, "created");
});

Deno.test("consume() ends after `maxTasks` attempts and leaves the rest ready", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => {});
  await test.ff.run(() => work.scheduleMany(Array.from({ length: 20 }, () => [])));

  assertEquals(await test.ff.consume({ maxTasks: 7 }).finished, { completed: 7, failed: 0 });
  assertEquals(await placesOf(test.db), { ready: 13, waiting: 0, lease: 0 });
});

Deno.test("consume() runs a delayed task when it is due, long before the next poll", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => {});
  await using consumer = test.ff.consume({ pollInterval: "1h" });
  await consumer.ready;

  const row = await test.ff.run(() => work.with({ delay: "300ms" }).schedule());
  await row.result({ timeout: "10s" });

  const { started, notBefore } = await row.refresh();
  const late = Number(started) - Number(notBefore);
  assert(late >= 0 && late < 1000, `${late} ms late`);
});

Deno.test("consume() is woken by a notification, long before the next poll", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => {});
  const connected = Promise.withResolvers<void>();
  test.ff.on("listener.connected", () => connected.resolve());
  await using _ = test.ff.consume({ pollInterval: "1h" });
  await connected.promise;

  for (let i = 0; i < 5; i++) await test.ff.run(() => work.schedule().result({ timeout: "10s" }));
});

Deno.test("consume() finds tasks scheduled while its listener was away", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => {});
  const connections: number[] = [];
  test.ff.on("listener.connected", () => connections.push(performance.now()));
  await using _ = test.ff.consume({ pollInterval: "1h" });
  await until(() => connections.length === 1);
  // Until this one has run, the look that follows the first connection may still be under way.
  const before = await insertTask(test.db, { func_name: work.funcName });
  await until(async () => (await recordOf(test.db, before)).status === "completed", 5_000);

  await terminateAll(test.db, "query ~* 'listen|_wake_lock'");
  const id = await insertTask(test.db, { func_name: work.funcName });

  // Sooner than the next renewal of the lease, which looks for tasks too.
  await until(async () => (await recordOf(test.db, id)).status === "completed", 5_000);
  await until(() => connections.length === 2);
});

Deno.test("consume() polls when notifications do not arrive", async () => {
  await using test = await testInstance({ listenDatabase: "postgres://postgres@127.0.0.1:1/nowhere" });
  const work = task(taskName(), () => {});
  await using consumer = test.ff.consume({ pollInterval: "100ms" });
  await consumer.ready;

  const id = await insertTask(test.db, { func_name: work.funcName });

  await until(async () => (await recordOf(test.db, id)).status === "completed");
});

Deno.test("consume() aborts a running task that is cancelled, and frees its slot", async () => {
  await using test = await testInstance();
  const began = Promise.withResolvers<void>();
  let reason: unknown;
  const stubborn = task(taskName(), async () => {
    const { signal } = current();
    signal.addEventListener("abort", () => reason = signal.reason);
    began.resolve();
    await new Promise(() => {});
  });
  const next = task(taskName(), () => "next");
  await using _ = test.ff.consume({ concurrency: 1 });
  const row = await test.ff.run(() => stubborn.schedule());
  await began.promise;
  const asked = performance.now();

  assertEquals(await row.cancel(), true);
  assertEquals(await test.ff.run(() => next.schedule().result({ timeout: "10s" })), "next");

  assert(performance.now() - asked < 5000);
  assert(reason instanceof Error && reason.message.includes("cancelled"), String(reason));
  assertEquals((await row.refresh()).status, "cancelled");
  assertEquals(await row.cancel(), false);
});

Deno.test("stop() hands back what has not begun, uncounted and in its old order", async () => {
  await using test = await testInstance();
  const slow = gate();
  const noop = task(taskName(), () => {});
  const wait = task(taskName(), slow.handler);
  const consumer = test.ff.consume({ concurrency: 2 });
  await test.ff.run(async () => {
    // Short tasks make the consumer claim large batches; the two that wait then hold up a batch.
    await noop.scheduleMany(Array.from({ length: 2000 }, () => []));
    await wait.scheduleMany([[], []]);
    await noop.scheduleMany(Array.from({ length: 500 }, () => []));
  });
  await slow.began;

  const stopped = consumer.stop();
  slow.open();
  await stopped;

  const [row] = await test.db.sql`
    SELECT count(*) FILTER (WHERE status = 'created')::int AS created, count(*) FILTER (WHERE snoozes = 1)::int AS snoozed,
      coalesce(sum(rescues + retry_attempts), 0)::int AS counted
    FROM firefly.task
  `;
  assert(row!.created > 0, "something was left");
  assertEquals(row!.counted, 0);
  assertEquals(await placesOf(test.db), { ready: row!.created, waiting: 0, lease: 0 });
  assertEquals((await test.drain()).completed, row!.created);
});

Deno.test("stop() aborts handlers at the end of the grace period, and their tasks go back uncounted", async () => {
  await using test = await testInstance();
  const began = Promise.withResolvers<void>();
  let reason: unknown;
  const stubborn = task({ name: taskName(), maxRetries: 0 }, async () => {
    const { signal } = current();
    signal.addEventListener("abort", () => reason = signal.reason);
    began.resolve();
    await new Promise(() => {});
  });
  const row = await test.ff.run(() => stubborn.schedule());
  const consumer = test.ff.consume({ shutdownTimeout: 0.1 });
  await began.promise;

  await consumer.stop();

  assertEquals((reason as Error).name, "Shutdown");
  const { status, attempt } = await row.refresh();
  assertEquals([status, attempt], ["created", 1]);
});

Deno.test("consume() stops when its signal aborts", async () => {
  await using test = await testInstance();
  task(taskName(), () => {});
  const controller = new AbortController();
  const consumer = test.ff.consume({ signal: controller.signal });
  await consumer.ready;

  controller.abort();

  assertEquals(await consumer.finished, { completed: 0, failed: 0 });
  assertEquals((await test.db.sql`SELECT FROM firefly.consumer`).length, 0);
});

Deno.test("consume() goes on when every connection is terminated under load, and repeats no effect", async () => {
  await using test = await testInstance();
  await test.db.sql`CREATE TABLE ledger (n int)`;
  const work = task({ name: taskName() }, async (n: number) => {
    await current().sql`INSERT INTO ledger VALUES (${n})`;
  });
  await test.ff.run(() => work.scheduleMany(Array.from({ length: 600 }, (_, n) => [n])));
  await using _ = test.ff.consume({ concurrency: 5, lease: "2s", pollInterval: "200ms" });
  const completed = async () => {
    const [row] = await test.db.sql`SELECT count(*)::int AS n FROM firefly.task WHERE status = 'completed'`;
    return row!.n as number;
  };
  for (const goal of [100, 200, 300]) {
    await until(async () => await completed() >= goal, 20_000);
    await terminateAll(test.db);
  }

  await until(async () => await completed() === 600, 40_000);

  const [ledger] = await test.db.sql`SELECT count(*)::int AS rows, count(DISTINCT n)::int AS distinct FROM ledger`;
  assertEquals(ledger, { rows: 600, distinct: 600 });
});

Deno.test("a consumer that was buried aborts what it runs, registers anew and goes on", async () => {
  await using test = await testInstance();
  const reasons: unknown[] = [];
  let attempts = 0;
  const began = Promise.withResolvers<void>();
  const work = task(taskName(), async () => {
    if (++attempts > 1) return "second";
    const { signal } = current();
    signal.addEventListener("abort", () => reasons.push(signal.reason));
    began.resolve();
    await new Promise(() => {});
  });
  await using _ = test.ff.consume({ lease: "1s" });
  const row = await test.ff.run(() => work.schedule());
  await began.promise;

  await test.db.sql`DELETE FROM firefly.consumer`;

  assertEquals(await row.result({ timeout: "20s" }), "second");
  assertEquals((reasons[0] as Error).name, "LeaseLost");
  assertEquals((await test.db.sql`SELECT FROM firefly.consumer`).length, 1);
});

Deno.test("a lease is renewed while every other statement waits for a lock", async () => {
  await using test = await testInstance();
  const expired: unknown[] = [];
  test.ff.on("consumer.expired", (event) => expired.push(event));
  const work = task(taskName(), () => sleep(3000));
  await using consumer = test.ff.consume({ lease: "1s" });
  await consumer.ready;
  await test.ff.run(() => work.schedule());
  await until(async () => (await placesOf(test.db)).lease === 1);
  const scheduled: Promise<unknown>[] = [];

  await test.db.sql.begin(async (sql) => {
    await sql`LOCK TABLE firefly.task IN ACCESS EXCLUSIVE MODE`;
    for (let i = 0; i < 20; i++) scheduled.push(test.ff.run(() => work.schedule()));
    await until(async () => await backends(test.db, "active", "Lock") >= 4);
    await sleep(2000);
  });

  await Promise.all(scheduled);
  assertEquals(expired, []);
});

Deno.test("a claim whose reply was lost is handed back and run", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => "run");
  const blocker = await insertTask(test.db, { func_name: work.funcName, not_before: new Date(Date.now() + 3_600_000) });
  await using consumer = test.ff.consume({ lease: "1s" });
  await consumer.ready;
  // As a claim leaves it that took effect and whose reply never came.
  await test.db.sql`
    WITH taken AS (DELETE FROM firefly.waiting WHERE id = ${blocker} RETURNING id, claim_seq)
    INSERT INTO firefly.claim_batch (id, consumer_id, ids, claim_seqs)
    SELECT gen_random_uuid(), (SELECT id FROM firefly.consumer), array_agg(id), array_agg(claim_seq) FROM taken
  `;
  await test.db.sql`UPDATE firefly.task SET not_before = now() WHERE id = ${blocker}`;

  await until(async () => (await recordOf(test.db, blocker)).status === "completed");

  assertEquals((await recordOf(test.db, blocker)).snoozes, 1);
  await until(async () => (await placesOf(test.db)).lease === 0);
});

Deno.test("a task whose name nobody knows uses no attempt, and runs once a consumer knows it", async () => {
  await using test = await testInstance();
  const known = task(taskName(), () => "known");
  const later = taskName();
  const id = await insertTask(test.db, { func_name: later });
  {
    await using consumer = test.ff.consume({ tasks: [known], lease: "1s" });
    await consumer.ready;
    await until(async () => (await placesOf(test.db)).waiting === 1);
  }
  task(later, () => "now known");
  const deployed = performance.now();
  await using _ = test.ff.consume({ lease: "1s" });
  await until(async () => (await recordOf(test.db, id)).status === "completed");

  assert(performance.now() - deployed < 2000);
  assertEquals((await recordOf(test.db, id)).claim_seq, "1");
});

Deno.test("a record set back by hand, which stands nowhere, is found and run", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => "again");
  const row = await test.ff.run(() => work.schedule());
  await test.drain();
  await test.db.sql`UPDATE firefly.task SET status = 'created', completed = NULL WHERE id = ${row.id}`;
  await using _ = test.ff.consume({ lease: "1s" });

  await until(async () => (await recordOf(test.db, row.id)).status === "completed");
});

Deno.test("consume() claims one quarantined after another, without a batch of others between them", async () => {
  await using test = await testInstance();
  const work = task(taskName(), (ms: number) => sleep(ms));
  const schedule = (count: number, ms: number) => {
    return test.db.sql`
      INSERT INTO firefly.task (func_name, params)
      SELECT ${work.funcName}, firefly.encode(jsonb_build_array(${ms}::int)) FROM generate_series(1, ${count}::int)
    `;
  };
  await schedule(30, 0);
  await test.db.sql`UPDATE firefly.task SET crash_count = 1`;
  const dead = await startConsumer(test.db, { tasks: [work.funcName] });
  await claim(test.db, { consumerId: dead, names: [work.funcName] });
  await expireConsumer(test.db, dead);
  await removeExpiredConsumers(test.db.store);
  assertEquals((await rescueTasks(test.db.store)).length, 30);
  await schedule(1000, 100);

  await using _ = test.ff.consume();
  const completed = async (what: "quarantined" | "others") => {
    const rows = await test.db.sql`
      SELECT FROM firefly.task WHERE status = 'completed' AND (rescues > 0) = ${what === "quarantined"}
    `;
    return rows.count;
  };
  await until(async () => await completed("quarantined") === 30, 30_000);

  // With each claim of a batch comes one quarantined: so it would be some 16 others for each.
  assertLess(await completed("others"), 300);
});

Deno.test("consume() hands back what it claimed and has no slot for, once others could have begun it", async () => {
  await using test = await testInstance();
  const slow = gate();
  const noop = task(taskName(), () => {});
  const wait = task(taskName(), slow.handler);
  await test.ff.run(async () => {
    // Short tasks make the consumer claim large batches; those that wait then keep all of its slots.
    await noop.scheduleMany(Array.from({ length: 2000 }, () => []));
    await wait.scheduleMany([[], []]);
    await noop.scheduleMany(Array.from({ length: 300 }, () => []));
  });
  await using first = test.ff.consume({ concurrency: 2, pollInterval: "1h", shutdownTimeout: "1s" });
  await slow.began;
  await until(async () => (await placesOf(test.db)).ready >= 300);

  const second = test.ff.consume({ tasks: [noop], drain: true });

  assertEquals(await second.finished, { completed: 300, failed: 0 });
  const [row] = await test.db.sql`SELECT sum(retry_attempts + rescues)::int AS counted FROM firefly.task`;
  assertEquals(row!.counted, 0);
  slow.open();
  await first.stop();
});

Deno.test("consume() holds no long params of tasks that have not begun, and brings them when these do", async () => {
  await using test = await testInstance();
  const lengths: number[] = [];
  const measure = task(taskName(), (text: string) => void lengths.push(text.length));
  await test.ff.run(() => measure.scheduleMany([1, 6_000, 7_000, 100_000].map((length) => ["x".repeat(length)])));
  const dead = await startConsumer(test.db, { tasks: [measure.funcName] });
  const { tasks } = await claim(test.db, { consumerId: dead, names: [measure.funcName] });
  assertEquals(tasks.map(({ params }) => params === null), [false, false, true, true]);

  await expireConsumer(test.db, dead);
  await removeExpiredConsumers(test.db.store);
  await rescueTasks(test.db.store);

  assertEquals(await test.drain(), { completed: 4, failed: 0 });
  assertEquals(lengths.sort((a, b) => a - b), [1, 6_000, 7_000, 100_000]);
});

Deno.test("a limited task whose keys must be told from long params waits for its slot", async () => {
  await using test = await testInstance();
  let [running, most] = [0, 0];
  const work = task(
    { name: taskName(), concurrency: { limit: 1, key: (text: string) => text.slice(0, 1) } },
    async (_text: string) => {
      most = Math.max(most, ++running);
      await sleep(20);
      running--;
    },
  );
  // As SQL schedules them, without keys.
  await test.db.sql`
    INSERT INTO firefly.task (func_name, params)
    SELECT ${work.funcName}, firefly.encode(jsonb_build_array(repeat('x', 20000))) FROM generate_series(1, 5)
  `;

  assertEquals(await test.drain(), { completed: 5, failed: 0 });
  assertEquals(most, 1);
});

Deno.test("consume() nests no call of a handler in another, however many end at once", async () => {
  await using test = await testInstance();
  let deepest = 0;
  const measure = task(taskName(), () => {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 200;
    deepest = Math.max(deepest, new Error().stack!.split("beginNext").length - 1);
    Error.stackTraceLimit = stackTraceLimit;
  });
  await test.ff.run(() => measure.scheduleMany(Array.from({ length: 500 }, () => [])));

  assertEquals((await test.drain({ concurrency: 100 })).completed, 500);
  assertEquals(deepest, 1);
});

Deno.test("consume() lets go of a claim that a crash of the server undid, as soon as it is connected again", async () => {
  await using test = await testInstance();
  const aborted = Promise.withResolvers<unknown>();
  const began = Promise.withResolvers<void>();
  let attempts = 0;
  const work = task(taskName(), async () => {
    if (++attempts > 1) return void await aborted.promise;
    began.resolve();
    const { signal } = current();
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    aborted.resolve(signal.reason);
  });
  await using consumer = test.ff.consume({ pollInterval: "1h" });
  await consumer.ready;
  const row = await test.ff.run(() => work.schedule());
  await began.promise;

  // As the server is after a crash that came before the claim was on its disk.
  await test.db.sql.begin(async (sql) => {
    await sql`DELETE FROM firefly.claim_batch`;
    await sql`
      INSERT INTO firefly.ready (id, claim_seq, not_before, priority, queue, func_name)
      SELECT id, claim_seq, not_before, priority, queue, func_name FROM firefly.task
    `;
  });
  await terminateAll(test.db);

  // Long before the next renewal, after 10 s.
  await until(async () => (await row.refresh()).status === "completed", 5_000);
  assertEquals(attempts, 2);
  assert(await aborted.promise instanceof LeaseLost);
  assertEquals((await row.refresh()).retryAttempts, 0);
});

Deno.test("consume() looks once for each task that comes alone", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => {});
  await using consumer = test.ff.consume();
  await consumer.ready;
  const looks = async () => {
    await sleep(1200); // a connection tells its statistics once a second, with its next statement
    await test.ff.run(() => work.schedule().result());
    await test.db.sql`SELECT pg_stat_clear_snapshot()`;
    const [row] = await test.db.sql`
      SELECT idx_scan::int AS looks FROM pg_stat_user_indexes WHERE indexrelname = 'ready_quarantined'
    `;
    return row!.looks;
  };
  for (let i = 0; i < 5; i++) await test.ff.run(() => work.schedule().result());
  const before = await looks();

  for (let i = 0; i < 20; i++) {
    await test.ff.run(() => work.schedule().result());
    await sleep(20);
  }

  const took = await looks() - before;
  assert(took >= 20 && took < 35, `${took} looks for 20 tasks`);
});

Deno.test("consume() that hears nothing looks again whenever a task ends", async () => {
  await using test = await testInstance({ listenDatabase: "postgres://postgres@127.0.0.1:1/nowhere" });
  const slow = gate();
  const wait = task(taskName(), slow.handler);
  const noop = task(taskName(), () => {});
  await using consumer = test.ff.consume({ concurrency: 2, pollInterval: "1h" });
  await test.ff.run(() => wait.schedule());
  await slow.began;
  await sleep(300); // it has found nothing else by now
  const row = await test.ff.run(() => noop.schedule());

  slow.open();

  // Long before the next renewal, after 10 s.
  await until(async () => (await row.refresh()).status === "completed", 3_000);
  await consumer.stop();
});
