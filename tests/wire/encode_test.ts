import { assertEquals, assertLess, assertStrictEquals, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { FireflyLimitError } from "../../src/errors.ts";
import { decode } from "../../src/wire/decode.ts";
import { encodePlain } from "../support/encode.ts";
import { encode } from "../../src/wire/encode.ts";

function jsonOf(value: unknown): string {
  return new TextDecoder().decode(Uint8Array.fromBase64(encodePlain(value)));
}

function detached(): ArrayBuffer {
  const buffer = new ArrayBuffer(8);
  buffer.transfer();
  return buffer;
}

function detachedView(): Uint8Array {
  const view = new Uint8Array(8);
  view.buffer.transfer();
  return view;
}

function shrunk(View: new (buffer: ArrayBuffer, offset: number, length: number) => ArrayBufferView): ArrayBufferView {
  const buffer = new ArrayBuffer(8, { maxByteLength: 8 });
  const view = new View(buffer, 4, 4);
  buffer.resize(2);
  return view;
}

async function* asyncGenerator() {
  yield await 1;
}

function argumentsOf(..._: unknown[]): unknown {
  return arguments;
}

const UNCLONEABLE: [value: unknown, message: string][] = [
  [() => 1, "function (anonymous) could not be cloned"],
  [{ user: { cb() {} } }, "function cb could not be cloned (at $.user.cb)"],
  [[1, { "a b": Symbol("s") }], 'Symbol(s) could not be cloned (at $[1]["a b"])'],
  [class Foo {}, "function Foo could not be cloned"],
  [new Map([[1, 2], [3, parent]] as [number, unknown][]), "function parent could not be cloned (at $[1])"],
  [new Error("a", { cause: Symbol() }), "Symbol() could not be cloned (at $.cause)"],
  [new AggregateError([1, Symbol()]), "Symbol() could not be cloned (at $.errors[1])"],
  [{ $: Symbol() }, 'Symbol() could not be cloned (at $["$"])'],
  [Object.assign([], { a: Symbol() }), "Symbol() could not be cloned (at $.a)"],
  [[, Symbol()], "Symbol() could not be cloned (at $[1])"],
  [[new WeakMap()], "#<WeakMap> could not be cloned (at $[0])"],
  [new WeakSet(), "#<WeakSet> could not be cloned"],
  [new WeakRef({}), "#<WeakRef> could not be cloned"],
  [Promise.resolve(), "#<Promise> could not be cloned"],
  [Object.setPrototypeOf(Promise.resolve(), null), "could not be cloned"],
  [Object.setPrototypeOf(new WeakMap(), Object.prototype), "could not be cloned"],
  [new Proxy({}, {}), "#<Proxy> could not be cloned"],
  [new Proxy([], {}), "#<Proxy> could not be cloned"],
  [new Proxy(new Map(), {}), "#<Proxy> could not be cloned"],
  [Proxy.revocable({}, {}).proxy, "#<Proxy> could not be cloned"],
  [[1][Symbol.iterator](), "#<Array Iterator> could not be cloned"],
  [new Map().entries(), "#<Map Iterator> could not be cloned"],
  [(function* () {})(), "#<Generator> could not be cloned"],
  [asyncGenerator(), "#<AsyncGenerator> could not be cloned"],
  [argumentsOf(1), "#<Arguments> could not be cloned"],
  [Object(Symbol("s")), "#<Symbol> could not be cloned"],
  [new URL("https://deno.com"), "#<URL> could not be cloned"],
  [new AbortController().signal, "#<AbortSignal> could not be cloned"],
  [new Headers(), "#<Headers> could not be cloned"],
  [new Intl.NumberFormat(), "#<Intl.NumberFormat> could not be cloned"],
  [crypto, "#<Crypto> could not be cloned"],
  [new SharedArrayBuffer(1), "#<SharedArrayBuffer> could not be cloned"],
  [{ a: new Uint8Array(new SharedArrayBuffer(1)) }, "Uint8Array on a SharedArrayBuffer could not be cloned (at $.a)"],
  [new DataView(new SharedArrayBuffer(1)), "DataView on a SharedArrayBuffer could not be cloned"],
  [detached(), "detached ArrayBuffer could not be cloned"],
  [detachedView(), "detached or out-of-bounds Uint8Array could not be cloned"],
  [shrunk(Uint8Array), "detached or out-of-bounds Uint8Array could not be cloned"],
  [shrunk(DataView), "detached or out-of-bounds DataView could not be cloned"],
];

function parent(): void {}

Deno.test("encode() throws a DataCloneError with the path of what cannot be cloned", () => {
  for (const [value, message] of UNCLONEABLE) {
    const error = assertThrows(() => encodePlain(value), DOMException, message);
    assertEquals(error.name, "DataCloneError");
  }
});

Deno.test("encode() refuses a module's namespace", async () => {
  const namespace = await import("./values/same.ts");
  assertThrows(() => encodePlain(namespace), DOMException, "#<Module> could not be cloned");
});

Deno.test("encode() throws a DataCloneError by its name", () => {
  const error = assertThrows(() => encode([() => {}]), DOMException, "(at $[0])");
  assertEquals(error.name, "DataCloneError");
});

Deno.test("encode() writes a value as it writes the same in a list, and keeps to the same limits", () => {
  const values = [
    undefined,
    null,
    true,
    0,
    -0,
    1.5,
    NaN,
    -Infinity,
    "",
    "x",
    "\0",
    "é",
    "\ud800",
    "$",
    1n,
    -(2n ** 80n),
  ];
  for (const value of values) {
    assertEquals(`[${jsonOf(value)}]`, jsonOf([value]));
    assertEquals(encodePlain(value, { maxBytes: 1000 }), encodePlain(value));
  }
  for (const value of [undefined, "x".repeat(20), 10n ** 20n]) {
    assertThrows(() => encode(value, { maxBytes: 10 }), FireflyLimitError);
    assertThrows(() => encode([value], { maxBytes: 10 }), FireflyLimitError);
  }
  assertThrows(() => encode(Symbol("s")), DOMException, "could not be cloned");
});

Deno.test("encode() returns a promise only when there are Blobs to read", async () => {
  const blobs = encode({ blob: new Blob(["a"]) });

  assertEquals([blobs instanceof Promise, typeof await blobs], [true, "string"]);
  assertEquals(typeof encode([{ a: 1n, b: "é" }]), "string");
});

Deno.test("encode() lets the error of a getter through", () => {
  const error = new Error("mine");
  const getters: unknown[] = [
    {
      get a() {
        throw error;
      },
    },
    {
      deep: [{
        get a() {
          throw error;
        },
      }],
    },
    Object.defineProperty([1], 0, {
      get() {
        throw error;
      },
      enumerable: true,
    }),
    Object.defineProperty(new Error(), "name", {
      get() {
        throw error;
      },
    }),
    Object.defineProperty(new Error(), "cause", {
      get() {
        throw error;
      },
    }),
  ];
  for (const value of getters) assertStrictEquals(assertThrows(() => encodePlain(value)), error);
});

Deno.test("encode() reads a getter once", () => {
  let reads = 0;
  const get = () => ++reads;
  encodePlain([
    Object.defineProperty({}, "a", { get, enumerable: true }),
    Object.defineProperty([0], 0, { get, enumerable: true }),
    Object.defineProperty([, 0], 1, { get, enumerable: true }),
  ]);
  assertEquals(reads, 3);
});

Deno.test("encode() never calls toJSON", () => {
  class Money {
    amount = 1;
    toJSON() {
      return "wrong";
    }
  }
  assertEquals(jsonOf([new Money(), new Date(0)]), '[{"amount":1},{"$":"Date","v":"1970-01-01T00:00:00.000Z"}]');
});

Deno.test("encode() never asks an own Symbol.toStringTag", () => {
  const value = {
    a: 1,
    get [Symbol.toStringTag]() {
      throw new Error("asked");
    },
  };
  assertEquals(jsonOf(value), '{"a":1}');
});

Deno.test("encode() exposes no pool of a Buffer", () => {
  Buffer.from("secret of another");
  const buffer = Buffer.from("mine");
  assertEquals(
    jsonOf([buffer, buffer.subarray(1, 3)]),
    '[{"$":"Uint8Array","v":"bWluZQ=="},{"$":"Uint8Array","v":"aW4="}]',
  );
});

Deno.test("encode() writes a lone view with its own bytes only", () => {
  const view = new Uint16Array([1, 2, 3, 4]).subarray(1, 2);
  assertEquals(jsonOf(view), '{"$":"Uint16Array","v":"AgA="}');
});

Deno.test("encode() writes a shared buffer once", () => {
  const buffer = new ArrayBuffer(3);
  assertEquals(jsonOf([new Uint8Array(buffer), new Uint8Array(buffer, 1)]).split("AAAA").length - 1, 1);
});

Deno.test("encode() reads a view past what its class overrides", () => {
  const view = new Uint8Array([1, 2]);
  Object.defineProperties(view, { buffer: { value: 1 }, byteLength: { value: 100 }, length: { value: 100 } });
  assertEquals(jsonOf(view), '{"$":"Uint8Array","v":"AQI="}');
});

Deno.test("encode() writes 256 levels and refuses 257", () => {
  const nest = (levels: number, inner: unknown = []): unknown => {
    for (let level = 1; level < levels; level++) inner = [inner];
    return inner;
  };
  assertEquals(decode(encodePlain(nest(256))), nest(256));
  assertThrows(() => encodePlain(nest(257)), FireflyLimitError, "256 levels");
  assertThrows(() => encodePlain(nest(4), { maxDepth: 3 }), FireflyLimitError, "3 levels");
});

Deno.test("encode() writes 16,384 digits and refuses 16,385", () => {
  const most = 10n ** 16_384n - 1n;
  assertEquals(decode(encodePlain([most, -most])), [most, -most]);
  assertThrows(() => encodePlain(most + 1n), FireflyLimitError, "16384 digits");
  assertThrows(() => encodePlain(-most - 1n), FireflyLimitError);
});

Deno.test("encode() refuses a gigantic bigint at once", () => {
  const gigantic = 1n << (1n << 29n); // takes seconds by itself on a busy machine
  const start = performance.now();
  assertThrows(() => encodePlain(gigantic), FireflyLimitError);
  assertLess(performance.now() - start, 2000);
});

Deno.test("encode() writes a million holes and refuses one more", () => {
  assertEquals(jsonOf(new Array(1e6)), '{"$":"Array","n":1000000,"v":[]}');
  assertThrows(() => encodePlain(new Array(1e6 + 1)), FireflyLimitError, "1000001");
});

Deno.test("encode() counts bytes of JSON", () => {
  assertEquals(decode(encodePlain("x".repeat(98), { maxBytes: 100 }), { maxBytes: 100 }), "x".repeat(98));
  assertThrows(() => encodePlain("x".repeat(99), { maxBytes: 100 }), FireflyLimitError, "100 bytes");
  assertThrows(() => encodePlain("é".repeat(50), { maxBytes: 100 }), FireflyLimitError);
  assertThrows(() => encodePlain("x".repeat(16 * 1024 * 1024 - 1)), FireflyLimitError);
});

Deno.test("encode() refuses binary data that is too large before it makes text of it", () => {
  const large = new Uint8Array(13 * 1024 * 1024);
  assertThrows(() => encodePlain(large), FireflyLimitError);
  assertThrows(() => encodePlain(Array.from({ length: 1000 }, () => large.slice(0, 1 << 17))), FireflyLimitError);
  assertThrows(() => encode(new Blob([large])), FireflyLimitError);
});

Deno.test("encode() does not count a view's bytes twice when its buffer is met later", () => {
  const buffer = new ArrayBuffer(9 * 1024 * 1024);
  assertEquals(typeof encodePlain([new Uint8Array(buffer), buffer]), "string");
});

Deno.test("encode() refuses resizable buffers that may grow too far together", () => {
  const buffers = (count: number) => Array.from({ length: count }, () => new ArrayBuffer(0, { maxByteLength: 1 }));
  assertEquals((decode(encodePlain(buffers(256))) as unknown[]).length, 256);
  assertThrows(() => encodePlain(buffers(257)), FireflyLimitError, "resizable");
  assertThrows(() => encodePlain(new ArrayBuffer(0, { maxByteLength: 2 ** 24 + 1 })), FireflyLimitError);
});

Deno.test("encode() refuses limits that are no limits", () => {
  for (const maxDepth of [0, -1, 1001, 1.5, NaN, "1" as unknown as number]) {
    assertThrows(() => encodePlain(1, { maxDepth }), RangeError, '"maxDepth" must be an integer from 1 to 1000');
  }
  for (const maxBytes of [0, -1, Infinity]) assertThrows(() => encodePlain(1, { maxBytes }), RangeError, "maxBytes");
});

Deno.test("encode() reads a graph before it waits", async () => {
  const value = { blob: new Blob(["a"]), list: [1] };
  const text = encode(value);
  value.list.push(2);
  assertEquals((decode(await text) as typeof value).list, [1]);
});
