import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { checkQueueName, checkScheduleOptions, defineTask, namesOf } from "../../src/task/definition.ts";
import type { ScheduleOptions } from "../../src/task/options.ts";

const handler = () => {};

Deno.test("defineTask() takes a name alone", () => {
  const definition = defineTask("mail.welcome", handler);

  assertEquals([definition.name, definition.aliases], ["mail.welcome", []]);
  assertStrictEquals(definition.handler, handler);
});

Deno.test("defineTask() keeps the options, and leaves the object that it was given as it is", () => {
  const options = { name: "a", aliases: ["b"], queue: "slow", maxRetries: 3, retryDelay: "5m", priority: -1 } as const;
  const given = structuredClone(options) as unknown as Parameters<typeof defineTask>[0] & object;

  const { handler: _, ...definition } = defineTask(given, handler);

  assertEquals(definition as unknown, options);
  assertEquals(given as unknown, options);
});

for (const name of ["add", "mail.welcome", "a/b:c-d_e", "_x", "9", "größe", "x".repeat(200)]) {
  Deno.test(`defineTask() takes the name ${name.slice(0, 20)}`, () => {
    assertEquals(defineTask(name, handler).name, name);
  });
}

for (const name of ["", " ", "a b", ".a", "-a", "a\n", "a\0", 'a"b', "x".repeat(201), undefined, null, 5, {}]) {
  Deno.test(`defineTask() refuses the name ${JSON.stringify(name)?.slice(0, 20)}`, () => {
    assertThrows(
      () => defineTask({ name: name as string }, handler),
      TypeError,
      "a task's name must be 1 to 200 letters",
    );
  });
}

type ErrorClass = typeof TypeError | typeof RangeError;

const refused: [options: object, type: ErrorClass, message: string][] = [
  [
    { maxRetires: 1 },
    TypeError,
    'Cannot define task "a" as there is no option "maxRetires", did you mean "maxRetries"?',
  ],
  [{ aliases: ["a b"] }, TypeError, "a task's name must be"],
  [{ queue: "Mail" }, RangeError, 'start with a letter or digit: current value is "Mail"'],
  [{ queue: "" }, RangeError, "a queue's name must be"],
  [{ maxRetries: -1 }, RangeError, 'as "maxRetries" must be a non-negative integer: current value is -1'],
  [{ maxRetries: 1.5 }, RangeError, "current value is 1.5"],
  [{ maxRetries: NaN }, RangeError, "current value is NaN"],
  [{ maxRetries: 2 ** 31 }, RangeError, '"maxRetries" must be'],
  [{ maxRetries: "3" }, RangeError, '"maxRetries" must be'],
  [{ priority: 0.5 }, RangeError, '"priority" must be an integer: current value is 0.5'],
  [{ priority: -(2 ** 31) }, RangeError, '"priority" must be'],
  [{ timeout: 0 }, RangeError, '"timeout" must be longer than 0 seconds'],
  [{ timeout: "soon" }, RangeError, 'Cannot read "timeout"'],
  [{ retryDelay: -5 }, RangeError, 'Cannot read "retryDelay"'],
  [{ cron: "0 25 * * *" }, RangeError, 'Cannot define task "a" as "cron" cannot be read (Invalid value for hour: 25)'],
  [{ cron: true }, TypeError, 'Cannot define task "a" as "cron" must be five fields, or six with seconds'],
  [{ cron: "0 3 * * *", timezone: "Warsaw" }, RangeError, '"timezone" must be an IANA time zone'],
  [
    { cron: "0 3 * * *", missed: "some" },
    TypeError,
    '"missed" must be "skip", "one" or "all": current value is "some"',
  ],
  [{ timezone: "UTC" }, TypeError, 'Cannot define task "a" as "timezone" requires "cron"'],
  [{ missed: "all" }, TypeError, '"missed" requires "cron"'],
  [{ retryDelay: { kind: "no", delay: 1 } }, TypeError, '"fixed", "linear" or "exponential"'],
];

Deno.test("defineTask() takes a cron, a time zone and what to do about missed slots", () => {
  const cron = { cron: "0 3 * * 1-5", timezone: "Europe/Warsaw", missed: "one" } as const;

  const { handler: _, aliases: __, ...definition } = defineTask({ name: "a", ...cron } as { name: string }, handler);

  assertEquals(definition as unknown, { name: "a", ...cron });
});

