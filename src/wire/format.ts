import { FireflyFormatError, FireflyLimitError } from "../errors.ts";
import {
  AggregateError,
  Error,
  EvalError,
  Map,
  Math,
  Number,
  parseInt,
  RangeError,
  ReferenceError,
  String,
  SyntaxError,
  TypeError,
  URIError,
} from "./built_ins.ts";

/** A value that JSON can hold. */
export type Json = null | boolean | number | string | Json[] | JsonObject;

/** A JSON object: plain data, or a tagged value if it has the key `"$"`. */
export interface JsonObject {
  [key: string]: Json;
}

/** Limits of values that are written and read. A value that exceeds one causes a {@linkcode FireflyLimitError}. */
export interface WireLimits {
  /**
   * The maximum number of bytes of JSON, before Base64.
   *
   * @default {16777216}
   */
  readonly maxBytes: number;
  /**
   * How deep arrays, objects, maps, sets and errors may nest. The highest limit is 1,000, since deeper
   * nesting overflows the stack of some runtimes.
   *
   * @default {256}
   */
  readonly maxDepth: number;
  /**
   * The maximum length of an array with holes.
   *
   * @default {1000000}
   */
  readonly maxSparseLength: number;
  /**
   * The maximum number of decimal digits of a `bigint`.
   *
   * @default {16384}
   */
  readonly maxBigIntDigits: number;
}

const DEFAULT_LIMITS: WireLimits = {
  maxBytes: 16 * 1024 * 1024,
  maxDepth: 256,
  maxSparseLength: 1_000_000,
  maxBigIntDigits: 16_384,
};

const HIGHEST_LIMITS: WireLimits = {
  maxBytes: Number.MAX_SAFE_INTEGER,
  maxDepth: 1_000,
  maxSparseLength: 2 ** 32 - 1,
  maxBigIntDigits: Number.MAX_SAFE_INTEGER,
};

/**
 * Returns the limits in `options`, and the defaults of those that it leaves out.
 *
 * @throws {RangeError} If a limit is not an integer from 1 to its highest value.
 */
export function resolveWireLimits(options?: Partial<WireLimits>): WireLimits {
  if (options === undefined) return DEFAULT_LIMITS;
  const limits = { ...DEFAULT_LIMITS };
  for (const name of Object.keys(limits) as (keyof WireLimits)[]) {
    const limit = options[name] ?? DEFAULT_LIMITS[name];
    if (!isCount(limit) || limit < 1 || limit > HIGHEST_LIMITS[name]) {
      throw new RangeError(
        `Cannot limit the wire format as "${name}" must be an integer from 1 to ${
          HIGHEST_LIMITS[name]
        }: current value is ${limit}`,
      );
    }
    limits[name] = limit;
  }
  return limits;
}

/** Whether `value` is a non-negative safe integer. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Whether `key` is the index of an array element. */
export function isIndex(key: string): boolean {
  const index = Number(key) >>> 0;
  return `${index}` === key && index !== 2 ** 32 - 1;
}

/** Rejects a value whose `depth`, counted from 1, exceeds the limit. */
export function checkDepth(depth: number, { maxDepth }: WireLimits): void {
  if (depth > maxDepth) {
    throw new FireflyLimitError(
      `Cannot carry a value that nests more than ${maxDepth} levels deep`,
    );
  }
}

/** Rejects a `bigint` with more decimal `digits` than the limit. */
export function checkDigits(
  digits: number,
  { maxBigIntDigits }: WireLimits,
): void {
  if (digits > maxBigIntDigits) {
    throw new FireflyLimitError(
      `Cannot carry a bigint of more than ${maxBigIntDigits} digits`,
    );
  }
}

/** Rejects an array with holes that is longer than the limit. */
export function checkSparseLength(
  length: number,
  { maxSparseLength }: WireLimits,
): void {
  if (length > maxSparseLength) {
    throw new FireflyLimitError(
      `Cannot carry an array with holes that is longer than ${maxSparseLength}: its length is ${length}`,
    );
  }
}

const SMALLEST_RESERVATION = 64 * 1024;

/**
 * Counts the address space that resizable buffers reserve for growing. Their text is short no
 * matter how much they reserve, and a process can make only a limited number of mappings.
 */
