import { types } from "node:util";
import { builtInGetter } from "./brand.ts";
import { BigInt, Blob, Boolean, DOMException, File, Number, Object, String } from "./built_ins.ts";
import { checkDigits, escapeText, isStorable, type Json, type JsonObject, type WireLimits } from "./format.ts";

/** A value that is neither an object, a function nor a symbol. */
export type Scalar = null | undefined | boolean | number | bigint | string;

/** Encodes a scalar. */
export function encodeScalar(value: Scalar, limits: WireLimits): Json {
  switch (typeof value) {
    case "string":
      return encodeString(value);
    case "number":
      return encodeNumber(value);
    case "bigint":
      return encodeBigInt(value, limits);
    case "undefined":
      return { $: "undefined" };
    default:
      return value;
  }
}

/** Encodes a string: as itself if JSON and `jsonb` can hold it, else escaped. */
export function encodeString(text: string): Json {
  return isStorable(text) ? text : { $: "string", v: escapeText(text) };
}

function encodeNumber(number: number): Json {
  if (Object.is(number, -0)) return { $: "number", v: "-0" };
  return Number.isFinite(number) ? number : { $: "number", v: `${number}` };
}

function encodeBigInt(number: bigint, limits: WireLimits): Json {
  const magnitude = number < 0n ? -number : number;
  // Compare first: writing the digits takes time quadratic in their number.
  if (
    magnitude > 2n ** 64n && magnitude >= 10n ** BigInt(limits.maxBigIntDigits)
  ) {
    checkDigits(limits.maxBigIntDigits + 1, limits);
  }
  const digits = magnitude.toString();
  checkDigits(digits.length, limits);
  return { $: "bigint", v: number < 0n ? `-${digits}` : digits };
}

const getTime = Date.prototype.getTime;
const toISOString = Date.prototype.toISOString;

/** Encodes a Date. */
export function encodeDate(date: Date): JsonObject {
  const isValid = !Number.isNaN(getTime.call(date));
  return { $: "Date", v: isValid ? toISOString.call(date) : null };
}

const source = builtInGetter<string>(RegExp.prototype, "source");
const flags = builtInGetter<string>(RegExp.prototype, "flags");

/** Encodes a RegExp without its `lastIndex`. */
export function encodeRegExp(regExp: RegExp): JsonObject {
  return { $: "RegExp", v: encodeString(source(regExp)), f: flags(regExp) };
}

/** Encodes a Boolean, Number, String or BigInt object. */
export function encodeBoxed(boxed: object, limits: WireLimits): JsonObject {
  return { $: "Boxed", v: encodeScalar(unbox(boxed), limits) };
}

function unbox(boxed: object): Scalar {
  if (types.isNumberObject(boxed)) return Number.prototype.valueOf.call(boxed);
  if (types.isStringObject(boxed)) return String.prototype.valueOf.call(boxed);
  if (types.isBooleanObject(boxed)) return Boolean.prototype.valueOf.call(boxed);
  return BigInt.prototype.valueOf.call(boxed);
}

const exception = {
  name: builtInGetter<string>(DOMException.prototype, "name"),
  message: builtInGetter<string>(DOMException.prototype, "message"),
};

/** Encodes a DOMException. */
export function encodeDOMException(error: DOMException): JsonObject {
  const node: JsonObject = {
    $: "DOMException",
    name: encodeString(exception.name(error)),
    message: encodeString(exception.message(error)),
  };
  const { stack } = error;
  if (typeof stack === "string") node.stack = encodeString(stack);
  return node;
}

/** Returns the size of a Blob, even if its class overrides it. */
export const blobSize: (blob: object) => number = builtInGetter(Blob.prototype, "size");
const blobType = builtInGetter<string>(Blob.prototype, "type");
const file = {
  name: builtInGetter<string>(File.prototype, "name"),
  lastModified: builtInGetter<number>(File.prototype, "lastModified"),
};

/** Encodes a Blob or File without its bytes, which are read later. */
export function encodeBlob(blob: Blob): JsonObject {
  const node: JsonObject = {
    $: "Blob",
    type: encodeString(blobType(blob)),
    v: "",
  };
  if (blob instanceof File) {
    node.$ = "File";
    node.name = encodeString(file.name(blob));
    node.at = file.lastModified(blob);
  }
  return node;
}
