import { assert, assertEquals } from "@std/assert";
import { FireflyFormatError, FireflyLimitError } from "../../src/errors.ts";
import { base64 } from "../../src/wire/base64.ts";
import { decode } from "../../src/wire/decode.ts";
import { encodePlain } from "../support/encode.ts";
import { VIEWS } from "../../src/wire/format.ts";
import { Random } from "../support/random.ts";
import { textOf } from "./hostile_cases.ts";
import { difference } from "./values/same.ts";

const SEED = Number(Deno.env.get("FIREFLY_TEST_SEED") ?? Math.floor(Math.random() * 2 ** 32));

console.log(`FIREFLY_TEST_SEED=${SEED}`);

const STRINGS = [
  "",
  "a",
  "$",
  "%",
  "%0000",
  "\0",
  "\ud800",
  "\udc00x",
  "😀",
  "é",
  "__proto__",
  "constructor",
  "length",
  "0",
  "7",
  "-1",
  '"$"',
  "\u2028",
];
const SCALARS = [
  null,
  undefined,
  true,
  false,
  0,
  -0,
  1,
  -1.5,
  NaN,
  Infinity,
  -Infinity,
  1e300,
  0n,
  -1n,
  2n ** 90n,
  ...STRINGS,
];
const VIEW_CLASSES = [...VIEWS.values()].filter((View) => View !== undefined);
const ERRORS = [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError];

/** Makes random graphs, with references in all directions. */
class Generator {
  readonly #random: Random;
  readonly #made: object[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  /** A few values, which may share parts. */
  values(): unknown[] {
    return Array.from({ length: 4 }, () => this.#value(0));
  }

  #value(depth: number): unknown {
    const random = this.#random;
    if (depth > 6 || random.below(3) === 0) return random.pick(SCALARS);
    if (this.#made.length > 0 && random.below(5) === 0) return random.pick(this.#made);
    return this.#object(depth + 1);
  }

  #object(depth: number): object {
    const random = this.#random;
    switch (random.below(12)) {
      case 0:
      case 1:
        return this.#fill(this.#keep({}), depth);
      case 2:
        return this.#array(depth);
      case 3:
        return this.#map(depth);
      case 4:
        return this.#set(depth);
      case 5:
        return this.#error(depth);
      case 6:
        return this.#keep(new Date(random.pick([0, NaN, 8.64e15, -8.64e15, -62198755200000, 1.5e12])));
      case 7:
        return this.#keep(
          new RegExp(random.pick(["a", "", "\0", "/", "\n", "\ud800"]), random.pick(["", "g", "dgimsy", "u"])),
        );
      case 8:
        return this.#keep(Object(random.pick([true, -0, NaN, 5n, ...STRINGS])));
      case 9:
        return this.#keep(new ArrayBuffer(16, random.pick([undefined, { maxByteLength: 32 }])));
      case 10:
        return this.#view();
      default:
        return this.#fill(this.#keep(Object.create(null)), depth);
    }
  }

  #keep<T extends object>(object: T): T {
    this.#made.push(object);
    return object;
  }

  /** Gives `object` random properties. */
  #fill<T extends object>(object: T, depth: number): T {
    for (let left = this.#random.below(5); left > 0; left--) {
      const value = this.#value(depth);
      const key = this.#random.pick(STRINGS);
      if (Array.isArray(object) && key === "length") continue;
      Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
    }
    return object;
  }

  #array(depth: number): unknown[] {
    const random = this.#random;
    const array: unknown[] = this.#keep([]);
    array.length = random.below(6);
    for (let index = 0; index < array.length; index++) {
      if (random.below(6) > 0) array[index] = this.#value(depth);
    }
    return random.below(5) === 0 ? this.#fill(array, depth) : array;
  }

  #map(depth: number): Map<unknown, unknown> {
    const map = this.#keep(new Map());
    for (let left = this.#random.below(5); left > 0; left--) map.set(this.#value(depth), this.#value(depth));
    return map;
  }

  #set(depth: number): Set<unknown> {
    const set = this.#keep(new Set());
    for (let left = this.#random.below(5); left > 0; left--) set.add(this.#value(depth));
    return set;
  }

  #error(depth: number): Error {
    const random = this.#random;
    const error = this.#keep(new (random.pick(ERRORS))(random.pick([undefined, ...STRINGS])));
    error.stack = random.pick(STRINGS);
    if (random.below(2) > 0) {
      Object.defineProperty(error, "cause", { value: this.#value(depth), configurable: true, writable: true });
    }
    return error;
  }

  /** A view on all of a buffer, as one on a part need not keep the rest. */
  #view(): ArrayBufferView {
    const known = this.#made.filter((object) => object instanceof ArrayBuffer);
    const isNew = known.length === 0 || this.#random.below(2) === 0;
    const buffer = isNew ? this.#keep(new ArrayBuffer(16)) : this.#random.pick(known);
    const View = this.#random.pick(VIEW_CLASSES);
    return this.#keep(new View(buffer, 0, 16 / (View.BYTES_PER_ELEMENT ?? 1)));
  }
}

Deno.test("decode() gives back random graphs as structuredClone() does", () => {
  for (let round = 0; round < 2_000; round++) {
    const seed = SEED + round;
    const value = new Generator(new Random(seed)).values();
    const found = difference(decode(encodePlain(value)), structuredClone(value));
    assertEquals(found, undefined, `FIREFLY_TEST_SEED=${seed}`);
  }
});

/** `text` with a few random edits. */
function mutate(text: string, random: Random): string {
  const scraps = [
    '"',
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "0",
    "-1",
    "1e999",
    "null",
    '"$"',
    '"v"',
    '"Map"',
    '"Ref"',
    '"__proto__"',
    '{"$":"Ref","v":0}',
    "%0000",
  ];
  for (let edits = 1 + random.below(3); edits > 0; edits--) {
    const start = random.below(text.length);
    const end = start + random.below(4);
    const inserted = random.pick([...scraps, text.slice(random.below(text.length)).slice(0, 20), ""]);
    text = text.slice(0, start) + inserted + text.slice(end);
  }
  return text;
}

/** The JSON with one of its parts replaced by another: it stays JSON, but seldom a value. */
function transplant(json: string, random: Random): string {
  const parts = json.match(/"[^"\\]*"|-?\d+|null|\{"\$":"\w+"[^{}]*\}/g) ?? [];
  return parts.length === 0 ? json : json.replace(random.pick(parts), () => random.pick(parts));
}

Deno.test("decode() raises only its two errors for mutations of valid text", () => {
  for (let round = 0; round < 2_000; round++) {
    const seed = SEED + round;
    const random = new Random(seed);
    const text = encodePlain(new Generator(random).values());
    const json = new TextDecoder().decode(base64.decode(text));
    for (const mutated of [mutate(text, random), textOf(mutate(json, random)), textOf(transplant(json, random))]) {
      try {
        decode(mutated);
      } catch (error) {
        const isExpected = error instanceof FireflyFormatError || error instanceof FireflyLimitError;
        assert(isExpected, `${error} with FIREFLY_TEST_SEED=${seed}`);
      }
    }
  }
  assertEquals("polluted" in {}, false);
});
