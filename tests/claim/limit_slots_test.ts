import { assert, assertEquals } from "@std/assert";
import { current, Fail, Firefly, Retry, task } from "../../mod.ts";
import { taskName, type TestInstance, testInstance } from "../support/instance.ts";
import { expireConsumer, startConsumer } from "../support/claiming.ts";
import { until } from "../support/waiting.ts";
import { numbers, pause, recorder, slotsOf, SLOW_POLL, withTwo } from "../support/limits.ts";

/** Whatever the first task does, the second of its key begins soon after. */
async function frees(
  { handler, act = () => {}, options = {} }: {
    handler: () => unknown;
    act?: (test: TestInstance, first: number, ff: Firefly) => unknown;
    options?: { timeout?: "100ms"; maxRetries?: number; retryDelay?: number };
  },
): Promise<void> {
  await using test = await testInstance();
  await using other = new Firefly({ database: test.db.url });
  const [began, next] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const serial = task({ name: taskName(), concurrency: { limit: 1 }, ...options }, async (isFirst: boolean) => {
    if (!isFirst) return next.resolve();
    began.resolve();
    await handler();
  });
  const first = await test.ff.run(() => serial.schedule(true));
  await using _ = other.consume({ tasks: [serial], ...SLOW_POLL, shutdownTimeout: 0 });
  await began.promise;
  await test.ff.run(() => serial.schedule(false));
  await using _second = test.ff.consume({ tasks: [serial], ...SLOW_POLL });

  await act(test, first.id, other);

  await until(async () => {
    await Promise.race([next.promise, pause(20)]);
    return (await test.db.sql`SELECT FROM firefly.task WHERE status = 'completed'`).count > 0;
  }, 8_000);
  await until(async () =>
    (await test.db.sql`SELECT FROM firefly.slot WHERE task_id = (SELECT max(id) FROM firefly.task)`).count === 0
  );
}

const never = () => new Promise<void>(() => {});

Deno.test("a slot is free after a failure", async () => {
  const gate = Promise.withResolvers<void>();
  await frees({
    handler: async () => {
      await gate.promise;
      throw new Fail("for good");
    },
    act: () => gate.resolve(),
  });
});

Deno.test("a slot is free while a task waits for its retry", async () => {
  const gate = Promise.withResolvers<void>();
  await frees({
    options: { maxRetries: 5, retryDelay: 3600 },
    handler: async () => {
      await gate.promise;
      throw new Error("once more");
    },
    act: () => gate.resolve(),
  });
});

Deno.test("a slot is free while a task is put off by Retry", async () => {
  const gate = Promise.withResolvers<void>();
  await frees({
    handler: async () => {
      await gate.promise;
      throw new Retry({ delay: "1h" });
    },
    act: () => gate.resolve(),
  });
});

Deno.test("a slot is free after a timeout", async () => {
  await frees({ handler: never, options: { timeout: "100ms" } });
});

Deno.test("a slot is free after a transactional attempt", async () => {
  const gate = Promise.withResolvers<void>();
  await frees({
    handler: async () => {
      await current().sql`SELECT 1`;
      await gate.promise;
    },
    act: () => gate.resolve(),
  });
});

Deno.test("a slot is free after the cancel of a running task", async () => {
  await frees({ handler: never, act: (test, id) => test.db.sql`SELECT firefly.cancel(${id})` });
});

Deno.test("a slot is free after the record of a running task was deleted", async () => {
  await frees({ handler: never, act: (test, id) => test.db.sql`DELETE FROM firefly.task WHERE id = ${id}` });
});

Deno.test("a slot is free after a consumer shut down in the middle of a task", async () => {
  let attempts = 0;
  await frees({
    handler: () => attempts++ === 0 ? never() : undefined,
    act: (_, __, other) => other.close(),
  });
});

Deno.test("the slots of a crashed consumer are free once its tasks are rescued, and these go on in their order", async () => {
  await using test = await testInstance();
  const { runs, handler } = recorder();
  const serial = task({ name: taskName(), concurrency: { limit: 1 } }, handler);
  const crashed = await startConsumer(test.db, { tasks: [serial.funcName] });
  await test.ff.run(() => serial.scheduleMany(numbers(2)));
  await test.db.sql`
    INSERT INTO firefly.definition (func_name, concurrency_limit) VALUES (${serial.funcName}, 1)
  `;
  await test.db.sql`SELECT firefly._admit(${[serial.funcName]}, '{}')`;
  await test.db.sql`
    WITH taken AS (DELETE FROM firefly.ready RETURNING id, length, claim_seq)
    INSERT INTO firefly.claim_batch (id, consumer_id, ids, lengths, claim_seqs)
    SELECT gen_random_uuid(), ${crashed}, array_agg(id), array_agg(length), array_agg(claim_seq) FROM taken
  `;
  await expireConsumer(test.db, crashed);

  await withTwo(test, { tasks: [serial], isDone: () => runs.length === 2 });

  assertEquals(runs.map(({ n }) => n), [0, 1]);
  assertEquals(await slotsOf(test.db), 0);
});

