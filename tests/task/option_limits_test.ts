/** Numbers that are none, or too large for the database: refused where an option is set, before anything is sent. */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Firefly, type FireflyOptions, Retry, type ScheduleOptions, task } from "../../mod.ts";
import { defineTask } from "../../src/task/definition.ts";
import { testDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";

const LONGEST = 31_557_600_000;
const HOSTILE = [NaN, Infinity, -Infinity, -1, "-5m", "1e999d", "NaNs"];
/** Refused as well, but for retries: the statement that settles an attempt shortens their delay. */
const TOO_LONG = [LONGEST + 1, 1e300, Number.MAX_VALUE, "365251d", "1e300d"];
const NO_INTEGERS = [NaN, Infinity, -Infinity, 0.5, 2 ** 31, -(2 ** 31), 1e300, "5"];

/** The options that are durations, as an object of options with this value. */
const durations: Record<string, (value: unknown) => object> = {
  timeout: (timeout) => ({ timeout }),
  retryDelay: (retryDelay) => ({ retryDelay }),
  "retryDelay.delay": (delay) => ({ retryDelay: { kind: "fixed", delay } }),
  "retryDelay.max": (max) => ({ retryDelay: { kind: "exponential", delay: 1, max } }),
  "unique.for": (value) => ({ unique: { for: value } }),
  "rateLimit.per": (per) => ({ rateLimit: { limit: 1, per } }),
  retention: (retention) => ({ retention }),
  "retention.completed": (completed) => ({ retention: { completed } }),
  "retention.failed": (failed) => ({ retention: { failed } }),
  delay: (delay) => ({ delay }),
};
const integers: Record<string, (value: unknown) => object> = {
  maxRetries: (maxRetries) => ({ maxRetries }),
  priority: (priority) => ({ priority }),
  "concurrency.limit": (limit) => ({ concurrency: { limit } }),
  "rateLimit.limit": (limit) => ({ rateLimit: { limit, per: 1 } }),
};
const ofDefinitions = (name: string) => name !== "delay";
const ofCalls = (name: string) => !/^(rateLimit|retention|concurrency)/.test(name);
const ofDefaults = (name: string) => /^(timeout|retryDelay|retention|maxRetries)/.test(name);
/** Keeping records forever is a setting, and retries may be however far away. */
const isTaken = (name: string, value: unknown) =>
  name.startsWith("retention") && value === Infinity ||
  name.startsWith("retryDelay") && (TOO_LONG as unknown[]).includes(value);

for (const [options, values] of [[durations, [...HOSTILE, ...TOO_LONG]], [integers, NO_INTEGERS]] as const) {
  for (const [name, make] of Object.entries(options)) {
    for (const value of values.filter((value) => !isTaken(name, value))) {
      const shown = typeof value === "string" ? JSON.stringify(value) : String(value);
      Deno.test(`${name} refuses ${shown} wherever it is set`, () => {
        const refused = (fn: () => unknown) =>
          assertThrows(fn, RangeError, name.replace(".completed", "").split(".")[0]!);
        if (ofDefinitions(name)) refused(() => defineTask({ name: "a", ...make(value) }, () => {}));
        if (ofCalls(name)) refused(() => anyTask.with(make(value) as ScheduleOptions));
        if (ofDefaults(name)) refused(() => new Firefly({ defaults: make(value) } as FireflyOptions));
      });
    }
  }
}

const anyTask = task(taskName(), () => {});

Deno.test("notBefore refuses what is no date, and takes any other", () => {
  assertThrows(() => anyTask.with({ notBefore: new Date(NaN) }), TypeError, '"notBefore" must be a valid Date');
  for (const date of [new Date(8.64e15), new Date(-8.64e15), new Date("+010000-01-01T00:00:00Z")]) {
    anyTask.with({ notBefore: date });
  }
});

Deno.test("Retry refuses a delay that cannot be stored", () => {
  for (const delay of HOSTILE) assertThrows(() => new Retry({ delay: delay as number }), RangeError, "delay");
});

Deno.test("what options take can be stored: the longest durations, -0, the largest integers", async () => {
  await using test = await testInstance();
  const work = task({
    name: taskName(),
    maxRetries: 2 ** 31 - 1,
    priority: 2 ** 31 - 1,
    timeout: LONGEST,
    retryDelay: 1e300,
    unique: { for: LONGEST },
    rateLimit: { limit: 2 ** 31 - 1, per: LONGEST },
    retention: LONGEST,
  }, (fails: boolean) => {
    if (fails) throw new Error("fails");
  });
  const calls: ScheduleOptions[] = [
    {},
    { delay: "365250d", unique: "later" },
    { delay: -0, maxRetries: -0, priority: -(2 ** 31 - 1), retryDelay: -0, unique: "zero" },
    { notBefore: new Date("9999-12-31T23:59:59Z"), unique: "date" },
    { retryDelay: { kind: "exponential", delay: LONGEST, max: LONGEST, jitter: false }, unique: "growing" },
  ];
  const rows = await test.ff.run(() => Promise.all(calls.map((options, i) => work.with(options).schedule(i === 4))));

  await using consumer = test.ff.consume({ tasks: [work] });
  await rows[0]!.result({ timeout: "20s" });
  await rows[2]!.result({ timeout: "20s" });
  for await (const row of rows[4]!.watch()) if (row.retryAttempts === 1) break;

  assertEquals(
    (await test.db.sql`SELECT FROM firefly.unique_key WHERE until > now() + interval '900 years'`).length,
    2,
  );
  assertEquals((await consumer.stop(), (await rows[1]!.refresh()).status), "created");
});

Deno.test("the database refuses what programs of others insert: NaN, Infinity, negative and too long ones", async () => {
  await using db = await testDatabase();
  for (const column of ["unique_for", "retry_delay", "timeout"]) {
    for (
      const value of [
        "NaN",
        "Infinity",
        "-Infinity",
        "-1",
        ...(column === "retry_delay" ? [] : ["31557600001", "1e300"]),
      ]
    ) {
      const refused = async (run: () => PromiseLike<unknown>) => {
        const error = await assertRejects(async () => await run());
        assertEquals((error as { code?: string }).code, "23514", `${column} = ${value}`);
      };
      await refused(() => db.sql.unsafe(`INSERT INTO firefly.task (func_name, ${column}) VALUES ('a', '${value}')`));
      const key = column === "unique_for" ? ", unique_key => 'k'" : "";
      await refused(() => db.sql.unsafe(`SELECT firefly.schedule('a', ${column} => '${value}'${key})`));
    }
    await db.sql.unsafe(`INSERT INTO firefly.task (func_name, ${column}) VALUES ('a', 31557600000)`);
  }
});