for (const [options, type, message] of refused) {
  Deno.test(`defineTask() refuses ${JSON.stringify(options)}`, () => {
    assertThrows(() => defineTask({ name: "a", ...options }, handler), type, message);
  });
}

Deno.test("defineTask() refuses a handler that is not a function", () => {
  assertThrows(
    () => defineTask("a", {} as () => void),
    TypeError,
    'Cannot define task "a" as its handler is not a function',
  );
});

const taken: ScheduleOptions[] = [
  {},
  { delay: "5m", queue: "slow", priority: 3, maxRetries: 0, retryDelay: { kind: "fixed", delay: 1 }, tags: ["x"] },
  { notBefore: new Date(0), timeout: 1, tx: null },
  { delay: 0 },
];

for (const options of taken) {
  Deno.test(`checkScheduleOptions() takes ${JSON.stringify(options)}`, () => {
    checkScheduleOptions(options, "schedule");
  });
}

const refusedCalls: [options: object, type: ErrorClass, message: string][] = [
  [{ eta: 5 }, TypeError, 'Cannot schedule as there is no option "eta"'],
  [{ delay: 1, notBefore: new Date() }, TypeError, '"delay" and "notBefore" exclude each other'],
  [{ notBefore: new Date(NaN) }, TypeError, '"notBefore" must be a valid Date'],
  [{ notBefore: "2026-01-01" }, TypeError, '"notBefore" must be a valid Date: current value is 2026-01-01'],
  [{ delay: -1 }, RangeError, 'Cannot read "delay"'],
  [{ tags: "x" }, TypeError, '"tags" must be a list of strings'],
  [{ tags: [1] }, TypeError, '"tags" must be a list of strings'],
  [{ queue: "a b" }, RangeError, "a queue's name must be"],
  [{ priority: NaN }, RangeError, '"priority" must be an integer'],
  [{ maxRetries: -1 }, RangeError, '"maxRetries" must be'],
  [{ timeout: 0 }, RangeError, '"timeout" must be longer'],
  [{ retryDelay: "x" }, RangeError, 'Cannot read "retryDelay"'],
];

for (const [options, type, message] of refusedCalls) {
  Deno.test(`checkScheduleOptions() refuses ${JSON.stringify(options)}`, () => {
    assertThrows(() => checkScheduleOptions(options as ScheduleOptions, "schedule"), type, message);
  });
}

for (const queue of ["default", "a", "9", "a.b-c_d"]) {
  Deno.test(`checkQueueName() takes ${queue}`, () => checkQueueName(queue, "schedule"));
}

for (const queue of ["", "A", "_a", ".a", "é", "a b", "a'b", 'a"b', "a\0", "a\n", "a:b", "a$b"]) {
  Deno.test(`checkQueueName() refuses ${JSON.stringify(queue)}`, () => {
    assertThrows(() => checkQueueName(queue, "schedule"), RangeError, "a queue's name must be");
  });
}

Deno.test("checkQueueName() refuses a queue whose channel would have more than 63 bytes", () => {
  checkQueueName("x".repeat(55), "schedule", "firefly");
  checkQueueName("x".repeat(56), "schedule", "épée");
  assertThrows(() => checkQueueName("x".repeat(56), "schedule", "firefly"), RangeError, "would have 64 bytes");
  assertThrows(() => checkQueueName("x".repeat(57), "schedule", "épée"), RangeError, "would have 64 bytes");
});

Deno.test("namesOf() is the name and the aliases", () => {
  assertEquals(namesOf(defineTask({ name: "new", aliases: ["old", "older"] }, handler)), ["new", "old", "older"]);
});

Deno.test("defineTask() refuses aliases that are not a list, and a queue that is not text", () => {
  const handler = () => {};
  assertThrows(
    () => defineTask({ name: "x", aliases: "old" as never }, handler),
    TypeError,
    `"aliases" must be a list`,
  );
  assertThrows(() => defineTask({ name: "x", queue: 5 as never }, handler), RangeError, "current value is 5");
});
