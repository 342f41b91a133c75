/** Compares values by shape, identity and order of keys; without any API of one runtime. @module */
import { types } from "node:util";

/** Where two values differ, as a path with what is there, or `undefined` if they are the same. */
export function difference(left: unknown, right: unknown): string | undefined {
  return new Comparison().compare(left, right, "$");
}

class Comparison {
  readonly #duplicates = new Map<object, object>();
  readonly #rights = new Set<object>();

  compare(left: unknown, right: unknown, path: string): string | undefined {
    if (!isObject(left) || !isObject(right)) {
      return Object.is(left, right) ? undefined : `${path}: ${show(left)} is not ${show(right)}`;
    }
    const duplicate = this.#duplicates.get(left);
    if (duplicate !== undefined) return duplicate === right ? undefined : `${path}: another object`;
    if (this.#rights.has(right)) return `${path}: two objects instead of one`;
    this.#duplicates.set(left, right);
    this.#rights.add(right);
    if (Object.getPrototypeOf(left) !== Object.getPrototypeOf(right)) return `${path}: another class`;
    const inner = contents(left);
    const others = contents(right);
    if (inner.length !== others.length) return `${path}: ${inner.length} parts, not ${others.length}`;
    for (const [index, [name, part]] of inner.entries()) {
      const [otherName, other] = others[index]!;
      if (name !== otherName) return `${path}: ${name} where ${otherName} should be`;
      const found = this.compare(part, other, `${path}.${name}`);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function show(value: unknown): string {
  return typeof value === "string" ? JSON.stringify(value) : isObject(value) ? "an object" : String(value);
}

type Part = [name: string, value: unknown];

/** What an object is made of, in order. */
function contents(object: object): Part[] {
  if (types.isMap(object)) return [...object].flatMap(([key, value]) => [["key", key], ["value", value]] as Part[]);
  if (types.isSet(object)) return [...object].map((member) => ["member", member]);
  if (types.isDate(object)) return [["time", object.getTime()]];
  if (types.isRegExp(object)) return [["source", object.source], ["flags", object.flags], ["last", object.lastIndex]];
  if (types.isBoxedPrimitive(object)) return [["primitive", object.valueOf()]];
  if (types.isNativeError(object) || object instanceof DOMException) return contentsOfError(object);
  if (types.isDataView(object)) {
    return [["offset", object.byteOffset], ["length", object.byteLength], ["buffer", object.buffer]];
  }
  if (types.isTypedArray(object)) {
    return [["offset", object.byteOffset], ["length", object.length], ["buffer", object.buffer]];
  }
  if (types.isArrayBuffer(object)) {
    return [["max", object.resizable && object.maxByteLength], ["bytes", new Uint8Array(object).join()]];
  }
  if (Array.isArray(object)) return [["length", object.length], ...Object.entries(object)];
  return Object.entries(object);
}

function contentsOfError(error: Error): Part[] {
  const parts: Part[] = [["name", error.name], ["message", error.message], ["stack", error.stack]];
  for (const name of ["message", "cause", "errors"]) {
    const own = error instanceof DOMException ? undefined : Object.getOwnPropertyDescriptor(error, name);
    if (own !== undefined) parts.push([`own ${name}`, own.value], [`${name} is enumerable`, own.enumerable]);
  }
  return parts;
}