export class Reservations {
  #bytes = 0;
  #limits: WireLimits;

  /** Starts with no reservation. */
  constructor(limits: WireLimits) {
    this.#limits = limits;
  }

  /** Reserves `bytes`. Throws if all reservations together exceed `maxBytes`. */
  reserve(bytes: number): void {
    this.#bytes += Math.max(bytes, SMALLEST_RESERVATION);
    if (this.#bytes > this.#limits.maxBytes) {
      throw new FireflyLimitError(
        `Cannot carry resizable buffers that may grow to more than ${this.#limits.maxBytes} bytes together`,
      );
    }
  }
}

/** The numbers that JSON lacks, by their text in the wire format. */
export const NUMBERS: ReadonlyMap<string, number> = new Map([
  ["NaN", NaN],
  ["Infinity", Infinity],
  ["-Infinity", -Infinity],
  ["-0", -0],
]);

/** Makes an error of each class that is preserved. Others are written as `Error`, as structured cloning does. */
export const ERRORS: ReadonlyMap<string, () => Error> = new Map([
  ["Error", () => new Error()],
  ["EvalError", () => new EvalError()],
  ["RangeError", () => new RangeError()],
  ["ReferenceError", () => new ReferenceError()],
  ["SyntaxError", () => new SyntaxError()],
  ["TypeError", () => new TypeError()],
  ["URIError", () => new URIError()],
  ["AggregateError", () => new AggregateError([])],
]);

/** The class of a view: makes one of `length` elements on `buffer`, starting at byte `offset`. */
export interface ViewClass {
  new (
    buffer: ArrayBuffer,
    offset: number,
    length: number,
  ): ArrayBufferView<ArrayBuffer>;
  /** The number of bytes an element takes. A DataView has no elements. */
  readonly BYTES_PER_ELEMENT?: number;
}

/** The classes of views by name; `undefined` if this runtime lacks one. */
export const VIEWS: ReadonlyMap<string, ViewClass | undefined> = new Map<
  string,
  ViewClass | undefined
>([
  ["Int8Array", Int8Array],
  ["Uint8Array", Uint8Array],
  ["Uint8ClampedArray", Uint8ClampedArray],
  ["Int16Array", Int16Array],
  ["Uint16Array", Uint16Array],
  ["Int32Array", Int32Array],
  ["Uint32Array", Uint32Array],
  ["Float16Array", globalThis.Float16Array],
  ["Float32Array", Float32Array],
  ["Float64Array", Float64Array],
  ["BigInt64Array", BigInt64Array],
  ["BigUint64Array", BigUint64Array],
  ["DataView", DataView],
]);

/** Whether both JSON and `jsonb` can hold `text` unchanged: it has no U+0000 and no lone surrogate. */
export function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes("\0");
}

/** Replaces each U+0000 and lone surrogate by U+FFFD: `jsonb` holds neither, and many readers of JSON reject them. */
export function toStorable(text: string): string {
  return text.toWellFormed().replaceAll("\0", "\uFFFD");
}

/** Writes each character beyond ASCII as `\u{…}`, for a database whose encoding lacks it. */
export function toAscii(text: string): string {
  return text.replace(/[^\0-\x7f]/gu, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}

/** Writes each U+0000, lone surrogate and `%` of `text` as `%XXXX`, for the tag `string`. */
export function escapeText(text: string): string {
  return text.replace(/[%\p{Surrogate}]/gu, escapeUnit)
    .replaceAll("\0", "%0000");
}

function escapeUnit(unit: string): string {
  const hex = unit.charCodeAt(0).toString(16).toUpperCase();
  return `%${hex.padStart(4, "0")}`;
}

/**
 * Returns the text that {@linkcode escapeText} escaped.
 *
 * @throws {FireflyFormatError} If a `%` does not escape a character that needs it.
 */
export function unescapeText(escaped: string): string {
  if (/%(?!0000|0025|D[89A-F][0-9A-F]{2})/.test(escaped)) {
    throw new FireflyFormatError("Cannot decode a string with a bad escape");
  }
  return escaped.replace(
    /%([0-9A-F]{4})/g,
    (_, hex: string) => String.fromCharCode(parseInt(hex, 16)),
  );
}
