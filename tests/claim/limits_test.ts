import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { current, Fail, Firefly, Retry, task, type TaskOptions } from "../../mod.ts";
import { defineTask } from "../../src/task/definition.ts";
import { limitsOf, storedDefinition } from "../../src/task/limit_keys.ts";
import type { TestDatabase } from "../support/database.ts";
import { registry } from "../../src/task/scope.ts";
import { taskName, type TestInstance, testInstance } from "../support/instance.ts";
import { startCli } from "../support/process.ts";
import { expireConsumer, startConsumer } from "../support/claiming.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
/** Wakes by notifications and looks alone, so that a task that is not let in is seen to stall. */
const PATIENT = { pollInterval: "1h" } as const;

/** A handler that notes when it runs, for `ms` milliseconds or for as long as `wait` says. */
function recorder(wait: (n: number) => Promise<void> = () => pause(2)) {
  const runs: { n: number; began: number; ended: number }[] = [];
  let [running, most] = [0, 0];
  return {
    runs,
    get running() {
      return running;
    },
    get most() {
      return most;
    },
    async handler(n: number) {
      most = Math.max(most, ++running);
      const run = { n, began: performance.now(), ended: Infinity };
      runs.push(run);
      try {
        await wait(n);
      } finally {
        run.ended = performance.now();
        running--;
      }
    },
  };
}

/** Runs two consumers, each with connections of its own, until `isDone`. */
async function withTwo(
  test: TestInstance,
  // deno-lint-ignore no-explicit-any
  { tasks, isDone, options = {} }: { tasks: any[]; isDone: () => boolean | Promise<boolean>; options?: object },
): Promise<void> {
  await using other = new Firefly({ database: test.db.url });
  const consumers = [test.ff, other].map((ff) => ff.consume({ tasks, ...PATIENT, ...options }));
  await Promise.all(consumers.map(({ ready }) => ready));
  await until(isDone, 60_000);
  await Promise.all(consumers.map((consumer) => consumer.stop()));
}

const numbers = (count: number) => Array.from({ length: count }, (_, n): [number] => [n]);

/** What is left of slots, but for those of rates that run out by themselves. */
async function slotsOf(db: TestDatabase): Promise<number> {
  const rows = await db.sql`SELECT FROM firefly.slot WHERE until IS NULL OR until = 'infinity'`;
  return rows.count;
}

async function endedOf(db: TestDatabase): Promise<number> {
  const [row] = await db.sql`SELECT count(*)::int AS count FROM firefly.task WHERE status <> 'created'`;
  return row!.count;
}

Deno.test("limitsOf() takes the name, a common text, or what a function returns for this task", () => {
  const keysOf = (options: Partial<TaskOptions<[string]>>, arg = "ann") => {
    const { concurrencyKey, rateKey } = limitsOf(defineTask({ name: "mail.send", ...options }, () => {}), [arg]);
    return [concurrencyKey, rateKey];
  };
  const rate = { limit: 1, per: 1 };

  assertEquals(keysOf({}), [null, null]);
  assertEquals(keysOf({ concurrency: { limit: 1 } }), ["mail.send", null]);
  assertEquals(keysOf({ rateLimit: rate }), [null, "mail.send"]);
  assertEquals(
    keysOf({ concurrency: { limit: 1, key: "api" }, rateLimit: { ...rate, key: (user) => user } }),
    ["api", "mail.send:ann"],
  );
  const cases: [unknown, string][] = [
    [7, 'Cannot limit task "mail.send" as the key of "concurrency" must be text: current value is 7'],
    [undefined, "must be text: current value is undefined"],
    ["", "must be 1 to 1000 bytes of text without NUL: current value has 0 bytes"],
    ["x\0", "without NUL"],
    ["x".repeat(995), "current value has 1005 bytes"],
  ];
  for (const [key, message] of cases) {
    assertThrows(() => keysOf({ concurrency: { limit: 1, key: () => key as string } }), Error, message);
  }
});

Deno.test("schedule() stores keys in whatever way it inserts, and throws what a key function throws", async () => {
  await using test = await testInstance();
  const keyed = task({
    name: taskName(),
    concurrency: { limit: 1, key: (user: string) => user },
    rateLimit: { limit: 1, per: 1, key: "api" },
  }, (_user: string) => {});
  const plain = task(taskName(), () => {});
  await test.ff.run(async () => {
    await keyed.schedule("a");
    await keyed.scheduleMany([["b"]]);
    await keyed.with({ tx: test.db.sql }).schedule("c");
    await plain.schedule();
    await assertRejects(() => keyed.scheduleMany([["d"], [""]]), RangeError, 'the key of "concurrency"');
  });

  const rows = await test.db.sql`SELECT concurrency_key, rate_key FROM firefly.task ORDER BY id`;
  const keys = ["a", "b", "c"].map((user) => ({ concurrency_key: `${keyed.funcName}:${user}`, rate_key: "api" }));
  assertEquals([...rows], [...keys, { concurrency_key: null, rate_key: null }]);
});

