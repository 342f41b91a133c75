import { assert, assertEquals, assertRejects } from "@std/assert";
import postgres from "postgres";
import { task, TaskExists, type Unique } from "../../mod.ts";
import { defineTask } from "../../src/task/definition.ts";
import { Maintenance } from "../../src/consume/maintenance.ts";
import { Admission } from "../../src/claim/admission.ts";
import { Dependants } from "../../src/claim/dependants.ts";
import { Emitter } from "../../src/events.ts";
import type { ScheduleOptions, TaskOptions } from "../../src/task/options.ts";
import { uniqueColumns } from "../../src/schedule/unique_key.ts";
import { encode } from "../../src/wire/encode.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { until } from "../support/waiting.ts";

async function columnsOf(
  definition: TaskOptions["unique"] | undefined,
  call: ScheduleOptions["unique"] | undefined,
  args: unknown[] = [],
) {
  const defined = defineTask(
    { name: "test.task", ...(definition === undefined ? {} : { unique: definition }) },
    () => {},
  );
  const options = call === undefined ? {} : { unique: call };
  return await uniqueColumns(defined, options, { args, params: await encode(args) });
}

Deno.test("uniqueColumns() takes each option of the call, else of the definition", async () => {
  const defined: Unique = { key: "k", among: ["created"], for: "1m", onConflict: "replace" };
  const of = (unique_key: string, among: string[] | null, seconds: number | null, on_conflict: string) => ({
    unique_key,
    unique_among: among,
    unique_for: seconds,
    on_conflict,
  });

  assertEquals(await columnsOf(undefined, undefined), {});
  assertEquals(await columnsOf(undefined, "acme"), of("acme", null, null, "keep") as never);
  assertEquals(await columnsOf(defined, undefined), of("k", ["created"], 60, "replace") as never);
  assertEquals(await columnsOf(defined, "acme"), of("acme", ["created"], 60, "replace") as never);
  assertEquals(await columnsOf(defined, { onConflict: "error", for: 5 }), of("k", ["created"], 5, "error") as never);
  assertEquals(
    await columnsOf({ key: (a: unknown, b: unknown) => `${a} ${b}` }, { among: ["created", "failed"] }, [1, 2]),
    of("1 2", ["created", "failed"], null, "keep") as never,
  );
});

Deno.test("uniqueColumns() computes one key for the same arguments, whatever the order of their keys", async () => {
  const date = new Date("2026-01-31T08:00:00Z");
  const key = async (...args: unknown[]) => (await columnsOf(true, undefined, args)).unique_key!;
  const shared = { z: 1, y: 2 };
  const loop: Record<string, unknown> = { b: 1, a: 2 };
  loop.self = loop;
  const loopToo: Record<string, unknown> = { a: 2, b: 1 };
  loopToo.self = loopToo;
  const duplicates: [unknown[], unknown[]][] = [
    [[{ a: 1, b: 2 }], [{ b: 2, a: 1 }]],
    [[{ a: [{ c: 1, d: date }], $: 2 }], [{ $: 2, a: [{ d: date, c: 1 }] }]],
    [[new Map([["k", { a: 1, b: new Set([{ x: 1, y: 2 }]) }]])], [
      new Map([["k", { b: new Set([{ y: 2, x: 1 }]), a: 1 }]]),
    ]],
    [[{ a: shared, b: shared }], [{ b: shared, a: shared }]],
    [[loop], [loopToo]],
    [[JSON.parse('{"__proto__":1,"a":2}')], [JSON.parse('{"a":2,"__proto__":1}')]],
    [[new Uint8Array([1, 2])], [new Uint8Array([1, 2])]],
  ];
  const others: unknown[][] = [[], [undefined], [date], [date.toISOString()], [{ a: 1 }], [{ a: "1" }], [1n], [1], [[
    1,
  ]], [{ __proto__: null, a: 2 }]];

  for (const [one, other] of duplicates) assertEquals(await key(...one), await key(...other));
  const keys = await Promise.all(others.map((args) => key(...args)));
  assertEquals(new Set(keys).size, others.length);
  assert(keys.every((key) => /^[0-9a-f]{64}$/.test(key)));
  assertEquals(shared, { z: 1, y: 2 }, "the arguments stay as they are");
  assertEquals(Object.keys(shared), ["z", "y"]);
});

Deno.test("schedule() refuses a key function that throws, or returns no text, before any I/O", async () => {
  const fail = () => {
    throw new RangeError("no customer");
  };
  const cases: [(() => unknown), typeof Error, string][] = [
    [fail, TypeError, 'the key function of "unique" threw: no customer'],
    [() => 5, TypeError, "must be text: current value is 5"],
    [() => Promise.reject(new Error("late")), TypeError, "must be text"],
    [() => "", RangeError, "0 bytes"],
    [() => "x".repeat(1001), RangeError, "1001 bytes"],
    [() => "a\0b", RangeError, "without NUL"],
  ];
  for (const [key, type, message] of cases) {
    const work = task({ name: taskName(), unique: { key: key as () => string } }, () => {});
    await assertRejects(async () => await work.schedule(), type, message);
  }
});

