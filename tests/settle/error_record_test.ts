import { assert, assertEquals, assertLess } from "@std/assert";
import { describeError } from "../../src/settle/error_record.ts";
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
