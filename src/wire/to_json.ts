import { Buffer } from "node:buffer";
import {
  Array,
  ArrayBuffer,
  BigInt,
  Blob,
  Boolean,
  Date,
  Error,
  JSON,
  Map,
  Number,
  Object,
  RegExp,
  Set,
  String,
} from "./built_ins.ts";
import { toStorable } from "./format.ts";
import { Missing } from "./missing.ts";

/** The depth below which values are cut off. */
const MAX_DEPTH = 100;
/** After this many values, an object that was already converted becomes {@linkcode SEEN} instead of being repeated. */
const BUDGET = 100_000;
const TOO_DEEP = { "$": "TooDeep" };
const SEEN = { "$": "Ref" };

/**
 * Converts values to JSON-safe data, as the SQL function `decode()` shows them: undefined and holes become null, NaN
 * a string, bigint a number with all its digits, Date ISO text, Map a list of pairs, Set a list, Error an object,
 * bytes Base64.
 */
export class Projection {
  /** One promise for each Blob; once all have resolved, the converted values serialize with the Blobs' bytes. */
  readonly reading: Promise<unknown>[] = [];
  readonly #path = new Set<object>();
  readonly #seen = new Set<object>();
  #count = 0;

  /** Converts `value`. A Blob serializes as a placeholder until its promise in `reading` has resolved. */
  toJsonValue(value: unknown): unknown {
    if (typeof value !== "object" || value === null) return convertPrimitive(value);
    if (this.#path.has(value) || this.#count > BUDGET && this.#seen.has(value)) return SEEN;
    if (this.#path.size > MAX_DEPTH) return TOO_DEEP;
    this.#count++;
    this.#seen.add(value);
    this.#path.add(value);
    try {
      return this.#convertObject(value);
    } finally {
      this.#path.delete(value);
    }
  }

  #convertObject(value: object): unknown {
    if (isRawJson(value)) return value;
    if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
    if (value instanceof RegExp) return toStorable(String(value));
    if (value instanceof Map) return Array.from(value, (pair) => this.toJsonValue(pair));
    if (value instanceof Set) return Array.from(value, (member) => this.toJsonValue(member));
    if (value instanceof Error) return this.#convertError(value);
    if (value instanceof Blob) return this.#convertBlob(value);
    if (value instanceof ArrayBuffer) return Buffer.from(value).toString("base64");
    if (ArrayBuffer.isView(value)) {
      return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
    }
    if (value instanceof Missing) return value.toJSON();
    if (isBoxed(value)) return this.toJsonValue(value.valueOf());
    if (Array.isArray(value)) return Array.from(value, (member) => this.toJsonValue(member));
    return this.#convertEntries(Object.entries(value));
  }

  #convertEntries(entries: [string, unknown][]): object {
    return Object.fromEntries(entries.map(([key, member]) => [toStorable(key), this.toJsonValue(member)]));
  }

  #convertError(error: Error): object {
    const { name, message, stack } = error;
    const rest = ["cause", "errors"].filter((key) => Object.hasOwn(error, key));
    return this.#convertEntries([
      ...Object.entries({ name, message, stack }).filter(([, text]) => text !== undefined),
      ...rest.map((key): [string, unknown] => [key, error[key as keyof Error]]),
    ]);
  }

  #convertBlob(blob: Blob): object {
    let bytes: string | undefined;
    this.reading.push(blob.arrayBuffer().then((buffer) => bytes = Buffer.from(buffer).toString("base64")));
    return { toJSON: () => bytes ?? { "$": "Blob" } };
  }
}

function isBoxed(value: object): boolean {
  return value instanceof Number || value instanceof String || value instanceof Boolean || value instanceof BigInt;
}

function convertPrimitive(value: unknown): unknown {
  switch (typeof value) {
    case "bigint":
      return Number.isSafeInteger(Number(value)) ? Number(value) : makeRawJson(String(value));
    case "number":
      return Number.isFinite(value) ? value : String(value);
    case "string":
      return toStorable(value);
    case "boolean":
      return value;
    default:
      return null;
  }
}

const { rawJSON, isRawJSON } = JSON as { rawJSON?(text: string): object; isRawJSON?(value: object): boolean };

/** Makes a JSON number with all of its digits, or a string if the runtime cannot write such a number. */
function makeRawJson(digits: string): unknown {
  return rawJSON ? rawJSON(digits) : digits;
}

/** Whether `value` is a number that {@linkcode Projection.toJsonValue} made: converting or copying would break it. */
export function isRawJson(value: object): boolean {
  return isRawJSON?.(value) ?? false;
}
