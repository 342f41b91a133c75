import { FireflyFormatError } from "../errors.ts";
import { base64 } from "./base64.ts";
import { Array, BigInt, Blob, Date, define, DOMException, File, Map, Number, Object, RegExp } from "./built_ins.ts";
import {
  checkDigits,
  type Json,
  type JsonObject,
  NUMBERS,
  type Reservations,
  unescapeText,
  type WireLimits,
} from "./format.ts";

/** Reads the parts of a node. */
export interface PartReader {
  /** The limits in force. */
  readonly limits: WireLimits;
  /** The address space that resizable buffers have reserved. */
  readonly reservations: Reservations;
  /** Reads the node of a part. */
  read(node: Json): unknown;
  /** Registers `container` before its parts are read, since they may refer to it. */
  begin<T extends object>(container: T): T;
}

/** Reads the nodes of one tag. */
export interface TagReader {
  /** The fields that a node may have. */
  readonly fields: readonly string[];
  /** Reads a node, which has no other fields. */
  read(node: JsonObject, reader: PartReader): unknown;
}

/** Makes the error for a node of `tag` whose `field` is missing or malformed. */
export function malformedError(tag: string, field: string): FireflyFormatError {
  return new FireflyFormatError(
    `Cannot decode ${tag} as its field "${field}" is missing or malformed`,
  );
}

/** The tags of primitives. */
export const SCALARS: ReadonlyMap<string, TagReader> = new Map(Object.entries<TagReader>({
  undefined: { fields: ["$"], read: () => undefined },
  number: { fields: ["$", "v"], read: readNumber },
  bigint: { fields: ["$", "v"], read: readBigInt },
  string: { fields: ["$", "v"], read: readEscaped },
}));

function readNumber({ v }: JsonObject): number {
  const number = NUMBERS.get(v as string);
  if (number === undefined) throw malformedError("number", "v");
  return number;
}

function readBigInt({ v }: JsonObject, { limits }: PartReader): bigint {
  if (typeof v !== "string" || !/^(?:0|-?[1-9][0-9]*)$/.test(v)) {
    throw malformedError("bigint", "v");
  }
  checkDigits(v.startsWith("-") ? v.length - 1 : v.length, limits);
  return BigInt(v);
}

function readEscaped({ v }: JsonObject): string {
  if (typeof v !== "string") throw malformedError("string", "v");
  return unescapeText(v);
}

/** The tags of objects without parts. */
export const SIMPLE: ReadonlyMap<string, TagReader> = new Map(Object.entries<TagReader>({
  Boxed: { fields: ["$", "v"], read: readBoxed },
  Date: { fields: ["$", "v"], read: readDate },
  RegExp: { fields: ["$", "v", "f"], read: readRegExp },
  DOMException: { fields: ["$", "name", "message", "stack"], read: readDOMException },
  Blob: { fields: ["$", "type", "v"], read: readBlob },
  File: { fields: ["$", "type", "v", "name", "at"], read: readFile },
}));

/** Reads a node of a primitive; returns `undefined` for any other node. */
export function readPrimitive(node: Json | undefined, reader: PartReader): unknown {
  if (typeof node !== "object") return node;
  const isScalar = node !== null && !Array.isArray(node) &&
    SCALARS.has(node.$ as string);
  return isScalar ? reader.read(node) : undefined;
}

/** Reads the string in `field` of `node`. */
function readString(
  node: JsonObject,
  field: string,
  reader: PartReader,
): string {
  const text = readPrimitive(node[field], reader);
  if (typeof text !== "string") throw malformedError(node.$ as string, field);
  return text;
}

/** Reads the string in `field` of `node`, if there is one. */
export function readOptionalString(
  node: JsonObject,
  field: string,
  reader: PartReader,
): string | undefined {
  return Object.hasOwn(node, field) ? readString(node, field, reader) : undefined;
}

/** Reads the Base64 in the field "v" of `node`. */
export function readBytes(node: JsonObject): Uint8Array<ArrayBuffer> {
  if (typeof node.v !== "string") throw malformedError(node.$ as string, "v");
  return base64.decode(node.v);
}

function readBoxed({ v }: JsonObject, reader: PartReader): object {
  const primitive = readPrimitive(v, reader);
  if (primitive === undefined) throw malformedError("Boxed", "v");
  return Object(primitive);
}

const DATE = /^((?:\d{4}|[+-]\d{6})-\d\d-\d\d)T\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;

function readDate({ v }: JsonObject): Date {
  if (v === null) return new Date(NaN);
  const [text, day] = DATE.exec(v as string) ?? [];
  // Some engines read February 31 as March 2.
  if (text === undefined || day === undefined || !isDay(day)) {
    throw malformedError("Date", "v");
  }
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) throw malformedError("Date", "v");
  return date;
}

/** Whether `day` exists in the calendar and is within the range of a Date. */
function isDay(day: string): boolean {
  const midnight = new Date(`${day}T00:00:00.000Z`);
  return !Number.isNaN(midnight.getTime()) &&
    midnight.toISOString().startsWith(`${day}T`);
}

function readRegExp(node: JsonObject, reader: PartReader): RegExp {
  if (typeof node.f !== "string") throw malformedError("RegExp", "f");
  return new RegExp(readString(node, "v", reader), node.f);
}

function readDOMException(node: JsonObject, reader: PartReader): DOMException {
  const exception = new DOMException(
    readString(node, "message", reader),
    readString(node, "name", reader),
  );
  const stack = readOptionalString(node, "stack", reader);
  if (stack !== undefined) defineHidden(exception, "stack", stack);
  return exception;
}

/** Defines a property of `object` that is not enumerable, like those of errors. */
export function defineHidden(object: object, key: string, value: unknown): void {
  define(object, key, { value, enumerable: false });
}

function readBlob(node: JsonObject, reader: PartReader): Blob {
  return new Blob([readBytes(node)], { type: readString(node, "type", reader) });
}

function readFile(node: JsonObject, reader: PartReader): File {
  const { at } = node;
  if (!Number.isSafeInteger(at)) throw malformedError("File", "at");
  return new File([readBytes(node)], readString(node, "name", reader), {
    type: readString(node, "type", reader),
    lastModified: at as number,
  });
}
