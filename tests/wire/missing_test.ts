import { assertEquals, assertInstanceOf, assertStrictEquals, assertThrows } from "@std/assert";
import { inspect } from "node:util";
import { FireflyFormatError } from "../../mod.ts";
import { decode, decodeArguments } from "../../src/wire/decode.ts";
import { encode, encodeArguments } from "../../src/wire/encode.ts";
import { Redactor } from "../../src/privacy/redaction.ts";
import { encodeMissing, Incomplete, Missing } from "../../src/wire/missing.ts";

const textOf = (json: unknown) => btoa(JSON.stringify(json));
const RESULT = { $: "Result", v: 0 };

Deno.test("encodeArguments() asks about what it would refuse and about instances of classes, and about nothing else", () => {
  class Point {
    x = 1;
  }
  const asked: [string, readonly unknown[]][] = [];
  const args = [
    1,
    "text",
    { a: [{ b: 1 }], date: new Date(0) },
    [new Map([[1, new Set([2])]]), new Uint8Array(3), /x/, new Error("e"), null, undefined],
    new Point(),
    Array.from({ length: 1000 }, () => ({ n: 1n })),
  ];

  const text = encodeArguments(args, (part, path) => void asked.push([part.constructor.name, [...path]]));

  assertEquals(asked, [["Point", [4]]]);
  assertEquals(text, encode(args));
  assertThrows(
    () => encodeArguments([[Promise.resolve()]], () => undefined),
    DOMException,
    "#<Promise> could not be cloned (at $[0][0])",
  );
});

Deno.test("encodeArguments() writes the JSON that it is given, however often a part occurs", () => {
  const part = Promise.resolve();
  const list = [part];
  const text = encodeArguments([part, part, list, list], () => encodeMissing({ ordinal: 3, settled: true })) as string;

  assertEquals(JSON.parse(atob(text)), {
    $: "Graph",
    root: [{ $: "Settled", v: 3 }, { $: "Settled", v: 3 }, { $: "Ref", v: 0 }, { $: "Ref", v: 0 }],
    refs: [[{ $: "Settled", v: 3 }]],
  });
  const incomplete = decodeArguments(text);
  assertInstanceOf(incomplete, Incomplete);
  const [a, b, c, d] = incomplete.complete(() => "value") as unknown[];
  assertEquals([a, b, c], ["value", "value", ["value"]]);
  assertStrictEquals(c, d);
});

Deno.test("decode() refuses the tags of results, and decodeArguments() reads them", () => {
  assertThrows(() => decode(textOf([RESULT])), FireflyFormatError, 'unknown tag: "Result"');
  assertThrows(() => decode(textOf({ $: "Settled", v: 0 })), FireflyFormatError, 'unknown tag: "Settled"');
  const incomplete = decodeArguments(textOf([RESULT, [{ $: "Settled", v: 1 }, 2]])) as Incomplete;
  assertEquals(incomplete.parts.map(({ ordinal, settled }) => [ordinal, settled]), [[0, false], [1, true]]);
  assertEquals(incomplete.complete(({ ordinal }) => ordinal * 10), [0, [10, 2]]);
  assertEquals(decodeArguments(textOf([1, { $: "Date", v: null }])), [1, new Date(NaN)]);
});

Deno.test("decodeArguments() refuses tags of results that are malformed", () => {
  for (const v of [-1, 1.5, "0", null, undefined, 2 ** 53]) {
    assertThrows(
      () => decodeArguments(textOf([{ $: "Result", v }])),
      FireflyFormatError,
      'Cannot decode Result as its field "v"',
    );
  }
  assertThrows(() => decodeArguments(textOf([{ ...RESULT, more: 1 }])), FireflyFormatError, "unknown field of Result");
});

Deno.test("complete() refuses results that are inside of an argument", () => {
  for (const args of [[{ a: RESULT }], { a: RESULT }, [{ $: "Map", v: [[1, RESULT]] }], RESULT]) {
    const incomplete = decodeArguments(textOf(args)) as Incomplete;
    assertThrows(
      () => incomplete.complete(() => 1),
      FireflyFormatError,
      "the result of a task is missing inside of one",
    );
  }
});

Deno.test("a missing result is shown as such, and cannot be encoded", () => {
  const missing = new Missing(2, false);
  assertEquals(inspect([missing, new Missing(0, true)]), "[ [result of dependency 2], [outcome of dependency 0] ]");
  assertEquals(JSON.stringify(missing), '{"$":"Result","v":2}');
  assertThrows(() => encode([missing]), DOMException, "#<Result> could not be cloned (at $[0])");
});

Deno.test("redaction leaves a missing result as it is, and hides what is beside it", () => {
  const redactor = new Redactor(undefined, "test");
  const shown = redactor.redact([new Missing(0, false), { password: "4711" }], ["params"]);
  assertEquals(
    inspect(shown),
    '[ [result of dependency 0], { password: "[redacted]" } ]'.replaceAll('"', inspect("x")[0]!),
  );
});
