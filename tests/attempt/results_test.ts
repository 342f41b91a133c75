import { assert, assertEquals, assertRejects } from "@std/assert";
import { DatabaseUnreachable, Firefly, settled, task } from "../../mod.ts";
import { ResultReader } from "../../src/attempt/results.ts";
import { bench } from "../support/attempt_bench.ts";
import { testDatabase } from "../support/database.ts";
import { end, scheduleGraph } from "../support/dependencies.ts";
import { OLD, ROTATED } from "../support/encryption.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { rolesDatabase } from "../support/roles.ts";
import { counting } from "../support/statements.ts";

Deno.test("ResultReader reads the results of tasks that start together by one statement, each its own", async () => {
  await using db = await testDatabase();
  const [a, b, c, d] = await scheduleGraph(db.store, [[], [], [{ ref: 0 }], [{ ref: 1 }, { ref: 0 }]]);
  await end(db.sql, [a!, b!]);
  const sql = counting(db.store);
  const reader = new ResultReader(sql);

  const read = await Promise.all([
    reader.read({ id: c!, count: 1 }),
    reader.read({ id: d!, count: 2 }),
    reader.read({ id: a!, count: 1 }),
  ]);
  assertEquals(read.map((rows) => rows.map(({ dependency_id }) => dependency_id)), [[a], [b, a], []]);
  assertEquals(sql.calls, 1);

  // More than a hundred take more, and those that come meanwhile share the next.
  await Promise.all(Array.from({ length: 150 }, () => reader.read({ id: d!, count: 1 })));
  assertEquals(sql.calls, 3);
});

Deno.test("ResultReader reads on after a statement that failed, whose error all of its tasks get", async () => {
  await using db = await testDatabase();
  let isDown = true;
  const sql =
    ((...args: Parameters<typeof db.store>) =>
      isDown ? Promise.reject(new DatabaseUnreachable("gone")) : db.store(...args)) as typeof db.store;
  const reader = new ResultReader(Object.assign(sql, db.store));

  const reads = [1, 2].map((id) => assertRejects(() => reader.read({ id, count: 1 }), DatabaseUnreachable));
  await Promise.all(reads);
  isDown = false;
  assertEquals(await reader.read({ id: 1, count: 1 }), []);
});

Deno.test("start() puts a task off, uncounted, when the database cannot be reached for a result", async () => {
  await using test = await bench();
  const params = btoa(JSON.stringify([{ $: "Result", v: 0 }]));
  Object.assign(test.env, {
    results: { read: () => Promise.reject(new DatabaseUnreachable("gone")) } as unknown as ResultReader,
  });
  let calls = 0;

  const { ending, record } = await test.run(() => void calls++, { columns: { params } });

  assertEquals([ending, record.status, record.retry_attempts, record.snoozes, calls], ["snoozed", "created", 0, 1, 0]);
});

Deno.test("start() fails an attempt whose arguments name a dependency that the task does not have", async () => {
  await using test = await bench();
  const params = btoa(JSON.stringify([{ $: "Result", v: 7 }]));

  const { ending, record } = await test.run(() => {}, { columns: { params } });

  assertEquals([ending, record.errors[0]!.name], ["failed", "FireflyFormatError"]);
  assert(record.errors[0]!.message.endsWith("as its arguments name its dependency 7, and it has none"));
});

Deno.test("a task waits for a consumer that has the key of a result", async () => {
  await using test = await testInstance({ encryption: ROTATED });
  await using old = new Firefly({ database: test.db.url, encryption: OLD });
  const make = task(taskName(), (n: number) => n + 1);
  const take = task(taskName(), (n: number, m: number) => n + m);

  const made = await test.ff.run(() => make.schedule(1)); // the result is encrypted by the new key
  await test.drain();
  const taken = await old.run(() => take.schedule(made as never, 5)); // the arguments by the old one
  await old.consume({ drain: true }).finished;
  const waiting = await old.tasks.get(taken.id);
  assertEquals([waiting.status, waiting.retryAttempts], ["created", 0]);

  await taken.run();
  await test.drain();
  assertEquals(await test.ff.run(async () => (await take.get(taken.id)).returned), 7);
});

Deno.test("a producer schedules graphs, and learns nothing of the tasks that it names", async () => {
  await using own = await rolesDatabase();
  await using web = new Firefly({ database: own.urlOf("producer"), schema: own.schema });
  await using ff = new Firefly({ database: own.urlOf("consumer"), schema: own.schema });
  const make = task(taskName(), (n: number) => n + 1);
  const take = task(taskName(), (list: number[], outcome: PromiseSettledResult<number>) => [...list, outcome.status]);

  const record = await web.run(async () => {
    const early = await make.schedule(5);
    return await take.with({ after: [early.id] }).schedule([make.schedule(1), early], settled(make.schedule(2)));
  });
  assertEquals([record.state, record.dependencies], ["dependent", 3]);
  await ff.consume({ tasks: [make, take], drain: true }).finished;

  assertEquals((await ff.tasks.get(record.id)).returned, [2, 6, "fulfilled"]);
  await assertRejects(() => record.graph(), Error, "permission denied");
});
