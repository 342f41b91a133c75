import { types } from "node:util";
import { Missing } from "../wire/missing.ts";
import { isRawJson } from "../wire/to_json.ts";
import { findParameters, hideParametersInField, readPart, REDACTED } from "./statement_parameters.ts";

/**
 * The values to hide: names of properties, as text or as patterns, or a function that gets each value with its path and
 * returns the value to show instead.
 */
export type Redact = readonly (string | RegExp)[] | ((value: unknown, path: string[]) => unknown);

/**
 * The names of properties that `redact` hides by default. Names are compared without case and separators, and also match
 * the end of longer names: `token` hides `access_token`.
 *
 * @example Hide more names
 * ```ts
 * import { defineConfig, SENSITIVE_KEYS } from "@firefly/tasks";
 * import { assert } from "@std/assert";
 *
 * const config = defineConfig({ redact: [...SENSITIVE_KEYS, "iban", /^x-internal-/i] });
 *
 * assert(Array.isArray(config.redact));
 * ```
 */
export const SENSITIVE_KEYS: readonly string[] = [
  "password",
  "passwords",
  "passwd",
  "pwd",
  "passphrase",
  "passcode",
  "passwordhash",
  "secret",
  "secrets",
  "token",
  "jwt",
  "apikey",
  "accesskey",
  "accesskeyid",
  "secretkey",
  "privatekey",
  "encryptionkey",
  "authorization",
  "cookie",
  "cookies",
  "credential",
  "credentials",
  "sessionid",
  "creditcard",
  "creditcardnumber",
  "cardnumber",
  "cvv",
  "cvc",
  "ssn",
];

/** The depth below which copies are cut off. Values are cut off there anyway when they are shown. */
const MAX_DEPTH = 100;
/** The maximum number of errors in a value that are searched for hidden parts. A copy is cut off at its depth. */
const MAX_ERRORS = 100;
const TOO_DEEP = { "$": "TooDeep" };
/** The maximum number of values passed to a function. The rest is hidden. */
const BUDGET = 100_000;

/** Hides parts of values before they are shown. Its methods never throw, and never change the values themselves. */
export class Redactor {
  readonly #hidden: (key: string) => boolean;
  readonly #replace: ((value: unknown, path: string[]) => unknown) | undefined;

  /**
   * Checks the option `redact`.
   *
   * @throws {TypeError} If it is neither a list of names and patterns nor a function.
   */
  constructor(redact: Redact = SENSITIVE_KEYS, action = "make an instance") {
    const isList = Array.isArray(redact) && redact.every((key) => typeof key === "string" || types.isRegExp(key));
    if (!isList && typeof redact !== "function") {
      throw new TypeError(`Cannot ${action} as "redact" must be a list of names and patterns, or a function`);
    }
    this.#replace = typeof redact === "function" ? redact : undefined;
    this.#hidden = typeof redact === "function" ? () => false : makeMatcher(redact);
  }

