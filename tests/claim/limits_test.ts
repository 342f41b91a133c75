import { assert, assertEquals } from "@std/assert";
import { Firefly, task } from "../../mod.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { startCli } from "../support/process.ts";
import { until } from "../support/waiting.ts";
import { endedOf, numbers, pause, recorder, slotsOf, SLOW_POLL, withTwo } from "../support/limits.ts";

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
  await using _ = test.ff.consume({ tasks: [each], ...SLOW_POLL });

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
  // The stored times are counted back from the statement that settles: one that comes late makes them later, never earlier.
  const stored = rows.map(({ started }) => Number(started)).toSorted((a, b) => a - b);
  const began = runs.map(({ began }) => performance.timeOrigin + began).toSorted((a, b) => a - b);
  const early = Math.max(...began.map((time, i) => time - stored[i]!));
  assert(early < 50, `a task began ${early} ms later than its record says`);
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
  await using _ = test.ff.consume({ tasks: [rated, busy], concurrency: 1, ...SLOW_POLL });
  await until(async () => (await test.db.sql`SELECT FROM firefly.task WHERE status = 'created'`).count === 3);
  await until(async () => (await test.db.sql`SELECT FROM firefly.slot WHERE kind = 'rate'`).count === 1);
  await pause(600);

  await using _other = other.consume({ tasks: [rated], ...SLOW_POLL });
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
  await using _ = test.ff.consume({ tasks: [call], ...SLOW_POLL });

  await until(() => began.length === 3);
  end.resolve();
  await until(() => began.length === 5);

  assertEquals(began, ["a0", "b0", "b1", "a1", "a2"]);
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
    ...SLOW_POLL,
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
    test.ff.consume({ tasks: [a], queues: "a", ...SLOW_POLL }),
    other.consume({ tasks: [b], queues: "b", ...SLOW_POLL }),
  ];
  await Promise.all(consumers.map(({ ready }) => ready));
  for (const [n] of numbers(40)) await test.ff.run(() => (n % 2 ? a : b).schedule(n));

  await until(() => recorded.runs.length === 40, 20_000);
  await Promise.all(consumers.map((consumer) => consumer.stop()));

  assertEquals(recorded.most, 1);
  const gaps = recorded.runs.slice(1).map(({ began }, i) => began - recorded.runs[i]!.ended);
  assert(Math.max(...gaps) < 1000, `stood still for ${Math.max(...gaps)} ms`);
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
