import { assertEquals, assertNotMatch } from "@std/assert";
import { toJson, toJsonSync } from "../../src/cli/json.ts";
import { encode } from "../../src/wire/encode.ts";
import { testDatabase } from "../support/database.ts";

const shared = { of: "both" };
const cyclic: Record<string, unknown> = { name: "cyclic" };
cyclic.self = cyclic;

/** Values as the wire format carries them. */
const values: Record<string, unknown> = {
  "plain JSON": { a: [1, "two", true, null, { b: {} }], "": "empty key" },
  "undefined": [undefined, { a: undefined }],
  "holes": [1, , 3], // deno-lint-ignore no-sparse-arrays
  "numbers": [NaN, Infinity, -Infinity, -0, 1e21, 5e-324],
  "bigints": [0n, -12n, 2n ** 200n],
  "dates": [new Date(0), new Date(NaN), new Date(8.64e15)],
  "regular expressions": [/a\/b/gi],
  "maps": new Map<unknown, unknown>([[1, new Map([["a", 2n]])], [{ k: 1 }, undefined]]),
  "sets": new Set([1, "a", new Set([NaN])]),
  "boxed primitives": [Object(1), Object("a"), Object(true), Object(3n)],
  "bytes": [new Uint8Array([1, 2, 255]), new Uint8Array([1, 2, 3, 4]).subarray(1, 3), new Uint8Array([7]).buffer],
  "wide views": [new Float64Array([1.5]), new DataView(new Uint8Array([1, 2, 3]).buffer, 1)],
  "blobs": [new Blob(["text"])],
  "shared objects": [shared, shared, { again: shared }],
  "keys that mean something": { "$": "Date", "__proto__x": 1, constructor: 2 },
  "control characters": "a\u0000b\n\u001b[2J\u009b",
  "halves of surrogate pairs": ["\ud800", { "\udc00": 1 }],
};

Deno.test("toJson() shows values as the SQL function decode() does", async (t) => {
  await using db = await testDatabase();
  for (const [what, value] of Object.entries(values)) {
    await t.step(what, async () => {
      const encoded = await encode(value);
      const [row] = await db.sql`
        SELECT firefly.decode(${encoded}) = ${await toJson(value)}::text::jsonb AS same,
          firefly.decode(${encoded})::text AS decoded
      `;

      assertEquals(row!.same, true, `${row!.decoded} is not ${await toJson(value)}`);
    });
  }
});

Deno.test("toJson() shows errors with name, message, stack and cause", async () => {
  const error = new TypeError("bad", { cause: new Map([[1n, 2]]) });

  const { stack, ...rest } = JSON.parse(await toJson(error));

  assertEquals([typeof stack, rest], ["string", { name: "TypeError", message: "bad", cause: [[1, 2]] }]);
});

Deno.test("toJson() cuts cycles and deep nesting", async () => {
  let deep: unknown = "bottom";
  for (let i = 0; i < 10_000; i++) deep = [deep];

  assertEquals(JSON.parse(await toJson(cyclic)), { name: "cyclic", self: { "$": "Ref" } });
  assertEquals((await toJson(deep)).includes("TooDeep"), true);
});

Deno.test("toJson() stays small when objects are shared many times", async () => {
  let bomb: unknown[] = [];
  for (let i = 0; i < 40; i++) bomb = [bomb, bomb];

  assertEquals((await toJson(bomb)).length < 10_000_000, true);
});

Deno.test("toJsonSync() writes one line without control characters", () => {
  const text = toJsonSync({ "a\u009b\u2028": "\u001b[2J\n\u202e\u007f" });

  assertNotMatch(text, /[\p{Cc}\u2028\u202e]/u);
  assertEquals(JSON.parse(text), { "a\u009b\u2028": "\u001b[2J\n\u202e\u007f" });
});
