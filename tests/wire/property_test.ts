import { assert, assertEquals } from "@std/assert";
import { FireflyFormatError, FireflyLimitError } from "../../src/errors.ts";
import { base64 } from "../../src/wire/base64.ts";
import { decode } from "../../src/wire/decode.ts";
import { encodePlain } from "../support/encode.ts";
import { VIEWS } from "../../src/wire/format.ts";
import { Dice } from "../support/random.ts";
import { textOf } from "./hostile_cases.ts";
import { difference } from "./same.ts";

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
  readonly #dice: Dice;
  readonly #made: object[] = [];

  constructor(dice: Dice) {
    this.#dice = dice;
  }

  /** A few values, which may share parts. */
  values(): unknown[] {
    return Array.from({ length: 4 }, () => this.#value(0));
  }

  #value(depth: number): unknown {
    const dice = this.#dice;
    if (depth > 6 || dice.below(3) === 0) return dice.pick(SCALARS);
    if (this.#made.length > 0 && dice.below(5) === 0) return dice.pick(this.#made);
    return this.#object(depth + 1);
  }

  #object(depth: number): object {
    const dice = this.#dice;
    switch (dice.below(12)) {
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
        return this.#keep(new Date(dice.pick([0, NaN, 8.64e15, -8.64e15, -62198755200000, 1.5e12])));
      case 7:
        return this.#keep(
          new RegExp(dice.pick(["a", "", "\0", "/", "\n", "\ud800"]), dice.pick(["", "g", "dgimsy", "u"])),
        );
      case 8:
        return this.#keep(Object(dice.pick([true, -0, NaN, 5n, ...STRINGS])));
      case 9:
        return this.#keep(new ArrayBuffer(16, dice.pick([undefined, { maxByteLength: 32 }])));
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
    for (let left = this.#dice.below(5); left > 0; left--) {
      const value = this.#value(depth);
      const key = this.#dice.pick(STRINGS);
      if (Array.isArray(object) && key === "length") continue;
      Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
    }
    return object;
  }

  #array(depth: number): unknown[] {
    const dice = this.#dice;
    const array: unknown[] = this.#keep([]);
    array.length = dice.below(6);
    for (let index = 0; index < array.length; index++) {
      if (dice.below(6) > 0) array[index] = this.#value(depth);
    }
    return dice.below(5) === 0 ? this.#fill(array, depth) : array;
  }

  #map(depth: number): Map<unknown, unknown> {
    const map = this.#keep(new Map());
    for (let left = this.#dice.below(5); left > 0; left--) map.set(this.#value(depth), this.#value(depth));
    return map;
  }

  #set(depth: number): Set<unknown> {
    const set = this.#keep(new Set());
    for (let left = this.#dice.below(5); left > 0; left--) set.add(this.#value(depth));
    return set;
  }

  #error(depth: number): Error {
    const dice = this.#dice;
    const error = this.#keep(new (dice.pick(ERRORS))(dice.pick([undefined, ...STRINGS])));
    error.stack = dice.pick(STRINGS);
    if (dice.below(2) > 0) {
      Object.defineProperty(error, "cause", { value: this.#value(depth), configurable: true, writable: true });
    }
    return error;
  }

  /** A view on all of a buffer, as one on a part need not keep the rest. */
  #view(): ArrayBufferView {
    const known = this.#made.filter((object) => object instanceof ArrayBuffer);
    const isNew = known.length === 0 || this.#dice.below(2) === 0;
    const buffer = isNew ? this.#keep(new ArrayBuffer(16)) : this.#dice.pick(known);
    const View = this.#dice.pick(VIEW_CLASSES);
    return this.#keep(new View(buffer, 0, 16 / (View.BYTES_PER_ELEMENT ?? 1)));
  }
}

Deno.test("decode() gives back random graphs as structuredClone() does", () => {
  for (let round = 0; round < 2_000; round++) {
    const seed = SEED + round;
    const value = new Generator(new Dice(seed)).values();
    const found = difference(decode(encodePlain(value)), structuredClone(value));
    assertEquals(found, undefined, `FIREFLY_TEST_SEED=${seed}`);
  }
});

/** `text` with a few random edits. */
function mutate(text: string, dice: Dice): string {
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
  for (let edits = 1 + dice.below(3); edits > 0; edits--) {
    const start = dice.below(text.length);
    const end = start + dice.below(4);
    const inserted = dice.pick([...scraps, text.slice(dice.below(text.length)).slice(0, 20), ""]);
    text = text.slice(0, start) + inserted + text.slice(end);
  }
  return text;
}

/** The JSON with one of its parts replaced by another: it stays JSON, but seldom a value. */
function transplant(json: string, dice: Dice): string {
  const parts = json.match(/"[^"\\]*"|-?\d+|null|\{"\$":"\w+"[^{}]*\}/g) ?? [];
  return parts.length === 0 ? json : json.replace(dice.pick(parts), () => dice.pick(parts));
}

Deno.test("decode() raises only its two errors for mutations of valid text", () => {
  for (let round = 0; round < 2_000; round++) {
    const seed = SEED + round;
    const dice = new Dice(seed);
    const text = encodePlain(new Generator(dice).values());
    const json = new TextDecoder().decode(base64.decode(text));
    for (const mutated of [mutate(text, dice), textOf(mutate(json, dice)), textOf(transplant(json, dice))]) {
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