Deno.test("storedDefinition() gives limits and retention in seconds", () => {
  const stored = (options: Partial<TaskOptions<[]>>) => {
    const { func_name: _, ...columns } = storedDefinition("a", defineTask({ name: "a", ...options }, () => {}));
    return Object.values(columns);
  };

  assertEquals(stored({}), [null, null, null, null, null]);
  assertEquals(stored({ concurrency: { limit: 2 }, rateLimit: { limit: 3, per: "2m" } }), [2, 3, 120, null, null]);
  assertEquals(stored({ retention: "1d" }), [null, null, null, 86400, 86400]);
  assertEquals(stored({ retention: { failed: Infinity } }), [null, null, null, null, "Infinity"]);
  assertEquals(stored({ retention: { completed: 0 } }), [null, null, null, 0, null]);
});

Deno.test("a concurrency limit of 1 runs tasks one by one, in order, over two consumers", async () => {
  await using test = await testInstance();
  const { runs, handler } = recorder((n) => pause(n % 5));
  const serial = task({ name: taskName(), concurrency: { limit: 1 } }, handler);
  await test.ff.run(() => serial.scheduleMany(numbers(150)));

  await withTwo(test, { tasks: [serial], isDone: async () => await endedOf(test.db) === 150 });

  assertEquals(runs.map(({ n }) => n), numbers(150).flat());
  for (const [i, { began }] of runs.entries()) if (i > 0) assert(began >= runs[i - 1]!.ended);
  assertEquals(await slotsOf(test.db), 0);
});

Deno.test("a concurrency limit is never exceeded by two consumers with room for more, and is used", async () => {
  await using test = await testInstance();
  const recorded = recorder((n) => pause(n % 7));
  const few = task({ name: taskName(), concurrency: { limit: 4 } }, recorded.handler);
  await test.ff.run(() => few.scheduleMany(numbers(400)));

  await withTwo(test, { tasks: [few], isDone: async () => await endedOf(test.db) === 400 });

  assertEquals(recorded.most, 4);
  assertEquals(await slotsOf(test.db), 0);
});

Deno.test("limited tasks run by priority, too", async () => {
  await using test = await testInstance();
  const { runs, handler } = recorder();
  const serial = task({ name: taskName(), concurrency: { limit: 1 } }, handler);
  for (const [n] of numbers(6)) await test.ff.run(() => serial.with({ priority: n % 3 }).schedule(n));

  await test.drain({ tasks: [serial] });

  assertEquals(runs.map(({ n }) => n), [2, 5, 1, 4, 0, 3]);
});

Deno.test("a key that is taken keeps no other key waiting", async () => {
  await using test = await testInstance();
  const end = Promise.withResolvers<void>();
  const done: string[] = [];
  const each = task(
    { name: taskName(), concurrency: { limit: 1, key: (user: string) => user } },
    async (user: string, n: number) => {
      if (user === "slow") await end.promise;
      done.push(`${user} ${n}`);
    },
  );
  await test.ff.run(() => each.scheduleMany([["slow", 0], ["slow", 1], ["a", 0], ["b", 0], ["a", 1]]));
  await using _ = test.ff.consume({ tasks: [each], ...PATIENT });

  await until(() => done.length === 3);
  assertEquals(done.filter((one) => one.startsWith("a")), ["a 0", "a 1"]);
  end.resolve();

  await until(() => done.length === 5);
  assertEquals(done.slice(3), ["slow 0", "slow 1"]);
});

/** The shortest time in which more than `limit` of these began. */
function shortestSpan(times: number[], limit: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  return Math.min(...sorted.slice(limit).map((time, i) => time - sorted[i]!));
}

