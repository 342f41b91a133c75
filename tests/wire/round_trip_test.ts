import { assertEquals } from "@std/assert";
import { decode } from "../../src/wire/decode.ts";
import { encodePlain } from "../support/encode.ts";
import { encode } from "../../src/wire/encode.ts";
import { checkChangedGlobals } from "./globals_cases.ts";
import { checkRoundTrips } from "./round_trip_cases.ts";
import { difference } from "./values/same.ts";

Deno.test("decode() gives back what encode() was given", async () => {
  assertEquals(await checkRoundTrips(), []);
});

Deno.test("difference() tells apart what a round trip must keep", () => {
  const point = { x: 1 };
  const pairs: [unknown, unknown][] = [
    [0, -0],
    [[undefined], [,]],
    [[point, point], [{ x: 1 }, { x: 1 }]],
    [[{ x: 1 }, { x: 1 }], [point, point]],
    [{ a: 1, b: 2 }, { b: 2, a: 1 }],
    [new Map([[1, 2], [3, 4]]), new Map([[3, 4], [1, 2]])],
    [{ a: undefined }, {}],
    [new Date(0), new Date(1)],
    [new Error("a", { cause: undefined }), new Error("a")],
    [new TypeError("a"), new Error("a")],
    [new Uint8Array([1]), new Uint8Array([2])],
    [new Uint8Array(1), new Int8Array(1)],
    [Object(1), 1],
    [Object.create(null), {}],
  ];
  for (const [left, right] of pairs) assertEquals(typeof difference(left, right), "string");
});

Deno.test("decode() gives back Blobs and Files, shared ones once", async () => {
  const blob = new Blob(["é"], { type: "text/x" });
  const file = new File([new Uint8Array([0, 255])], "a\0b\ud800.txt", { type: "image/x", lastModified: 12.5 });

  const back = decode(await encode([blob, { file }, blob])) as [Blob, { file: File }, Blob];

  assertEquals([await back[0].text(), back[0].type], ["é", "text/x"]);
  assertEquals(back[2], back[0]);
  assertEquals(await back[1].file.bytes(), new Uint8Array([0, 255]));
  assertEquals([back[1].file.name, back[1].file.type, back[1].file.lastModified], [
    file.name,
    "image/x",
    file.lastModified,
  ]);
});

Deno.test("encode() writes [1,3] as WzEsM10=", () => {
  assertEquals(encodePlain([1, 3]), "WzEsM10=");
});

Deno.test("decode() gives back what encode() was given while globals are deleted or replaced, or prototypes polluted", async () => {
  assertEquals(await checkChangedGlobals(), []);
});
