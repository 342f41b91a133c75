import { Buffer } from "node:buffer";
import { escapeJson } from "./escape.ts";

/** Depth past which a value is cut. */
const MAX_DEPTH = 100;
/** Values past which objects that were met before are not written out again. */
const BUDGET = 100_000;
const TOO_DEEP = { "$": "TooDeep" };
const SEEN = { "$": "Ref" };

/**
 * A value as one line of JSON. What JSON cannot hold is shown as the SQL function `decode()` shows it: undefined and
 * holes as null, NaN as text, bigint as a number of all its digits, Date as ISO, Map as pairs, Set as a list, Error as
 * an object, bytes as Base64.
 */
export async function toJson(value: unknown): Promise<string> {
  const projection = new Projection();
  const projected = projection.of(value);
  await Promise.all(projection.reading);
  return escapeJson(JSON.stringify(projected));
}

/** As {@linkcode toJson}, without a Blob's bytes. */
export function toJsonSync(value: unknown): string {
  return escapeJson(JSON.stringify(new Projection().of(value)));
}

class Projection {
  /** Reads of Blobs, each of which puts its bytes into the projection. */
  readonly reading: Promise<unknown>[] = [];
  readonly #path = new Set<object>();
  readonly #seen = new Set<object>();
  #count = 0;

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
      return rawJson(String(value));
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

/** A number with all of its digits, where the runtime can write one. */
function rawJson(digits: string): unknown {
  const { rawJSON } = JSON as { rawJSON?: (text: string) => unknown };
  return rawJSON ? rawJSON(digits) : digits;
}