Deno.test("a rate limit holds for every span of time, over two consumers and while they are away", async () => {
  await using test = await testInstance();
  const { runs, handler } = recorder((n) => pause(n % 3));
  const rated = task({ name: taskName(), rateLimit: { limit: 6, per: "400ms" } }, handler);
  await test.ff.run(() => rated.scheduleMany(numbers(33)));

  // Few slots: some tasks stand in the stock of a consumer before they begin.
  const options = { concurrency: 2 };
  await withTwo(test, { tasks: [rated], isDone: () => runs.length >= 10, options });
  await withTwo(test, { tasks: [rated], isDone: async () => await endedOf(test.db) === 33, options });

  const span = shortestSpan(runs.map(({ began }) => began), 6);
  assert(span >= 399, `7 tasks began within ${span} ms`);
  const rows = await test.db.sql`SELECT started FROM firefly.task`;
  // What is stored is told by the database's clock when the attempt is settled.
  const stored = shortestSpan(rows.map(({ started }) => Number(started)), 6);
  assert(stored >= 300, `7 tasks began within ${stored} ms by their records`);
  const [first, last] = [runs[0]!, runs.at(-1)!];
  assert(last.began - first.began < 10_000, "the rate was not made use of");
  assertEquals(await slotsOf(test.db), 0);
});

Deno.test("a rate limit counts from the start of an attempt, however long it stood in its consumer's stock", async () => {
  await using test = await testInstance();
  const { runs, handler } = recorder();
  const rated = task({ name: taskName(), rateLimit: { limit: 1, per: "400ms" } }, handler);
  const end = Promise.withResolvers<void>();
  const busy = task(taskName(), (wait: boolean) => wait ? end.promise : undefined);
  // A stock is built up while tasks are short; then the one slot is taken.
  await test.ff.run(() => busy.scheduleMany(Array.from({ length: 300 }, () => [false])));
  await test.ff.run(() => busy.schedule(true));
  await test.ff.run(() => rated.scheduleMany(numbers(2)));
  await using other = new Firefly({ database: test.db.url });
  await using _ = test.ff.consume({ tasks: [rated, busy], concurrency: 1, ...PATIENT });
  await until(async () => (await test.db.sql`SELECT FROM firefly.task WHERE status = 'created'`).count === 3);
  await until(async () => (await test.db.sql`SELECT FROM firefly.slot WHERE kind = 'rate'`).count === 1);
  await pause(600);

  await using _other = other.consume({ tasks: [rated], ...PATIENT });
  end.resolve();
  await until(() => runs.length === 2);

  assert(runs[1]!.began - runs[0]!.began >= 399, `began ${runs[1]!.began - runs[0]!.began} ms apart`);
});

Deno.test("both limits hold together, and neither key keeps others from the other one", async () => {
  await using test = await testInstance();
  const blocked = recorder();
  // One pool of two slots for all users, and a rate for each of them.
  const call = task({
    name: taskName(),
    concurrency: { limit: 2, key: `api ${taskName()}` },
    rateLimit: { limit: 3, per: "1h", key: (user: string) => user },
  }, async (_user: string, n: number) => await blocked.handler(n));
  await test.ff.run(() => call.scheduleMany(numbers(20).map(([n]) => ["a", n])));
  await test.ff.run(() => call.scheduleMany(numbers(2).map(([n]) => ["b", 100 + n])));

  await withTwo(test, { tasks: [call], isDone: () => blocked.runs.length === 5 });

  assertEquals(blocked.runs.map(({ n }) => n).toSorted((a, b) => a - b), [0, 1, 2, 100, 101]);
  assert(blocked.most <= 2);
  assertEquals(await slotsOf(test.db), 0);
});

Deno.test("both limits hold together where a busy key would take all of a common rate", async () => {
  await using test = await testInstance();
  const end = Promise.withResolvers<void>();
  const began: string[] = [];
  // One by one for each user, and a common rate.
  const call = task({
    name: taskName(),
    concurrency: { limit: 1, key: (user: string) => user },
    rateLimit: { limit: 5, per: "1h" },
  }, async (user: string, n: number) => {
    began.push(`${user}${n}`);
    if (user === "a") await end.promise;
  });
  await test.ff.run(() => call.scheduleMany(numbers(10).map(([n]) => ["a", n])));
  await test.ff.run(() => call.scheduleMany(numbers(2).map(([n]) => ["b", n])));
  await using _ = test.ff.consume({ tasks: [call], ...PATIENT });

  await until(() => began.length === 3);
  end.resolve();
  await until(() => began.length === 5);

  assertEquals(began, ["a0", "b0", "b1", "a1", "a2"]);
});

