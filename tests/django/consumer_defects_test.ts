import { assert, assertEquals } from "@std/assert";
import { Firefly, task } from "../../mod.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { claim, expireConsumer, startConsumer } from "../support/claiming.ts";
import { placesOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";
import { holdersOf } from "../support/wake_lock.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";

/** Those of the defects of django-firefly-tasks that have to do with its consumers and its records. */

Deno.test("defect 11: a task whose consumers die is counted and ends, whatever its max_retries", async () => {
  await using test = await testInstance();
  const poison = task({ name: taskName(), maxRetries: 1_000_000 }, () => {});
  const row = await test.ff.run(() => poison.schedule());

  for (let crash = 0; crash < 5; crash++) {
    const consumerId = await startConsumer(test.db, { tasks: [poison.funcName] });
    assertEquals((await claim(test.db, { consumerId, names: [poison.funcName] })).tasks.length, 1);
    await expireConsumer(test.db, consumerId);
    const { removeExpiredConsumers } = await import("../../src/store/consumers.ts");
    const { rescueTasks } = await import("../../src/store/rescue.ts");
    await removeExpiredConsumers(test.db.store);
    await rescueTasks(test.db.store);
  }

  const failed = await row.refresh();
  assert(failed.status === "failed");
  assertEquals([failed.error.name, failed.attempt], ["ConsumerCrashed", 6]);
});

Deno.test("defect 12: two consumers share a queue without waiting for each other", async () => {
  await using test = await testInstance();
  let [running, most] = [0, 0];
  const both = Promise.withResolvers<void>();
  const meet = task({ name: taskName(), timeout: "10s" }, async () => {
    most = Math.max(most, ++running);
    if (running === 2) both.resolve();
    await both.promise;
    running--;
  });
  await test.ff.run(() => meet.scheduleMany([[], []]));

  await Promise.all([test.drain({ concurrency: 1 }), test.drain({ concurrency: 1 })]);

  assertEquals(most, 2);
});

Deno.test("defect 13: a handler runs outside of the claim's transaction", async () => {
  await using test = await testInstance();
  const began = Promise.withResolvers<void>();
  const end = Promise.withResolvers<void>();
  const slow = task(taskName(), async () => {
    began.resolve();
    await end.promise;
  });
  await test.ff.run(() => slow.schedule());
  const drained = test.drain();
  await began.promise;

  // A transaction of the claim may be ending still; a handler's would stay.
  await until(async () => {
    const [row] = await test.db.sql`
      SELECT count(*)::int AS n FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
    `;
    return row!.n === 0;
  });
  end.resolve();
  await drained;
});

Deno.test("defect 14: an idle consumer sends next to nothing, and wakes at once", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => Date.now());
  await using proxy = await TcpProxy.start(test.db.url);
  await using ff = new Firefly({ database: proxy.through(test.db.url) });
  await using consumer = ff.consume({ pollInterval: "60s" });
  await consumer.ready;
  await until(async () => (await holdersOf(test.db)).length > 0); // it sleeps
  let sent = 0;
  proxy.onRequest = () => void sent++;
  await new Promise((resolve) => setTimeout(resolve, 500)); // what is measured is the idle time itself
  assert(sent < 33, `${sent} requests in 0.5 s of idleness; django-firefly-tasks sent 500 transactions`);

  const row = await test.ff.run(() => work.schedule());
  await row.result({ timeout: "10s" });
  const { started } = await row.refresh();
  assert(Number(started) - Number(row.created) < 1000, "the notification woke it");
});

Deno.test("defect 15: several tasks run at a time", async () => {
  await using test = await testInstance();
  const all = Promise.withResolvers<void>();
  let running = 0;
  const meet = task({ name: taskName(), timeout: "10s" }, async () => {
    if (++running === 5) all.resolve();
    await all.promise;
  });
  await test.ff.run(() => meet.scheduleMany(Array.from({ length: 5 }, () => [])));

  assertEquals(await test.drain({ concurrency: 5 }), { completed: 5, failed: 0 });
});

Deno.test("defect 16: the error is stored with its stack, cause and time", async () => {
  await using test = await testInstance();
  const fail = task(taskName(), () => {
    throw new RangeError("too far", { cause: new Error("no map") });
  });
  const row = await test.ff.run(() => fail.schedule());
  await test.drain();

  const { error } = await row.refresh();
  assertEquals([error!.name, error!.message, error!.cause, error!.attempt], [
    "RangeError",
    "too far",
    "Error: no map",
    1,
  ]);
  assert(error!.stack!.includes("defects_test.ts"));
  assert(Math.abs(Number(error!.at) - Date.now()) < 60_000);
});

Deno.test("defect 17: times come from the database's clock, and params are readable in SQL", async () => {
  await using test = await testInstance();
  const work = task(taskName(), (value: { at: Date }) => value);
  const RealDate = Date;
  const row = await (async () => {
    // An application whose clock is a year off.
    class WrongDate extends RealDate {
      static override now = () => RealDate.now() + 365 * 86_400_000;
    }
    globalThis.Date = WrongDate as DateConstructor;
    try {
      return await test.ff.run(() => work.with({ delay: 60 }).schedule({ at: new RealDate(0) }));
    } finally {
      globalThis.Date = RealDate;
    }
  })();

  const [stored] = await test.db.sql`
    SELECT firefly.decode(params) AS params, extract(epoch FROM not_before - clock_timestamp())::float AS wait
    FROM firefly.task WHERE id = ${row.id}
  `;
  assertEquals(stored!.params, [{ at: "1970-01-01T00:00:00.000Z" }]);
  assert(stored!.wait > 50 && stored!.wait <= 60, `${stored!.wait}`);
});

Deno.test("defect 18: a record deleted while its task runs ends nothing else, and the loop goes on", async () => {
  await using test = await testInstance();
  const began = Promise.withResolvers<void>();
  const end = Promise.withResolvers<void>();
  const slow = task(taskName(), async () => {
    began.resolve();
    await end.promise;
  });
  const other = task(taskName(), () => "fine");
  const [row, next] = await test.ff.run(async () => [await slow.schedule(), await other.schedule()] as const);
  const lost = Promise.withResolvers<number>();
  test.ff.on("lost", ({ id }) => lost.resolve(id));
  const drained = test.drain({ concurrency: 1 });
  await began.promise;

  await Promise.all([row.delete(), test.ff.tasks.delete({ ids: [row.id] })]);
  end.resolve();

  assertEquals(await lost.promise, row.id);
  assertEquals(await drained, { completed: 1, failed: 0 });
  assertEquals((await next.refresh()).returned, "fine");
  await until(async () => (await placesOf(test.db)).claimBatches === 0);
});
