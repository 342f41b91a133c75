import { assert, assertEquals, assertThrows } from "@std/assert";
import { FireflyFormatError, FireflyLimitError } from "../../src/errors.ts";
import { base64 } from "../../src/wire/base64.ts";
import { decode } from "../../src/wire/decode.ts";
import { bomb, checkBulky, checkDepth, checkExcessive, checkMalformed, textOf } from "./hostile_cases.ts";

Deno.test("decode() raises FireflyFormatError for each malformed text", () => {
  assertEquals(checkMalformed(), []);
});

Deno.test("decode() raises FireflyLimitError for each text over a limit", () => {
  assertEquals(checkExcessive(), []);
});

Deno.test("decode() reads bulky text without running out of memory or stack", () => {
  assertEquals(checkBulky(), []);
});

Deno.test("decode() and encode() take 1,000 levels of whatever nests", () => {
  assertEquals(checkDepth(), []);
});

Deno.test("decode() reads a bomb of 2 ** 40 paths as 40 objects", () => {
  let value = decode(textOf(bomb(40))) as unknown[];
  for (let level = 1; level < 40; level++) {
    assert(value[0] === value[1]);
    value = value[0] as unknown[];
  }
  assertEquals(value, [0, 0]);
});

Deno.test("decode() skips white space between the characters of the text", () => {
  assertEquals(decode(" W\nzEs\r\nM1\t0=\n"), [1, 3]);
});

Deno.test("decode() raises FireflyFormatError with its cause for text that is no Base64 of JSON", () => {
  for (
    const text of ["WzEsM10", "WzEsM11=", "WzEsM1-=", "_w==", "/w==", btoa("\xef\xbb\xbf[1]"), btoa("{"), "", "\0"]
  ) {
    const error = assertThrows(() => decode(text), FireflyFormatError);
    assert(error.cause instanceof Error, text);
  }
});

Deno.test("decode() raises only its two errors for random bytes", () => {
  for (let round = 0; round < 5_000; round++) {
    const bytes = crypto.getRandomValues(new Uint8Array(Math.floor(Math.random() * 40)));
    try {
      decode(base64.encode(bytes));
    } catch (error) {
      assert(error instanceof FireflyFormatError || error instanceof FireflyLimitError, String(error));
    }
  }
});

Deno.test("decode() does not depend on the order of keys", () => {
  const graph = '{"refs":[{"v":[[1,{"v":0,"$":"Ref"}]],"$":"Map"}],"root":[{"v":0,"$":"Ref"}],"$":"Graph"}';
  const [map] = decode(textOf(graph)) as [Map<number, unknown>];
  assert(map.get(1) === map);
});

Deno.test("decode() takes a tag whose key is escaped for the tag that it is", () => {
  assertEquals(decode(textOf('{"\\u0024":"Set","v":[1]}')), new Set([1]));
});

Deno.test("decode() reads dates as other languages write them", () => {
  const dates = ["2026-01-31T08:00:00Z", "2026-01-31T08:00:00.000000Z", "2026-01-31T10:00:00+02:00"];
  for (const date of dates) {
    assertEquals(decode(textOf(`{"$":"Date","v":"${date}"}`)), new Date(Date.UTC(2026, 0, 31, 8)));
  }
});

Deno.test("decode() does not show where an error without a stack was decoded", () => {
  const error = decode(textOf('{"$":"Error","name":"TypeError","message":"no"}')) as Error;
  assertEquals(error.stack, "TypeError: no");
});

Deno.test("decode() never looks up a global that the text names", () => {
  const names = [
    "Function",
    "eval",
    "WebSocket",
    "Object",
    "Proxy",
    "Deno",
    "globalThis",
    "Promise",
    "SharedArrayBuffer",
  ];
  for (const name of names) {
    if (name === "Object") continue;
    for (const fields of ["", ',"v":[]', ',"v":"AAAA"', ',"name":"a"']) {
      assertThrows(() => decode(textOf(`{"$":"${name}"${fields}}`)), FireflyFormatError, "unknown tag");
    }
    assertThrows(() => decode(textOf(`{"$":"Error","name":"${name}"}`)), FireflyFormatError);
  }
});

Deno.test("decode() counts bytes, levels, holes and digits by its options", () => {
  assertThrows(() => decode(textOf('"é"'), { maxBytes: 3 }), FireflyLimitError);
  assertEquals(decode(textOf('"é"'), { maxBytes: 4 }), "é");
  assertThrows(() => decode(textOf("[[]]"), { maxDepth: 1 }), FireflyLimitError);
  assertEquals(decode(textOf('[{"$":"undefined"}]'), { maxDepth: 1 }), [undefined]);
  assertThrows(() => decode(textOf('{"$":"Array","n":2,"v":[]}'), { maxSparseLength: 1 }), FireflyLimitError);
  assertThrows(() => decode(textOf('{"$":"bigint","v":"-12"}'), { maxBigIntDigits: 1 }), FireflyLimitError);
  assertEquals(decode(textOf('{"$":"bigint","v":"-12"}'), { maxBigIntDigits: 2 }), -12n);
  assertThrows(() => decode("WzEsM10=", { maxDepth: 1001 }), RangeError);
});

Deno.test("decode() says which view this runtime lacks", { ignore: globalThis.Float16Array !== undefined }, () => {
  assertThrows(() => decode(textOf('{"$":"Float16Array","v":""}')), FireflyFormatError, "this runtime has none");
});