Deno.test("a row from SQL gets its keys when it is first claimed, and then waits for its slots", async () => {
  await using test = await testInstance();
  const { runs, handler } = recorder();
  const name = taskName();
  const each = task({
    name,
    concurrency: { limit: 1, key: (user: string) => user },
    rateLimit: { limit: 2, per: "1h", key: "mail" },
  }, async (_user: string, n: number) => await handler(n));
  for (const [n] of numbers(3)) {
    await test.db.sql`SELECT firefly.schedule(${name}, ${test.db.sql.json(["ann", n])})`;
  }

  await withTwo(test, { tasks: [each], isDone: () => runs.length === 2 });

  assertEquals(runs.map(({ n }) => n), [0, 1]);
  const rows = await test.db.sql`
    SELECT concurrency_key, rate_key, status, retry_attempts, snoozes FROM firefly.task ORDER BY id
  `;
  const keys = { concurrency_key: `${name}:ann`, rate_key: "mail", retry_attempts: 0, snoozes: 0 };
  assertEquals([...rows], [
    { ...keys, status: "completed" },
    { ...keys, status: "completed" },
    { ...keys, status: "created" },
  ]);
  assertEquals(await slotsOf(test.db), 0);
});

Deno.test("a function that cannot tell the key of a row from SQL fails its task, and no other", async () => {
  await using test = await testInstance();
  const name = taskName();
  const each = task(
    { name, concurrency: { limit: 1, key: ({ user }: { user: string }) => user } },
    (_: { user: string }) => {},
  );
  const bad = await insertTask(test.db, { func_name: name, params: btoa("[null]") });
  const malformed = await insertTask(test.db, { func_name: name, params: "no params" });
  const empty = await insertTask(test.db, { func_name: name, params: btoa('[{"user":""}]') });
  const good = await insertTask(test.db, { func_name: name, params: btoa('[{"user":"ann"}]') });

  assertEquals(await test.drain({ tasks: [each] }), { completed: 1, failed: 3 });

  assertEquals((await recordOf(test.db, good)).status, "completed");
  const messages = await Promise.all([bad, malformed, empty].map(async (id) => {
    const { errors } = await recordOf(test.db, id) as { errors: { message: string }[] };
    return errors[0]!.message;
  }));
  assert(messages[0]!.includes("Cannot destructure"), messages[0]);
  assert(messages[2]!.includes('the key of "concurrency" must be 1 to 1000 bytes'), messages[2]);
});

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
  await using _ = other.consume({ tasks: [serial], ...PATIENT, shutdownTimeout: 0 });
  await began.promise;
  await test.ff.run(() => serial.schedule(false));
  await using _second = test.ff.consume({ tasks: [serial], ...PATIENT });

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

Deno.test("the slots of a dead consumer are free once its tasks are rescued, and they go on in their order", async () => {
  await using test = await testInstance();
  const { runs, handler } = recorder();
  const serial = task({ name: taskName(), concurrency: { limit: 1 } }, handler);
  const dead = await startConsumer(test.db, { tasks: [serial.funcName] });
  await test.ff.run(() => serial.scheduleMany(numbers(2)));
  await test.db.sql`
    INSERT INTO firefly.definition (func_name, concurrency_limit) VALUES (${serial.funcName}, 1)
  `;
  await test.db.sql`SELECT firefly._admit(${[serial.funcName]}, '{}')`;
  await test.db.sql`
    WITH taken AS (DELETE FROM firefly.ready RETURNING id, claim_seq)
    INSERT INTO firefly.claim_batch (id, consumer_id, ids, claim_seqs)
    SELECT gen_random_uuid(), ${dead}, array_agg(id), array_agg(claim_seq) FROM taken
  `;
  await expireConsumer(test.db, dead);

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
  await using _ = test.ff.consume({ tasks: [serial], ...PATIENT });
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
  // Somebody lives who would run `there`, and does not claim.
  await startConsumer(test.db, { tasks: [there.funcName], queues: ["there"] });
  const first = await test.ff.run(() => there.schedule(0));
  await using _ = other.consume({ tasks: [here], queues: "here", ...PATIENT });
  await until(async () => (await test.db.sql`SELECT FROM firefly.ready`).count === 1, 20_000);
  await test.ff.run(() => here.schedule(1));

  await first.cancel();

  await until(() => runs.length === 1, 3_000);
});

Deno.test("a newer consumer's limits hold for all, and a limit that is gone keeps nobody waiting", async () => {
  await using test = await testInstance();
  await using newer = new Firefly({ database: test.db.url });
  const name = taskName();
  const gate = Promise.withResolvers<void>();
  const recorded = recorder(() => gate.promise);
  const one = task({ name, concurrency: { limit: 1 } }, recorded.handler);
  await using _ = test.ff.consume({ tasks: [one], ...PATIENT });
  await test.ff.run(() => one.scheduleMany(numbers(6)));
  await until(() => recorded.running === 1);

  registry.delete(name);
  const three = task({ name, concurrency: { limit: 3 } }, recorded.handler);
  await using _three = newer.consume({ tasks: [three], ...PATIENT });
  await until(() => recorded.running === 3);

  registry.delete(name);
  const free = task(name, recorded.handler);
  await using _free = newer.consume({ tasks: [free], ...PATIENT });
  await until(() => recorded.running === 6);
  gate.resolve();
  await until(async () => await endedOf(test.db) === 6);

  assertEquals(await slotsOf(test.db), 0);
});