  /** Returns `value`, which is found at `path`, without its hidden parts; `value` itself if it has none. */
  redact<T>(value: T, path: string[] = []): T {
    try {
      if (!this.#replace && !this.#hidesAnyOf(value)) return value;
      return new Copier(this.#hidden, this.#replace).copy(value, path) as T;
    } catch {
      return REDACTED as T; // a value that cannot be searched, such as a proxy
    }
  }

  /** Returns the part of a text that may be shown. A text has no name, so only a function can hide it. */
  redactText(text: string, path: string[]): string {
    if (!this.#replace) return text;
    const shown = this.redact<unknown>(text, path);
    return typeof shown === "string" ? shown : REDACTED;
  }

  /** As {@linkcode Redactor.redactText}, for a text that has a name: the last part of its path. */
  redactProperty(text: string, path: string[]): string {
    return this.#hidden(path.at(-1)!) ? REDACTED : this.redactText(text, path);
  }

  /** Whether `root` has a part to hide. */
  #hidesAnyOf(root: unknown): boolean {
    const seen = new Set<object>();
    let errors = 0;
    for (const left = [root]; left.length > 0;) {
      const value = left.pop();
      if (typeof value !== "object" || value === null || seen.has(value) || isLeaf(value)) continue;
      seen.add(value);
      // A getter may return one cause after another, without an end.
      if (value instanceof Error && (++errors > MAX_ERRORS || findParameters(value).length > 0)) return true;
      for (const [key, part] of listParts(value)) {
        if (typeof key === "string" && part !== null && part !== undefined && this.#hidden(key)) return true;
        left.push(key, part);
      }
    }
    return false;
  }
}

/** Copies a value without its hidden parts. */
class Copier {
  readonly #hidden: (key: string) => boolean;
  readonly #replace: ((value: unknown, path: string[]) => unknown) | undefined;
  readonly #copies = new Map<object, unknown>();
  #count = 0;

  constructor(hidden: (key: string) => boolean, replace: ((value: unknown, path: string[]) => unknown) | undefined) {
    this.#hidden = hidden;
    this.#replace = replace;
  }

  copy(value: unknown, path: string[]): unknown {
    if (this.#replace) {
      if (++this.#count > BUDGET) return REDACTED;
      const replaced = this.#callReplace(value, path);
      if (!Object.is(replaced, value)) return replaced;
    }
    if (typeof value !== "object" || value === null || isLeaf(value)) return value;
    if (this.#copies.has(value)) return this.#copies.get(value);
    if (this.#copies.size > 0 && path.length > MAX_DEPTH) return TOO_DEEP;
    const copy = this.#copyParts(value, path);
    // A function may decide by the path of an object, so each occurrence needs a copy of its own; names need only one.
    if (this.#replace) this.#copies.delete(value);
    return copy;
  }

  #callReplace(value: unknown, path: string[]): unknown {
    try {
      return this.#replace!(value, [...path]);
    } catch {
      return REDACTED;
    }
  }

  #copyParts(value: object, path: string[]): unknown {
    if (value instanceof Error) return this.#copyError(value, path);
    if (value instanceof Map) {
      const copy = this.#begin(value, new Map());
      for (const [key, part] of listParts(value)) {
        copy.set(this.copy(key, [...path, toPathSegment(key)]), this.#member(key, part, path));
      }
      return copy;
    }
    if (value instanceof Set) {
      const copy = this.#begin(value, new Set());
      let index = 0;
      for (const part of value) copy.add(this.copy(part, [...path, String(index++)]));
      return copy;
    }
    const copy = this.#begin(value, Array.isArray(value) ? new Array(value.length) : {});
    for (const [key, part] of listParts(value)) {
      // Do not assign: a key may be "__proto__".
      Object.defineProperty(copy, key as string, toDescriptor(this.#member(key, part, path)));
    }
    return copy;
  }

  /** Copies an error to one of the same class, so that it is shown as an error, without the parameters of statements. */
  #copyError(error: Error, path: string[]): Error {
    const copy = this.#begin(error, Object.create(Object.getPrototypeOf(error)) as Error);
    const parameters = findParameters(error);
    for (const key of Reflect.ownKeys(error)) {
      const enumerable = Object.prototype.propertyIsEnumerable.call(error, key);
      const part = readPart(error, key);
      const shown = typeof key === "symbol"
        ? part
        : this.#member(key, hideParametersInField(part, key, parameters), path);
      Object.defineProperty(copy, key, { ...toDescriptor(shown), enumerable });
    }
    return copy;
  }

  #begin<T>(value: object, copy: T): T {
    this.#copies.set(value, copy);
    return copy;
  }

  #member(key: unknown, part: unknown, path: string[]): unknown {
    const isNamed = typeof key === "string" && part !== null && part !== undefined;
    return isNamed && this.#hidden(key) ? REDACTED : this.copy(part, [...path, toPathSegment(key)]);
  }
}

function toDescriptor(value: unknown): PropertyDescriptor {
  return { value, configurable: true, enumerable: true, writable: true };
}

/** Lists the parts of an object with their names, or with the keys of a Map. */
function listParts(value: object): [key: unknown, part: unknown][] {
  if (value instanceof Map) return [...value];
  if (value instanceof Set) return Array.from(value, (part) => [undefined, part]);
  const keys = value instanceof Error ? Object.getOwnPropertyNames(value) : Object.keys(value);
  return keys.map((key) => [key, readPart(value, key)]);
}

function toPathSegment(key: unknown): string {
  return typeof key === "object" && key !== null ? "object" : String(key);
}

/** Whether an object has no parts to hide. */
function isLeaf(value: object): boolean {
  return types.isDate(value) || types.isRegExp(value) || types.isAnyArrayBuffer(value) || ArrayBuffer.isView(value) ||
    types.isBoxedPrimitive(value) || value instanceof Blob || value instanceof Missing ||
    isRawJson(value);
}

/** Returns a function that tests whether a name matches `list`. It caches results, since the same names come often. */
function makeMatcher(list: readonly (string | RegExp)[]): (key: string) => boolean {
  const names = list.filter((entry) => typeof entry === "string").map(normalizeName).filter(Boolean);
  const patterns = list.filter((entry) => typeof entry !== "string").map(({ source, flags }) =>
    new RegExp(source, flags.replace(/[gy]/g, "")) // with g or y, a pattern would continue where its last search ended
  );
  const known = new Map<string, boolean>();
  return (key) => {
    let hidden = known.get(key);
    if (hidden !== undefined) return hidden;
    const name = normalizeName(key);
    hidden = names.some((end) => name.endsWith(end)) || patterns.some((pattern) => pattern.test(key));
    if (known.size < 1000) known.set(key, hidden);
    return hidden;
  };
}

function normalizeName(name: string): string {
  return name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");
}
