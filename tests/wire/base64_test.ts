import { assert, assertEquals, assertThrows } from "@std/assert";
import { FireflyFormatError, FireflyLimitError } from "../../src/errors.ts";
import { type Base64, base64, decodeText, encodeText, nativeBase64, portableBase64 } from "../../src/wire/base64.ts";

/** Text, and the bytes that it stands for, if any. */
const CASES: [text: string, bytes?: number[]][] = [
  ["", []],
  ["AA==", [0]],
  ["AAA=", [0, 0]],
  ["AAAA", [0, 0, 0]],
  ["/+8=", [255, 239]],
  ["AA==\n", [0]],
  [" A\tA\r\n=\f= ", [0]],
  [" \n", []],
  ["AAAAAA==", [0, 0, 0, 0]],
  ["A"],
  ["AA"],
  ["AAA"],
  ["AAAAA"],
  ["AAAAAA"],
  ["="],
  ["=="],
  ["==="],
  ["===="],
  ["A==="],
  ["AA="],
  ["AAA=="],
  ["AAAA="],
  ["AAAA===="],
  ["AA==AA=="],
  ["AAA=AAAA"],
  ["AA=A"],
  ["=AAA"],
  ["A=A="],
  ["AB=="],
  ["AP=="],
  ["AAB="],
  ["AAD="],
  ["-_-_"],
  ["AA-A"],
  ["AA_A"],
  ["AAA,"],
  ["AAA."],
  ["AAA!"],
  ["AAA\0"],
  ["AAA\v"],
  ["AAA\u00a0"],
  ["\ufeffAAA"],
  ["AAA\u0141"],
  ["\u0100\u0100"],
  ["\u0141\u0141\u0141\u0141"],
  ["\ud800AAA"],
];

function read(codec: Base64, text: string): number[] | string {
  try {
    return [...codec.decode(text)];
  } catch (error) {
    return (error as Error).name;
  }
}

function randomText(): string {
  const characters = "AQgwZ09+/=== \n-_\u0100";
  const length = Math.floor(Math.random() * 13);
  return Array.from({ length }, () => characters[Math.floor(Math.random() * characters.length)]).join("");
}

Deno.test("portableBase64.decode() accepts and refuses each case", () => {
  for (const [text, bytes] of CASES) {
    assertEquals(read(portableBase64, text), bytes ?? "FireflyFormatError", JSON.stringify(text));
  }
});

Deno.test("nativeBase64.decode() accepts and refuses each case", () => {
  assert(nativeBase64, "this Deno has no native Base64");
  for (const [text, bytes] of CASES) {
    assertEquals(read(nativeBase64, text), bytes ?? "FireflyFormatError", JSON.stringify(text));
  }
});

Deno.test("portableBase64 and nativeBase64 agree on random text", () => {
  for (let round = 0; round < 20_000; round++) {
    const text = randomText();
    assertEquals(read(portableBase64, text), read(nativeBase64!, text), JSON.stringify(text));
  }
});

Deno.test("portableBase64 and nativeBase64 agree on all bytes at each length", () => {
  const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  for (let length = 0; length <= 256; length++) {
    const bytes = all.subarray(256 - length);
    const text = portableBase64.encode(bytes);
    assertEquals(text, nativeBase64!.encode(bytes));
    assertEquals(portableBase64.decode(text), bytes);
    assertEquals(nativeBase64!.decode(text), bytes);
  }
});

Deno.test("base64.decode() gives bytes in a buffer of their own", () => {
  for (const codec of [portableBase64, nativeBase64!]) {
    const { buffer, byteOffset, byteLength } = codec.decode("AAAA\nAA==");
    assertEquals([buffer.byteLength, byteOffset, byteLength], [4, 0, 4]);
  }
});

Deno.test("encodeText() and decodeText() carry short and long, ASCII and other text", () => {
  for (const text of ["", "[1,3]", "é", "→😀", "\x7f", "\n"]) {
    for (const long of [text, text.repeat(2000)]) {
      const encoded = encodeText(long, 1e6);
      assertEquals(encoded, base64.encode(new TextEncoder().encode(long)));
      assertEquals(decodeText(encoded, 1e6), long);
    }
  }
});

Deno.test("decodeText() refuses what base64.decode() refuses", () => {
  for (const [text, bytes] of CASES) {
    if (bytes === undefined) {
      assertThrows(() => decodeText(text, 100), FireflyFormatError, "Base64", JSON.stringify(text));
    }
  }
});

Deno.test("decodeText() refuses bytes that are not UTF-8", () => {
  for (const bytes of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x82], [0x80], [0xf4, 0x90, 0x80, 0x80]]) {
    assertThrows(() => decodeText(base64.encode(Uint8Array.from(bytes)), 100), FireflyFormatError, "UTF-8");
  }
});

Deno.test("decodeText() keeps a byte order mark", () => {
  assertEquals(decodeText(base64.encode(Uint8Array.of(0xef, 0xbb, 0xbf)), 100), "\ufeff");
});

Deno.test("encodeText() and decodeText() count bytes, not characters", () => {
  for (const [text, bytes] of [["a", 1], ["é", 2], ["😀", 4]] as const) {
    const encoded = encodeText(text.repeat(1000), 1000 * bytes);
    assertEquals(decodeText(encoded, 1000 * bytes), text.repeat(1000));
    assertThrows(() => encodeText(text.repeat(1000), 1000 * bytes - 1), FireflyLimitError);
    assertThrows(() => decodeText(encoded, 1000 * bytes - 1), FireflyLimitError);
  }
});