Deno.test("a paused queue keeps no slot of a key that it shares, and takes its turn when it is resumed", async () => {
  await using test = await testInstance();
  const key = `shared ${taskName()}`;
  const { runs, handler } = recorder();
  const shared = task({ name: taskName(), concurrency: { limit: 1, key } }, handler);
  const busy = Promise.withResolvers<void>();
  const blocker = task(taskName(), () => busy.promise);
  await using consumer = test.ff.consume({
    tasks: [shared, blocker],
    queues: ["still", "default"],
    concurrency: 1,
    ...PATIENT,
  });
  await consumer.ready;
  await test.ff.run(() => blocker.with({ priority: 1 }).schedule());
  await until(async () => (await test.db.sql`SELECT FROM firefly.claim_batch`).count === 1);
  await test.ff.run(() => shared.with({ queue: "still" }).schedule(0));
  // It is let in, and then its queue is paused.
  await test.db.sql`SELECT firefly._admit(${[key]}, '{}')`;
  assertEquals((await test.db.sql`SELECT FROM firefly.ready`).count, 1);
  await test.db.sql`SELECT firefly.pause('still')`;
  await test.ff.run(() => shared.schedule(1));
  busy.resolve();

  await until(() => runs.length === 1, 15_000);
  await test.db.sql`SELECT firefly.resume('still')`;
  await until(() => runs.length === 2, 3_000);

  assertEquals(runs.map(({ n }) => n), [1, 0]);
});

Deno.test("consumers that share a key over queues wake each other", async () => {
  await using test = await testInstance();
  await using other = new Firefly({ database: test.db.url });
  const key = `shared ${taskName()}`;
  const recorded = recorder();
  const limited = (queue: string) =>
    task({ name: taskName(), queue, concurrency: { limit: 1, key } }, recorded.handler);
  const [a, b] = [limited("a"), limited("b")];
  const consumers = [
    test.ff.consume({ tasks: [a], queues: "a", ...PATIENT }),
    other.consume({ tasks: [b], queues: "b", ...PATIENT }),
  ];
  await Promise.all(consumers.map(({ ready }) => ready));
  for (const [n] of numbers(40)) await test.ff.run(() => (n % 2 ? a : b).schedule(n));

  await until(() => recorded.runs.length === 40, 20_000);
  await Promise.all(consumers.map((consumer) => consumer.stop()));

  assertEquals(recorded.most, 1);
  const gaps = recorded.runs.slice(1).map(({ began }, i) => began - recorded.runs[i]!.ended);
  assert(Math.max(...gaps) < 1000, `stood still for ${Math.max(...gaps)} ms`);
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
    await until(() => runs.length > n, 10_000);
    longest = Math.max(longest, performance.now() - scheduled);
    if (longest > 1000) break;
  }
  await Promise.all(consumers.map((consumer) => consumer.stop()));

  assert(longest < 1000, `a task stalled for ${longest} ms`);

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

Deno.test("a concurrency limit of 1 holds over two processes", async () => {
  await using test = await testInstance();
  await test.db.sql`CREATE TABLE run (n int, began timestamptz, ended timestamptz)`;
  const tasks = new URL("../support/limits_tasks.ts", import.meta.url).pathname;
  const args = ["consume", "--database", test.db.url, "--import", tasks, "--concurrency", "5"];
  await using _first = startCli(args);
  await using _second = startCli(args);
  await until(async () => (await test.db.sql`SELECT FROM firefly.consumer`).count === 2, 30_000);

  // By SQL, so that the keys are computed by whichever process claims them first.
  await test.db.sql`SELECT firefly.schedule('limits.serial', jsonb_build_array(n)) FROM generate_series(0, 59) AS n`;
  await until(async () => (await test.db.sql`SELECT FROM run WHERE ended IS NOT NULL`).count === 60, 60_000);

  const [row] = await test.db.sql`
    SELECT count(*) FILTER (WHERE began < before.ended)::int AS overlaps
    FROM (SELECT began, lag(ended) OVER (ORDER BY began) AS ended FROM run) AS before
  `;
  assertEquals(row, { overlaps: 0 });
});
