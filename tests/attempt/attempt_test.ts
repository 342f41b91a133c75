import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { current, FireflyError } from "../../mod.ts";
import { defineTask, type Handler } from "../../src/task/definition.ts";
import type { Firefly } from "../../src/firefly/firefly.ts";
import { placesOf } from "../support/records.ts";
import { bench } from "../support/attempt_bench.ts";
import { gate } from "../support/step_gate.ts";

Deno.test("start() completes with what the handler returns, sync or async", async () => {
  await using test = await bench();

  const sync = await test.run((i: number, j: number) => i + j, { columns: { params: btoa("[1,3]") } });
  const later = await test.run(async () => await Promise.resolve([1n]));
  const nothing = await test.run(() => {});

  assertEquals([sync.ending, sync.record.status, sync.record.returned], ["completed", "completed", 4]);
  assertEquals([later.ending, later.record.returned], ["completed", [1n]]);
  assertEquals([nothing.ending, nothing.record.status, nothing.record.returned], ["completed", "completed", null]);
  assertEquals(await placesOf(test.db), { ready: 0, waiting: 0, claimBatches: 0 });
});

Deno.test("start() fails a task without retries by whatever its handler throws", async () => {
  await using test = await bench();
  const thrown: [unknown, string, string][] = [
    [new RangeError("too far"), "RangeError", "too far"],
    ["just text", "string", "just text"],
    [undefined, "undefined", "undefined"],
    [new Error("a\0b \ud800"), "Error", "a\ufffdb \ufffd"],
    [Object.create(null), "Error", "The thrown value cannot be read"],
  ];

  for (const [error, name, message] of thrown) {
    const { ending, record } = await test.run(() => {
      throw error;
    });
    assertEquals([ending, record.status, record.returned], ["failed", "failed", null]);
    assertEquals(record.errors.map(({ name, message, attempt }) => ({ name, message, attempt })), [
      { name, message, attempt: 1 },
    ]);
  }
});

Deno.test("start() fails readably on params that were broken by hand", async () => {
  await using test = await bench();
  const cases: [string, string][] = [
    ["no base64!", "FireflyFormatError"],
    [btoa("{"), "FireflyFormatError"],
    [btoa('{"a":1}'), "TypeError"],
    [btoa("null"), "TypeError"],
    [btoa('[{"$":"Unheard"}]'), "FireflyFormatError"],
  ];

  for (const [params, name] of cases) {
    const { ending, record } = await test.run(() => "never called", { columns: { params } });
    assertEquals([ending, record.status, record.errors[0]!.name], ["failed", "failed", name], params);
    assert(record.errors[0]!.message.length > 20);
  }
});

Deno.test("start() fails on a result that cannot be stored, names its path, and rolls the effects back", async () => {
  await using test = await bench();
  await test.db.sql`CREATE TABLE effect (n int)`;

  const { ending, record } = await test.run(async () => {
    await current().sql`INSERT INTO effect VALUES (1)`;
    return { list: [1, { callback: () => 1 }] };
  });

  assertEquals([ending, record.status, record.errors[0]!.name], ["failed", "failed", "DataCloneError"]);
  assertStringIncludes(record.errors[0]!.message, "$.list[1].callback");
  assertEquals((await test.db.sql`SELECT FROM effect`).length, 0);
});

Deno.test("start() fails on an error of the database, thrown, swallowed, or raised by COMMIT itself", async () => {
  await using test = await bench();
  await test.db.sql`CREATE TABLE effect (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)`;
  const handlers: [Handler, string][] = [
    [async () => void await current().sql`SELECT 1 / 0`, "division by zero"],
    [async () => {
      await current().sql`INSERT INTO effect VALUES (1)`;
      await current().sql`SELECT 1 / 0`.catch(() => {});
      return "fine";
    }, "division by zero"],
    [async () => void await current().sql`INSERT INTO effect VALUES (2), (2)`, "duplicate key"],
  ];

  for (const [handler, message] of handlers) {
    const { ending, record } = await test.run(handler);
    assertEquals([ending, record.status, record.returned], ["failed", "failed", null]);
    assertStringIncludes(`${record.errors[0]!.message} ${record.errors[0]!.cause}`, message);
  }
  assertEquals((await test.db.sql`SELECT FROM effect`).length, 0);
});

Deno.test("a handler that ended cannot write or schedule any more", async () => {
  await using test = await bench();
  const after = gate();
  const leaked: Promise<unknown>[] = [];
  const instance = test.env.instance as Firefly;
  const followUp = defineTask("test.follow_up", () => {});
  const { ending } = await test.begin(() => {
    const { sql } = current();
    leaked.push((async () => {
      await after.wait();
      await assertRejects(() => sql`SELECT 1`, FireflyError, "transaction has ended");
      await assertRejects(() => instance.schedule(followUp, [[]], {}), FireflyError, "has ended");
      await assertRejects(() => instance.transaction((sql) => sql`SELECT 1`), FireflyError, "has ended");
      await instance.schedule(followUp, [[]], { tx: null }); // outside of any transaction: that is what it says
    })());
  });

  assertEquals(await ending, "completed");
  after.open();
  await Promise.all(leaked);

  assertEquals((await test.db.sql`SELECT FROM firefly.task WHERE func_name = 'test.follow_up'`).length, 1);
});

Deno.test("start() leaves the slot before it settles, unless the handler's transaction holds a session", async () => {
  await using test = await bench();
  const { slots, events } = test.env;
  let steps: string[] = [];
  slots.onRoom = () => steps.push(`${slots.free} free`);
  events.on("completed", () => steps.push("completed"));

  await test.run(() => 1);
  assertEquals(steps, ["1 free", "completed", "1 free"]);

  steps = [];
  await test.run(async () => void await current().sql`SELECT 1`);
  assertEquals(steps, ["completed", "1 free"]);
});
