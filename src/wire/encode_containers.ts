import { Array, define, Number, Object } from "./built_ins.ts";
import { encodeString } from "./encode_simple.ts";
import { checkSparseLength, ERRORS, isIndex, type Json, type JsonObject, type WireLimits } from "./format.ts";
import type { Key, Place } from "./references.ts";

/** Writes the parts of a container. */
export interface PartWriter {
  /** The limits in force. */
  readonly limits: WireLimits;
  /** Writes `value` to `holder[key]`. The container has it under `label`, which the path in errors shows. */
  putPart(value: unknown, holder: JsonObject | Json[], key: Key, label: Key): void;
  /** Runs `task` when everything is written and no node moves anymore. */
  defer(task: () => void): void;
}

/** Encodes the own enumerable properties of an object, as plain JSON if JSON can hold them. */
export function encodeObject(
  object: object,
  place: Place,
  writer: PartWriter,
): void {
  const keys = Object.keys(object);
  if (!keys.every(isPlainKey)) {
    const pairs: Json[] = [];
    place.put({ $: "Object", v: pairs });
    putPairs({ object, keys, pairs }, writer);
    return;
  }
  const node: JsonObject = {};
  place.put(node);
  for (const key of keys) {
    // A getter may have deleted the property meanwhile.
    if (!Object.hasOwn(object, key)) continue;
    if (key === "__proto__") define(node, key, { value: null, enumerable: true });
    writer.putPart((object as Record<string, unknown>)[key], node, key, key);
  }
}

function isPlainKey(key: string): boolean {
  return key !== "$" && encodeString(key) === key;
}

/** Adds a pair to `pairs` for each of `keys` that `object` still has. */
function putPairs(
  { object, keys, pairs }: { object: object; keys: string[]; pairs: Json[] },
  writer: PartWriter,
): void {
  for (const key of keys) {
    if (!Object.hasOwn(object, key)) continue;
    const pair: Json[] = [encodeString(key), null];
    pairs.push(pair);
    writer.putPart((object as Record<string, unknown>)[key], pair, 1, key);
  }
}

/** Encodes an array, as plain JSON if it has neither holes nor properties besides its elements. */
export function encodeArray(
  array: unknown[],
  place: Place,
  writer: PartWriter,
): void {
  // The indexes come first among the keys, in ascending order.
  const keys = Object.keys(array);
  const isDense = keys.length === array.length &&
    (keys.length === 0 || keys.at(-1) === `${array.length - 1}`);
  if (isDense) encodeDenseArray(array, place, writer);
  else encodeSparseArray({ array, keys }, place, writer);
}

function encodeDenseArray(
  array: unknown[],
  place: Place,
  writer: PartWriter,
): void {
  const { length } = array;
  const node: Json[] = new Array(length);
  place.put(node);
  let lost = 0;
  for (let index = 0; index < length; index++) {
    const element = array[index];
    if (element === undefined && !Object.hasOwn(array, index)) lost++;
    else writer.putPart(element, node, index, index);
  }
  // A getter shortened the array while it was read: the missing elements become holes.
  if (lost > 0) writer.defer(() => place.put(withHoles(node)));
}

function withHoles(node: Json[]): JsonObject {
  const pairs = Object.entries(node).map(([key, part]) => [Number(key), part]);
  return { $: "Array", n: node.length, v: pairs };
}

function encodeSparseArray(
  { array, keys }: { array: unknown[]; keys: string[] },
  place: Place,
  writer: PartWriter,
): void {
  checkSparseLength(array.length, writer.limits);
  const elements: Json[] = [];
  const properties: Json[] = [];
  const node: JsonObject = { $: "Array", n: array.length, v: elements };
  place.put(node);
  const indexes = keys.findLastIndex(isIndex) + 1;
  for (const key of keys.slice(0, indexes)) {
    if (!Object.hasOwn(array, key)) continue;
    const index = Number(key);
    const pair: Json[] = [index, null];
    elements.push(pair);
    writer.putPart(array[index], pair, 1, index);
  }
  if (indexes === keys.length) return;
  node.p = properties;
  const names = keys.slice(indexes);
  putPairs({ object: array, keys: names, pairs: properties }, writer);
}

const forEachEntry = Map.prototype.forEach;
const forEachMember = Set.prototype.forEach;

/** Encodes a Map as it is now, even if getters change it while its parts are written. */
export function encodeMap(
  map: Map<unknown, unknown>,
  place: Place,
  writer: PartWriter,
): void {
  const entries: [unknown, unknown][] = [];
  forEachEntry.call(map, (value, key) => entries.push([key, value]));
  const pairs: Json[] = [];
  place.put({ $: "Map", v: pairs });
  for (const [index, [key, value]] of entries.entries()) {
    const pair: Json[] = [null, null];
    pairs.push(pair);
    writer.putPart(key, pair, 0, index);
    writer.putPart(value, pair, 1, index);
  }
}

/** Encodes a Set as it is now, even if getters change it while its parts are written. */
export function encodeSet(
  set: Set<unknown>,
  place: Place,
  writer: PartWriter,
): void {
  const members: unknown[] = [];
  forEachMember.call(set, (member) => members.push(member));
  const node: Json[] = [];
  place.put({ $: "Set", v: node });
  for (const [index, member] of members.entries()) {
    writer.putPart(member, node, index, index);
  }
}

/** Encodes an error, with its stack, cause and errors. */
export function encodeError(
  error: Error,
  place: Place,
  writer: PartWriter,
): void {
  const { name, stack } = error;
  const node: JsonObject = { $: "Error", name: ERRORS.has(name) ? name : "Error" };
  place.put(node);
  const message = Object.getOwnPropertyDescriptor(error, "message");
  if (message !== undefined && "value" in message) {
    node.message = encodeString(`${message.value}`);
  }
  if (typeof stack === "string") node.stack = encodeString(stack);
  if (Object.hasOwn(error, "cause")) {
    writer.putPart(error.cause, node, "cause", "cause");
  }
  if (node.name !== "AggregateError") return;
  const { errors } = error as AggregateError;
  if (Array.isArray(errors)) writer.putPart(errors, node, "errors", "errors");
}
