import { FireflyFormatError, FireflyLimitError } from "../errors.ts";

/** What JSON can hold. */
export type Json = null | boolean | number | string | Json[] | JsonObject;

/** A JSON object: plain data, or a tagged value if it has a key `"$"`. */
export interface JsonObject {
  [key: string]: Json;
}

/** Limits on what is written and read; whatever is over one throws a {@linkcode FireflyLimitError}. */
export interface WireLimits {
  /**
   * The most bytes of JSON, before Base64.
   *
   * @default {16777216}
   */
  readonly maxBytes: number;
  /**
   * How deep arrays, objects, maps, sets and errors may nest: 1,000 at the most, as deeper ones
   * overflow the stack of some runtimes.
   *
   * @default {256}
   */
  readonly maxDepth: number;
  /**
   * The longest array that has holes.
   *
   * @default {1000000}
   */
  readonly maxSparseLength: number;
  /**
   * The most decimal digits of a `bigint`.
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
 * The limits in force: `options`, and the defaults for what it leaves out.
 *
 * @throws {RangeError} If a limit is not an integer from 1 to the highest that it may be.
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

/** Refuses a value whose `depth`, counted from 1, is over the limit. */
export function checkDepth(depth: number, { maxDepth }: WireLimits): void {
  if (depth > maxDepth) {
    throw new FireflyLimitError(
      `Cannot carry a value that nests more than ${maxDepth} levels deep`,
    );
  }
}

/** Refuses a `bigint` of more decimal `digits` than the limit. */
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

/** Refuses an array with holes that is longer than the limit. */
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
 * Counts the address space that resizable buffers reserve for growing. Their text is short
 * however much they reserve, and a process has only so many mappings to give.
 */
export class Reservations {
  #bytes = 0;
  #limits: WireLimits;

  /** Starts from nothing. */
  constructor(limits: WireLimits) {
    this.#limits = limits;
  }

  /** Reserves `bytes`, or refuses if all reservations would be over `maxBytes`. */
  reserve(bytes: number): void {
    this.#bytes += Math.max(bytes, SMALLEST_RESERVATION);
    if (this.#bytes > this.#limits.maxBytes) {
      throw new FireflyLimitError(
        `Cannot carry resizable buffers that may grow to more than ${this.#limits.maxBytes} bytes together`,
      );
    }
  }
}

/** The numbers that JSON lacks, by how they are written. */
export const NUMBERS: ReadonlyMap<string, number> = new Map([
  ["NaN", NaN],
  ["Infinity", Infinity],
  ["-Infinity", -Infinity],
  ["-0", -0],
]);

/** Makes an error of each class that is kept; others are written as `Error`, as structured cloning does. */
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

/** Makes a view of `length` elements on `buffer`, from byte `offset` on. */
export interface ViewClass {
  new (
    buffer: ArrayBuffer,
    offset: number,
    length: number,
  ): ArrayBufferView<ArrayBuffer>;
  /** How many bytes an element takes; a DataView has no elements. */
  readonly BYTES_PER_ELEMENT?: number;
}

/** The views on a buffer by name; `undefined` where this runtime lacks one. */
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

/**
 * Whether JSON and `jsonb` both hold `text` as it is: it has no U+0000 and no lone surrogate.
 */
export function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes("\0");
}

/** Replaces each U+0000 and lone surrogate by U+FFFD: `jsonb` holds neither, and many readers of JSON reject them. */
export function toStorable(text: string): string {
  return text.toWellFormed().replaceAll("\0", "\uFFFD");
}

/** `text` with each U+0000, lone surrogate and `%` as `%XXXX`, for the tag `string`. */
export function escapeText(text: string): string {
  return text.replace(/[%\p{Surrogate}]/gu, escapeUnit)
    .replaceAll("\0", "%0000");
}

function escapeUnit(unit: string): string {
  const hex = unit.charCodeAt(0).toString(16).toUpperCase();
  return `%${hex.padStart(4, "0")}`;
}

/**
 * The text that {@linkcode escapeText} made `escaped` of.
 *
 * @throws {FireflyFormatError} If a `%` stands for nothing that needs it.
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