Deno.test("`for` throttles: no duplicate until its time after completion has passed, and maintenance deletes the key", async () => {
  await using test = await testInstance();
  const ping = task({ name: taskName(), unique: { for: "1h" } }, (n: number) => n * 2);
  await test.ff.run(async () => {
    const first = await ping.schedule(2);
    await test.drain();
    const kept = await ping.schedule(2);
    assert(kept.status === "completed");
    assertEquals([kept.id, kept.returned, kept.inserted, await kept.result()], [first.id, 4, false, 4]);

    await first.delete();
    const gone = await ping.schedule(2);
    assertEquals([gone.id, gone.status, gone.inserted, gone.returned], [first.id, "completed", false, undefined]);

    await test.db.sql`UPDATE firefly.unique_key SET until = now() - interval '1 s'`;
    const rounds = { done: 0 };
    const maintenance = new Maintenance({
      sql: test.db.store,
      events: new Emitter(),
      admission: new Admission(test.db.store, { onProgress() {}, onError() {}, onSuccess() {} }),
      dependants: new Dependants(test.db.store, { onProgress() {}, onError() {}, onSuccess() {} }),
      config: { names: [], leaseMs: 120, drain: false },
      queues: { names: ["default"] },
      onSuccess: () => rounds.done++,
      onError: (error) => assertEquals(error, undefined),
    });
    await maintenance.start();
    await until(async () => (await test.db.sql`SELECT FROM firefly.unique_key`).length === 0);
    await maintenance.end();
    assertEquals((await ping.schedule(2)).inserted, true);
  });
});

Deno.test("error throws TaskExists, schedules nothing of its call, and leaves the transaction usable", async () => {
  await using test = await testInstance();
  const name = taskName();
  const once = task({ name, unique: { key: (n: number) => `n${n}`, onConflict: "error" } }, (n: number) => n);
  await test.ff.run(async () => {
    const holder = await once.schedule(5000);
    const calls = Array.from({ length: 6000 }, (_, i): [number] => [i]);
    const refused = await assertRejects(() => once.scheduleMany(calls), TaskExists);
    assertEquals([refused.id, refused.funcName, refused.key], [holder.id, name, "n5000"]);
    assertEquals(refused.message, `Cannot schedule task "${name}" as task ${holder.id} has its unique key "n5000"`);

    await test.ff.transaction(async () => {
      await assertRejects(() => once.scheduleMany(calls), TaskExists);
      await once.schedule(1);
    });
    const rows = await test.db.sql`SELECT unique_key FROM firefly.task ORDER BY id`;
    assertEquals(rows.map(({ unique_key }) => unique_key), ["n5000", "n1"]);
    await assertRejects(() => once.scheduleMany([[7], [7]]), TaskExists, "n7");
  });
});

Deno.test("a unique task joins transactions of Firefly and of other clients", async () => {
  await using test = await testInstance();
  const work = task({ name: taskName(), unique: true }, (n: number) => n);
  const client = postgres(test.db.url, { max: 1, transform: postgres.camel });
  await using _ = { [Symbol.asyncDispose]: () => client.end() };
  const throughs: ((fn: (options: ScheduleOptions) => Promise<void>) => Promise<unknown>)[] = [
    (fn) => test.ff.transaction(() => fn({})),
    (fn) => client.begin((tx) => fn({ tx })),
    (fn) =>
      client.begin((tx) =>
        fn({ tx: { query: async (text, params) => [...await tx.unsafe(text, params as string[])] } })
      ),
  ];

  await test.ff.run(async () => {
    for (const [n, through] of throughs.entries()) {
      await assertRejects(
        () =>
          through(async (options) => {
            await work.with(options).schedule(n);
            throw new RangeError("undone");
          }),
        RangeError,
        "undone",
      );
      await through(async (options) => {
        const first = await work.with(options).schedule(n);
        const [duplicate] = await work.with({ ...options, tags: ["x"] }).scheduleMany([[n]]);
        assertEquals([first.inserted, duplicate!.inserted, JSON.stringify(duplicate)], [
          true,
          false,
          JSON.stringify(first),
        ]);
        assertEquals(duplicate!.created instanceof Date, true);
        const refused = await assertRejects(
          async () => void await work.with({ ...options, unique: { onConflict: "error" } }).schedule(n),
          TaskExists,
        );
        assertEquals(refused.id, first.id);
        const later = new Date("2030-01-01T00:00:00Z");
        const replaced = await work.with(
          { ...options, notBefore: later, unique: { onConflict: "replace" } } as ScheduleOptions,
        )
          .schedule(n);
        assertEquals([replaced.id, replaced.notBefore], [first.id, later]);
      });
    }
  });
  assertEquals((await test.db.sql`SELECT FROM firefly.task`).length, throughs.length);
});
