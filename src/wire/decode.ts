import { FireflyFormatError, FireflyLimitError } from "../errors.ts";
import { checkSize, decodeShortText, decodeText } from "./base64.ts";
import { Array, JSON, Map, Object, Set } from "./built_ins.ts";
import { BUFFERS } from "./decode_buffers.ts";
import { CONTAINERS } from "./decode_containers.ts";
import { malformedError, type PartReader, SCALARS, SIMPLE, type TagReader } from "./decode_simple.ts";
import { Incomplete, type Missing, readMissing } from "./missing.ts";
import {
  checkDepth,
  isCount,
  type Json,
  type JsonObject,
  Reservations,
  resolveWireLimits,
  type WireLimits,
} from "./format.ts";

/**
 * Decodes text that {@linkcode encode} wrote.
 *
 * The text may come from anywhere. No text can make this function throw another error, run code of the
 * text's choice, change prototypes, or take memory out of proportion to the text's length.
 *
 * @throws {FireflyFormatError} If `text` is not in the wire format.
 * @throws {FireflyLimitError} If the value exceeds one of `limits`.
 */
export function decode(text: string, limits?: Partial<WireLimits>): unknown {
  return decodeValue(text, limits, false);
}

/**
 * Decodes arguments, in which results of other tasks may be missing: {@linkcode Incomplete} then. All else is as with
 * {@linkcode decode}, for which such text is not in the wire format.
 */
export function decodeArguments(text: string, limits?: Partial<WireLimits>): unknown {
  return decodeValue(text, limits, true);
}

function decodeValue(text: string, limits: Partial<WireLimits> | undefined, mayMiss: boolean): unknown {
  if (text === EMPTY_LIST && limits === undefined) return []; // the arguments of many tasks
  const whole = resolveWireLimits(limits);
  const plain = decodeShortText(text, PLAIN);
  const json = plain ?? decodeText(text, whole.maxBytes);
  if (plain !== undefined) checkSize(plain.length, whole.maxBytes);
  try {
    const root = JSON.parse(json);
    // Without a tag the JSON is the value, and short text cannot nest too deeply: a level takes two characters.
    if (json.length <= 2 * whole.maxDepth && (plain !== undefined || !TAG.test(json))) return root;
    const decoder = new Decoder(whole, mayMiss);
    const value = decoder.readRoot(root);
    return decoder.missing.length > 0 ? new Incomplete(value, decoder.missing) : value;
  } catch (cause) {
    if (cause instanceof FireflyFormatError) throw cause;
    if (cause instanceof FireflyLimitError) throw cause;
    throw new FireflyFormatError("Cannot decode text as it is not the JSON of a value", { cause });
  }
}

/** The text of a list without elements. */
const EMPTY_LIST = btoa("[]");

/** The beginning of every tag, escaped or not. */
const TAG = /"(?:\$|\\u0024)"/;

/** JSON in ASCII that cannot have a tag, escaped or not. That of most values is so. */
const PLAIN = /^[ -#%-[\]-~]*$/;

const TAGS: ReadonlyMap<string, TagReader> = new Map([
  ...SCALARS,
  ...SIMPLE,
  ...BUFFERS,
  ...CONTAINERS,
]);

/** The tags of results that are missing in arguments. */
const MISSING = new Set(["Result", "Settled"]);

/** Reads one value from its JSON. Arrays and plain objects are read in place. */
class Decoder implements PartReader {
  readonly limits: WireLimits;
  /** The parts that are results of other tasks. */
  readonly missing: Missing[] = [];
  readonly #mayMiss: boolean;
  #depth = 0;
  #refs: Json[] = [];
  /** The objects that `refs` stand for, as far as they have been made. */
  readonly #objects: unknown[] = [];
  readonly #started = new Set<number>();
  /** The index of the reference whose object has not been made yet. */
  #beginning: number | undefined;
  #reservations: Reservations | undefined;

  constructor(limits: WireLimits, mayMiss: boolean) {
    this.limits = limits;
    this.#mayMiss = mayMiss;
  }

  get reservations(): Reservations {
    return this.#reservations ??= new Reservations(this.limits);
  }

  readRoot(json: Json): unknown {
    if (!isTagged(json) || json.$ !== "Graph") return this.read(json);
    checkFields(json, ["$", "root", "refs"]);
    const { root, refs } = json;
    if (root === undefined) throw malformedError("Graph", "root");
    if (!Array.isArray(refs)) throw malformedError("Graph", "refs");
    this.#refs = refs;
    return this.read(root);
  }

  read(node: Json): unknown {
    if (typeof node !== "object" || node === null) return node;
    if (!isTagged(node)) return this.#readPlain(node);
    const tag = node.$ as string;
    if (tag === "Ref") return this.#readRef(node);
    const reader = TAGS.get(tag);
    if (reader === undefined && this.#mayMiss && MISSING.has(tag)) return this.#readMissing(node);
    if (reader === undefined) throw unknownError("tag", tag);
    checkFields(node, reader.fields);
    // Primitives do not nest.
    if (SCALARS.has(tag)) return reader.read(node, this);
    checkDepth(++this.#depth, this.limits);
    const value = reader.read(node, this);
    this.#depth--;
    return value;
  }

  #readMissing(node: JsonObject): Missing {
    checkFields(node, ["$", "v"]);
    const missing = readMissing(node);
    if (missing === undefined) throw malformedError(node.$ as string, "v");
    this.missing.push(missing);
    return missing;
  }

  begin<T extends object>(container: T): T {
    if (this.#beginning !== undefined) {
      this.#objects[this.#beginning] = container;
      this.#beginning = undefined;
    }
    return container;
  }

  #readPlain(node: Json[] | JsonObject): unknown {
    checkDepth(++this.#depth, this.limits);
    this.begin(node);
    if (Array.isArray(node)) {
      for (let index = 0; index < node.length; index++) {
        const part = node[index]!;
        if (typeof part === "object") node[index] = this.read(part) as Json;
      }
    } else {
      for (const key of Object.keys(node)) {
        const part = node[key]!;
        // "__proto__" is an own property here, like any other: this calls no setter.
        if (typeof part === "object") node[key] = this.read(part) as Json;
      }
    }
    this.#depth--;
    return node;
  }

  #readRef(node: JsonObject): unknown {
    checkFields(node, ["$", "v"]);
    const { v: index } = node;
    if (!isCount(index) || index >= this.#refs.length) throw malformedError("Ref", "v");
    if (this.#objects[index] !== undefined) return this.#objects[index];
    if (this.#started.has(index)) throw malformedError("Ref", "v");
    this.#started.add(index);
    this.#beginning = index;
    const object = this.read(this.#refs[index]!);
    this.#beginning = undefined;
    if (typeof object !== "object" || object === null) throw malformedError("Ref", "v");
    return this.#objects[index] = object;
  }
}

function isTagged(node: Json): node is JsonObject {
  return typeof node === "object" && node !== null && Object.hasOwn(node, "$") && !Array.isArray(node);
}

function checkFields(node: JsonObject, fields: readonly string[]): void {
  for (const field of Object.keys(node)) {
    if (!fields.includes(field)) throw unknownError(`field of ${node.$}`, field);
  }
}

function unknownError(what: string, name: unknown): FireflyFormatError {
  const text = JSON.stringify(name).slice(0, 60);
  return new FireflyFormatError(`Cannot decode a value with an unknown ${what}: ${text}`);
}