Deno.test("the cancel of a waiting task lets the next one of its key in", async () => {
  await using test = await testInstance();
  const end = Promise.withResolvers<void>();
  const { runs, handler } = recorder(() => end.promise);
  const serial = task({ name: taskName(), concurrency: { limit: 1 } }, handler);
  const records = await test.ff.run(() => serial.scheduleMany(numbers(3)));
  await using _ = test.ff.consume({ tasks: [serial], ...SLOW_POLL });
  await until(() => runs.length === 1);

  await test.db.sql`SELECT firefly.cancel(${records[1]!.id})`;
  end.resolve();

  await until(() => runs.length === 2, 3_000);
  assertEquals(runs.map(({ n }) => n), [0, 2]);
});

Deno.test("a task that was let in and is cancelled before it is claimed frees its slot for others", async () => {
  await using test = await testInstance();
  await using other = new Firefly({ database: test.db.url });
  const key = `shared ${taskName()}`;
  const { runs, handler } = recorder();
  const limited = (queue: string) => task({ name: taskName(), queue, concurrency: { limit: 1, key } }, handler);
  const [here, there] = [limited("here"), limited("there")];
  // A live consumer could run `there`, and does not claim.
  await startConsumer(test.db, { tasks: [there.funcName], queues: ["there"] });
  const first = await test.ff.run(() => there.schedule(0));
  await using _ = other.consume({ tasks: [here], queues: "here", ...SLOW_POLL });
  await until(async () => (await test.db.sql`SELECT FROM firefly.ready`).count === 1, 20_000);
  await test.ff.run(() => here.schedule(1));

  await first.cancel();

  await until(() => runs.length === 1, 3_000);
});

Deno.test("no task stalls that joins its line while another leaves its slot", async () => {
  await using test = await testInstance();
  await using other = new Firefly({ database: test.db.url });
  const { runs, handler } = recorder((n) => pause(n % 4));
  const serial = task({ name: taskName(), concurrency: { limit: 1 } }, handler);
  // A lease of a day: maintenance comes round all the same, but a stall would last for seconds.
  const consumers = [test.ff, other].map((ff) => ff.consume({ tasks: [serial], pollInterval: "60s", lease: "1d" }));
  await Promise.all(consumers.map(({ ready }) => ready));
  await serialWarmUp();
  let longest = 0;
  for (let n = 1; n <= 300; n++) {
    const scheduled = performance.now();
    await test.ff.run(() => serial.schedule(n));
    if (n % 3 === 1) await pause(n % 7);
    if (n % 3 > 0) continue;
    await until(() => runs.length > n);
    longest = Math.max(longest, performance.now() - scheduled);
    if (longest > 5000) break;
  }
  await Promise.all(consumers.map((consumer) => consumer.stop()));

  assert(longest < 5000, `a task stalled for ${longest} ms`);

  async function serialWarmUp(): Promise<void> {
    await test.ff.run(() => serial.schedule(0));
    await until(() => runs.length === 1);
  }
});

Deno.test("many keys under both limits and two consumers meet no deadlock, and leave nothing behind", async () => {
  await using test = await testInstance();
  let done = 0;
  const mixed = task({
    name: taskName(),
    concurrency: { limit: 2, key: (a: number) => `c${a}` },
    rateLimit: { limit: 20, per: "50ms", key: (_: number, b: number) => `r${b}` },
  }, (_a: number, _b: number) => void done++);
  const [before] = await test.db.sql`SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`;
  await test.ff.run(() => mixed.scheduleMany(numbers(600).map(([n]) => [n % 13, n % 7])));

  await withTwo(test, { tasks: [mixed], isDone: () => done === 600, options: { concurrency: 50 } });

  const [after] = await test.db.sql`SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`;
  assertEquals(after, before);
  await test.db.sql`DELETE FROM firefly.slot WHERE until < now() + interval '1 second'`;
  assertEquals((await test.db.sql`SELECT FROM firefly.slot`).count, 0);
  assertEquals((await test.db.sql`SELECT FROM firefly.waiting`).count, 0);
});
