import { Buffer } from "node:buffer";

/** Depth past which a value is cut. */
const MAX_DEPTH = 100;
/** Values past which objects that were met before are not written out again. */
const BUDGET = 100_000;
const TOO_DEEP = { "$": "TooDeep" };
const SEEN = { "$": "Ref" };

/**
 * Turns values into what JSON can hold, as the SQL function `decode()` shows them: undefined and holes are null, NaN
 * is text, bigint a number of all its digits, Date ISO, Map pairs, Set a list, Error an object, bytes Base64.
 */
export class Projection {
  /** Reads of Blobs, each of which puts its bytes into the projection. */
  readonly reading: Promise<unknown>[] = [];
  readonly #path = new Set<object>();
  readonly #seen = new Set<object>();
  #count = 0;

  /** What stands for `value` in JSON. A Blob's bytes are in it once it was read. */
  of(value: unknown): unknown {
    if (typeof value !== "object" || value === null) return projectPrimitive(value);
    if (this.#path.has(value) || this.#count > BUDGET && this.#seen.has(value)) return SEEN;
    if (this.#path.size > MAX_DEPTH) return TOO_DEEP;
    this.#count++;
    this.#seen.add(value);
    this.#path.add(value);
    try {
      return this.#ofObject(value);
    } finally {
      this.#path.delete(value);
    }
  }

  #ofObject(value: object): unknown {
    if (isRawJson(value)) return value;
    if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
    if (value instanceof RegExp) return wellFormed(String(value));
    if (value instanceof Map) return Array.from(value, (pair) => this.of(pair));
    if (value instanceof Set) return Array.from(value, (member) => this.of(member));
    if (value instanceof Error) return this.#ofError(value);
    if (value instanceof Blob) return this.#ofBlob(value);
    if (value instanceof ArrayBuffer) return Buffer.from(value).toString("base64");
    if (ArrayBuffer.isView(value)) {
      return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
    }
    if (isBoxed(value)) return this.of(value.valueOf());
    if (Array.isArray(value)) return Array.from(value, (member) => this.of(member));
    return this.#ofEntries(Object.entries(value));
  }

  #ofEntries(entries: [string, unknown][]): object {
    return Object.fromEntries(entries.map(([key, member]) => [wellFormed(key), this.of(member)]));
  }

  #ofError(error: Error): object {
    const { name, message, stack } = error;
    const rest = ["cause", "errors"].filter((key) => Object.hasOwn(error, key));
    return this.#ofEntries([
      ...Object.entries({ name, message, stack }).filter(([, text]) => text !== undefined),
      ...rest.map((key): [string, unknown] => [key, error[key as keyof Error]]),
    ]);
  }

  #ofBlob(blob: Blob): object {
    let bytes: string | undefined;
    this.reading.push(blob.arrayBuffer().then((buffer) => bytes = Buffer.from(buffer).toString("base64")));
    return { toJSON: () => bytes ?? { "$": "Blob" } };
  }
}

function isBoxed(value: object): boolean {
  return value instanceof Number || value instanceof String || value instanceof Boolean || value instanceof BigInt;
}

function projectPrimitive(value: unknown): unknown {
  switch (typeof value) {
    case "bigint":
      return Number.isSafeInteger(Number(value)) ? Number(value) : rawJson(String(value));
    case "number":
      return Number.isFinite(value) ? value : String(value);
    case "string":
      return wellFormed(value);
    case "boolean":
      return value;
    default:
      return null;
  }
}

/** jsonb holds neither U+0000 nor halves of surrogate pairs, and few readers of JSON like them. */
function wellFormed(text: string): string {
  return text.toWellFormed().replaceAll("\0", "\uFFFD");
}

const { rawJSON, isRawJSON } = JSON as { rawJSON?(text: string): object; isRawJSON?(value: object): boolean };

/** A number with all of its digits, where the runtime can write one. */
function rawJson(digits: string): unknown {
  return rawJSON ? rawJSON(digits) : digits;
}

/** Whether a value was projected before. */
function isRawJson(value: object): boolean {
  return isRawJSON?.(value) ?? false;
}
