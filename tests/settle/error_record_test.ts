import { assert, assertEquals, assertLess, assertMatch, assertRejects } from "@std/assert";
import vm from "node:vm";
import { task } from "../../mod.ts";
import { Redactor } from "../../src/privacy/redaction.ts";
import { describeError } from "../../src/settle/error_record.ts";
import { foldStack } from "../../src/settle/fold_stack.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { testDatabase } from "../support/database.ts";

Deno.test("describeError() keeps the name, the message, the stack and the causes", () => {
  const error = new RangeError("too far", { cause: new TypeError("too odd", { cause: "a rainy day" }) });

  const { name, message, stack, cause } = describeError(error);

  assertEquals([name, message, cause], ["RangeError", "too far", "TypeError: too odd\nstring: a rainy day"]);
  assert(stack?.includes("error_record_test.ts"));
});

class Custom extends Error {
  override name = "Custom";
}

const thrown: [what: string, value: unknown, name: string, message: string][] = [
  ["a subclass", new Custom("mine"), "Custom", "mine"],
  ["text", "just text", "string", "just text"],
  ["nothing", undefined, "undefined", "undefined"],
  ["null", null, "object", "null"],
  ["a symbol", Symbol("s"), "symbol", "Symbol(s)"],
  ["a bigint", 5n, "bigint", "5"],
  ["an object without a prototype", Object.create(null), "Error", "The thrown value cannot be read"],
  ["an aborted signal's reason", AbortSignal.abort().reason, "AbortError", "The signal has been aborted"],
  [
    "an error whose message throws",
    Object.defineProperty(new Error(), "message", {
      get() {
        throw new Error("no");
      },
    }),
    "Error",
    "The thrown value cannot be read",
  ],
];

for (const [what, value, name, message] of thrown) {
  Deno.test(`describeError() reads ${what}`, () => {
    const described = describeError(value);
    assertEquals([described.name, described.message], [name, message]);
  });
}

Deno.test("describeError() stops at the fifth cause, and at a cause that is its own cause", () => {
  const loop = new Error("round");
  loop.cause = loop;

  assertEquals(describeError(loop).cause?.split("\n").length, 5);
});

Deno.test("describeError() cuts long texts", () => {
  const error = new Error("x".repeat(1_000_000), { cause: "y".repeat(1_000_000) });
  error.name = "z".repeat(1_000_000);

  assertLess(JSON.stringify(describeError(error)).length, 40_000);
});

Deno.test("describeError() stores nothing that jsonb refuses", async () => {
  await using db = await testDatabase({ migrated: false });
  const error = new Error(
    `nul \0, lone \ud800, and a pair cut in two ${"x".repeat(8 * 1024 - 40)}${"\u{1f525}".repeat(20)}`,
  );

  const text = JSON.stringify(describeError(error));

  const [row] = await db.sql`SELECT ${text}::text::jsonb ->> 'message' AS message`;
  assert(row!.message.startsWith("nul \ufffd, lone \ufffd, and"));
});

Deno.test("describeError() keeps the parameters of a failed statement to itself", async () => {
  await using db = await testDatabase({ migrated: false });
  const error = await db.sql`SELECT ${"hunter2"}::text::integer`.then(() => {}, (error: Error) => error);

  const described = JSON.stringify(describeError(new Error("outer", { cause: error })));

  assert(described.includes("PostgresError"));
  // The server's own message quotes the value that it could not read.
  assert(described.includes("invalid input syntax for type integer"));
  assertEquals(described.split("hunter2").length - 1, 0);
});

Deno.test("describeError() keeps the code and the text of a failed statement, in itself and in a cause", async () => {
  await using test = await testInstance();
  const error = await assertRejects(() => test.ff.sql`SELECT ${"hunter2"}::text AS a, 'hunter2' AS b FROM nowhere`);

  for (const thrown of [error, new Error("outer", { cause: error })]) {
    const { code, statement } = describeError(thrown);
    assertEquals([code, statement], ["42P01", "SELECT $1::text AS a, '[redacted]' AS b FROM nowhere"]);
  }
});

Deno.test("describeError() leaves a statement out that the redactor hides, by its name or by a function", async () => {
  await using test = await testInstance();
  const error = await assertRejects(() => test.ff.sql`SELECT 'by hand' FROM nowhere`);
  const hide = (value: unknown, path: string[]) => path.at(-1) === "statement" ? undefined : value;

  for (const redact of [["statement"], hide]) {
    const described = describeError(error, new Redactor(redact));
    assertEquals(["statement" in described, described.code, described.message.includes("nowhere")], [
      false,
      "42P01",
      true,
    ]);
  }
});

Deno.test("describeError() cuts a long statement, and a code that is none", async () => {
  await using test = await testInstance();
  const text = `SELECT '${"x".repeat(100_000)}' FROM nowhere`;
  const error = await assertRejects(() => test.ff.sql.unsafe(text));

  assertEquals(describeError(error).statement!.length, 2049);
  assertEquals(describeError(Object.assign(new Error("x"), { code: 42 })).code, undefined);
  assertEquals(describeError(Object.assign(new Error("x"), { code: "y".repeat(1000) })).code!.length, 101);
});

Deno.test("describeError() reads a plain object with a message, and an error of another realm", () => {
  const error = vm.runInNewContext("new RangeError('elsewhere', { cause: new Error('why') })");

  assertEquals(describeError({ name: "Odd", message: "an object" }).message, "an object");
  const { name, message, cause } = describeError(error);
  assertEquals([name, message, cause], ["RangeError", "elsewhere", "Error: why"]);
});

const OWN = new URL("../../src/attempt/", import.meta.url).href;

Deno.test("foldStack() folds the frames of this package, with those of the runtime around them", () => {
  const stack = [
    "Error: no",
    "    at pay (file:///app/pay.ts:1:2)",
    `    at handleTask (${OWN}call_handler.ts:1:2)`,
    "    at AsyncLocalStorage.run (node:async_hooks:71:14)",
    `    at Attempt.start (${OWN}attempt.ts:3:4)`,
    "    at file:///app/main.ts:9:9",
    "    at new Promise (<anonymous>)",
    "    at async file:///app/main.ts:10:9",
  ].join("\n");

  assertEquals(
    foldStack(stack),
    [
      "Error: no",
      "    at pay (file:///app/pay.ts:1:2)",
      "    … 3 frames of Firefly",
      "    at file:///app/main.ts:9:9",
      "    at new Promise (<anonymous>)",
      "    at async file:///app/main.ts:10:9",
    ].join("\n"),
  );
});

Deno.test("foldStack() leaves a stack alone that has no frames of others, or no frames", () => {
  for (const stack of [`Error: no\n    at a (${OWN}a.ts:1:2)`, "Error: no", "", "42"]) {
    assertEquals(foldStack(stack), stack);
  }
});

Deno.test("a handler's stored stack has its frames, and one line for those of this package", async () => {
  await using test = await testInstance();
  const work = task({ name: taskName() }, () => {
    throw new Error("no");
  });
  const { id } = await test.ff.run(() => work.schedule());
  await test.drain({ tasks: [work] });

  const { error } = await test.ff.tasks.get(id);

  const frames = error!.stack!.split("\n").slice(1);
  assertEquals([frames.length, frames[0]!.includes("error_record_test.ts")], [2, true], error!.stack);
  assertMatch(frames[1]!, /^ {4}… \d+ frames of Firefly$/);
});
