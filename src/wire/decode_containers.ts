import { Array, define, Map, Object, Set } from "./built_ins.ts";
import {
  defineHidden,
  malformedError,
  type PartReader,
  readOptionalString,
  readPrimitive,
  type TagReader,
} from "./decode_simple.ts";
import { checkSparseLength, ERRORS, isCount, isIndex, type Json, type JsonObject } from "./format.ts";

/** The tags of objects that contain values. */
export const CONTAINERS: ReadonlyMap<string, TagReader> = new Map(Object.entries<TagReader>({
  Object: { fields: ["$", "v"], read: readObject },
  Array: { fields: ["$", "n", "v", "p"], read: readArray },
  Map: { fields: ["$", "v"], read: readMap },
  Set: { fields: ["$", "v"], read: readSet },
  Error: { fields: ["$", "name", "message", "stack", "cause", "errors"], read: readError },
}));

function readObject(node: JsonObject, reader: PartReader): object {
  const object = reader.begin({});
  for (const [key, value] of readProperties(node, "v", reader)) {
    define(object, key, { value, enumerable: true });
  }
  return object;
}

/** Reads the keys and values in `field` of `node` one by one, since a value may refer to its container. */
function* readProperties(
  node: JsonObject,
  field: string,
  reader: PartReader,
): Iterable<[key: string, value: unknown]> {
  for (const [keyNode, valueNode] of readPairs(node, field)) {
    const key = readPrimitive(keyNode, reader);
    if (typeof key !== "string") throw malformedError(node.$ as string, field);
    yield [key, reader.read(valueNode)];
  }
}

function readArray(node: JsonObject, reader: PartReader): unknown[] {
  const { n: length } = node;
  if (!isCount(length)) throw malformedError("Array", "n");
  checkSparseLength(length, reader.limits);
  const pairs = readPairs(node, "v");
  const array = reader.begin(emptyArray(length, pairs.length));
  for (const [index, element] of pairs) {
    if (!isCount(index) || index >= length) throw malformedError("Array", "v");
    array[index] = reader.read(element);
  }
  if (!Object.hasOwn(node, "p")) return array;
  for (const [key, value] of readProperties(node, "p", reader)) {
    if (key === "length" || isIndex(key)) throw malformedError("Array", "p");
    define(array, key, { value, enumerable: true });
  }
  return array;
}

/** Makes an array of holes whose memory is proportional to its number of `elements`, not to its length. */
function emptyArray(length: number, elements: number): unknown[] {
  const array: unknown[] = [];
  // Writing to the highest possible index makes engines store the array as a dictionary.
  if (length > 64 + 4 * elements) array[2 ** 32 - 2] = null;
  array.length = length;
  return array;
}

function readMap(node: JsonObject, reader: PartReader): Map<unknown, unknown> {
  const map = reader.begin(new Map());
  for (const [key, value] of readPairs(node, "v")) {
    map.set(reader.read(key), reader.read(value));
  }
  return map;
}

function readSet(node: JsonObject, reader: PartReader): Set<unknown> {
  const set = reader.begin(new Set());
  for (const member of readList(node, "v")) set.add(reader.read(member));
  return set;
}

function readError(node: JsonObject, reader: PartReader): Error {
  const { name } = node;
  const create = ERRORS.get(name as string);
  if (create === undefined) throw malformedError("Error", "name");
  const error = reader.begin(create());
  const message = readOptionalString(node, "message", reader);
  if (message !== undefined) defineHidden(error, "message", message);
  const stack = readOptionalString(node, "stack", reader);
  // Without a stored stack, the stack would show where the error was decoded.
  defineHidden(error, "stack", stack ?? `${name}: ${message ?? ""}`);
  if (Object.hasOwn(node, "cause")) defineHidden(error, "cause", reader.read(node.cause!));
  if (Object.hasOwn(node, "errors")) {
    const errors = reader.read(node.errors!);
    if (name !== "AggregateError" || !Array.isArray(errors)) {
      throw malformedError("Error", "errors");
    }
    defineHidden(error, "errors", errors);
  }
  return error;
}

/** Returns the list in `field` of `node`. */
function readList(node: JsonObject, field: string): Json[] {
  const list = node[field];
  if (!Array.isArray(list)) throw malformedError(node.$ as string, field);
  return list;
}

/** Returns the list of pairs in `field` of `node`. */
function readPairs(node: JsonObject, field: string): [Json, Json][] {
  const pairs = readList(node, field);
  const isPair = (pair: Json) => Array.isArray(pair) && pair.length === 2;
  if (!pairs.every(isPair)) throw malformedError(node.$ as string, field);
  return pairs as [Json, Json][];
}
