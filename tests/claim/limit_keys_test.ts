import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Firefly, task, type TaskOptions } from "../../mod.ts";
import { defineTask } from "../../src/task/definition.ts";
import { computeLimitKeys, toDefinitionRow } from "../../src/task/limit_keys.ts";
import { registry } from "../../src/task/scope.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";
import { endedOf, numbers, recorder, slotsOf, SLOW_POLL, withTwo } from "../support/limits.ts";

Deno.test("computeLimitKeys() takes the name, a common text, or what a function returns for this task", () => {
  const keysOf = (options: Partial<TaskOptions<[string]>>, arg = "ann") => {
    const { concurrencyKey, rateKey } = computeLimitKeys(defineTask({ name: "mail.send", ...options }, () => {}), [
      arg,
    ]);
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
    await test.db.sql.begin((tx) => keyed.with({ tx }).schedule("c"));
    await plain.schedule();
    await assertRejects(() => keyed.scheduleMany([["d"], [""]]), RangeError, 'the key of "concurrency"');
  });

  const rows = await test.db.sql`SELECT concurrency_key, rate_key FROM firefly.task ORDER BY id`;
  const keys = ["a", "b", "c"].map((user) => ({ concurrency_key: `${keyed.funcName}:${user}`, rate_key: "api" }));
  assertEquals([...rows], [...keys, { concurrency_key: null, rate_key: null }]);
});

Deno.test("toDefinitionRow() gives the queue, limits and retention in seconds", () => {
  const stored = (options: Partial<TaskOptions<[]>>) => {
    const { func_name: _, ...columns } = toDefinitionRow("a", defineTask({ name: "a", ...options }, () => {}));
    return Object.values(columns);
  };

  assertEquals(stored({}), [null, null, null, null, null, null]);
  assertEquals(stored({ queue: "mail" })[0], "mail");
  assertEquals(stored({ concurrency: { limit: 2 }, rateLimit: { limit: 3, per: "2m" } }), [
    null,
    2,
    3,
    120,
    null,
    null,
  ]);
  assertEquals(stored({ retention: "1d" }), [null, null, null, null, 86400, 86400]);
  assertEquals(stored({ retention: { failed: Infinity } }), [null, null, null, null, null, "Infinity"]);
  assertEquals(stored({ retention: { completed: 0 } }), [null, null, null, null, 0, null]);
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
    SELECT concurrency_key, rate_key, status, retry_attempts, snoozes FROM firefly.task_record ORDER BY id
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

Deno.test("a newer consumer's limits apply to all, and a removed limit keeps no task waiting", async () => {
  await using test = await testInstance();
  await using newer = new Firefly({ database: test.db.url });
  const name = taskName();
  const gate = Promise.withResolvers<void>();
  const recorded = recorder(() => gate.promise);
  const one = task({ name, concurrency: { limit: 1 } }, recorded.handler);
  await using _ = test.ff.consume({ tasks: [one], ...SLOW_POLL });
  await test.ff.run(() => one.scheduleMany(numbers(6)));
  await until(() => recorded.running === 1);

  registry.delete(name);
  const three = task({ name, concurrency: { limit: 3 } }, recorded.handler);
  await using _three = newer.consume({ tasks: [three], ...SLOW_POLL });
  await until(() => recorded.running === 3);

  registry.delete(name);
  const free = task(name, recorded.handler);
  await using _free = newer.consume({ tasks: [free], ...SLOW_POLL });
  await until(() => recorded.running === 6);
  gate.resolve();
  await until(async () => await endedOf(test.db) === 6);

  assertEquals(await slotsOf(test.db), 0);
});
