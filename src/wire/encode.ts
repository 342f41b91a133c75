import { types } from "node:util";
import { FireflyLimitError } from "../errors.ts";
import { base64, encodeText } from "./base64.ts";
import { type Brand, brandOf } from "./brand.ts";
import { Array, DOMException, JSON, Object, String, Uint8Array } from "./built_ins.ts";
import { BufferEncoder } from "./encode_buffers.ts";
import { encodeArray, encodeError, encodeMap, encodeObject, encodeSet, type PartWriter } from "./encode_containers.ts";
import {
  blobSize,
  encodeBlob,
  encodeBoxed,
  encodeDate,
  encodeDOMException,
  encodeRegExp,
  encodeScalar,
  type Scalar,
} from "./encode_simple.ts";
import { checkDepth, type Json, type JsonObject, resolveWireLimits, type WireLimits } from "./format.ts";
import { type Key, type Place, References } from "./references.ts";

/**
 * Encodes `value` in the wire format. It may be any value that structured cloning accepts, including Blobs and Files.
 * Returns the text, or a promise of it if a Blob must be read: a promise for every value would cost as much as encoding
 * a short one.
 *
 * @throws {DOMException} `DataCloneError`, with the path, if structured cloning rejects a part of `value`.
 * @throws {FireflyLimitError} If `value` exceeds one of `limits`.
 */
export function encode(value: unknown, limits?: Partial<WireLimits>): string | Promise<string> {
  if (value === undefined && limits === undefined) return UNDEFINED; // most tasks return it
  if (isScalar(value)) return encodeScalarText(value, resolveWireLimits(limits));
  return encodeWith(new Encoder(resolveWireLimits(limits)), value);
}

/**
 * Encodes arguments, some of which `substitute` may replace: it is asked for the JSON of each part that structured
 * cloning rejects and of each instance of a class, with the path to it, and returns undefined for those that stay as
 * they are. All else is as with {@linkcode encode}.
 */
export function encodeArguments(args: unknown[], substitute: Substitute): string | Promise<string> {
  return encodeWith(new Encoder(resolveWireLimits(), substitute), args);
}

/** Returns the JSON to write for a part of arguments, which does not count as a value; undefined for the value itself. */
export type Substitute = (part: object, path: readonly Key[]) => Json | undefined;

function encodeWith(encoder: Encoder, value: unknown): string | Promise<string> {
  encoder.write(value);
  return encoder.hasBlobs ? encoder.readBlobs().then(() => encoder.toText()) : encoder.toText();
}

/** Whether a value has no parts, and so needs no encoder. */
function isScalar(value: unknown): value is Scalar {
  const type = typeof value;
  return value === null || type !== "object" && type !== "function" && type !== "symbol";
}

function encodeScalarText(value: Scalar, limits: WireLimits): string {
  return encodeText(stringify(encodeScalar(value, limits)), limits.maxBytes);
}

/** The text of `undefined`. */
const UNDEFINED = btoa(JSON.stringify({ $: "undefined" }));

const readBlob = Blob.prototype.arrayBuffer;

/** Writes one value as JSON. */
class Encoder implements PartWriter {
  readonly limits: WireLimits;
  readonly #top: JsonObject = {};
  readonly #references = new References();
  /** The keys that lead from the root to the value being written. */
  readonly #path: Key[] = [];
  readonly #deferred: (() => void)[] = [];
  readonly #blobs: { node: JsonObject; blob: Blob }[] = [];
  readonly #substitute: Substitute | undefined;
  #buffers: BufferEncoder | undefined;

  constructor(limits: WireLimits, substitute?: Substitute) {
    this.limits = limits;
    this.#substitute = substitute;
  }

  /** Writes `root` without the bytes of its Blobs. */
  write(root: unknown): void {
    this.#put(root, this.#top, "root");
    for (const task of this.#deferred) task();
  }

  /** Whether Blobs were found. */
  get hasBlobs(): boolean {
    return this.#blobs.length > 0;
  }

  /** Writes the bytes of the Blobs that were found. */
  async readBlobs(): Promise<void> {
    for (const { node, blob } of this.#blobs) {
      node.v = base64.encode(new Uint8Array(await readBlob.call(blob)));
    }
  }

  /** Returns the text of the value that was written. */
  toText(): string {
    const { refs } = this.#references;
    const { root = null } = this.#top;
    const graph: Json = refs.length > 0 ? { $: "Graph", root, refs } : root;
    return encodeText(stringify(graph), this.limits.maxBytes);
  }

  putPart(value: unknown, holder: JsonObject | Json[], key: Key, label: Key): void {
    this.#path.push(label);
    this.#put(value, holder as JsonObject, key);
    this.#path.pop();
  }

  defer(task: () => void): void {
    this.#deferred.push(task);
  }

  #put(value: unknown, holder: JsonObject, key: Key): void {
    if (typeof value === "function") {
      throw this.#uncloneable(`function ${value.name || "(anonymous)"}`);
    }
    if (typeof value === "symbol") throw this.#uncloneable(String(value));
    if (typeof value !== "object" || value === null) {
      holder[key] = encodeScalar(value as Scalar, this.limits);
      return;
    }
    const known = this.#references.find(value);
    if (known !== undefined) {
      holder[key] = known.refer();
      return;
    }
    checkDepth(this.#path.length + 1, this.limits);
    const brand = brandOf(value);
    if (brand === undefined) this.#putOther(value, holder, key);
    else if (brand === "ArrayBuffer") this.#bufferEncoder().putBuffer(value as ArrayBuffer, holder, key);
    else if (brand === "Instance" && this.#hasSubstitute(value, holder, key)) return;
    else this.#encode(value, brand, this.#references.add(value, holder, key));
  }

  /** Writes the substitute of what cannot be cloned. */
  #putOther(value: object, holder: JsonObject, key: Key): void {
    if (!this.#hasSubstitute(value, holder, key)) throw this.#uncloneable(describeObject(value));
  }

  /** Writes the substitute of an object, if it has one. */
  #hasSubstitute(value: object, holder: JsonObject, key: Key): boolean {
    const json = this.#substitute?.(value, this.#path);
    if (json === undefined) return false;
    holder[key] = json;
    return true;
  }

  /** Encodes `object`. Every level of nesting takes a stack frame of this method, so it is kept small. */
  #encode(object: object, brand: Exclude<Brand, "ArrayBuffer">, place: Place): void {
    switch (brand) {
      case "Object":
      case "Instance":
        return encodeObject(object, place, this);
      case "Array":
        return encodeArray(object as unknown[], place, this);
      case "Map":
        return encodeMap(object as Map<unknown, unknown>, place, this);
      case "Set":
        return encodeSet(object as Set<unknown>, place, this);
      case "Error":
        return encodeError(object as Error, place, this);
      case "DOMException":
        return place.put(encodeDOMException(object as DOMException));
      case "Date":
        return place.put(encodeDate(object as Date));
      case "RegExp":
        return place.put(encodeRegExp(object as RegExp));
      case "Boxed":
        return place.put(encodeBoxed(object, this.limits));
      case "View":
        return this.#bufferEncoder().encodeView(object as ArrayBufferView, place);
      case "Blob":
        return this.#encodeBlob(object as Blob, place);
    }
  }

  #encodeBlob(blob: Blob, place: Place): void {
    this.#bufferEncoder().spend(blobSize(blob));
    const node = encodeBlob(blob);
    place.put(node);
    this.#blobs.push({ node, blob });
  }

  #bufferEncoder(): BufferEncoder {
    return this.#buffers ??= new BufferEncoder({
      references: this.#references,
      limits: this.limits,
      uncloneable: (what) => this.#uncloneable(what),
    });
  }

  #uncloneable(what: string): DOMException {
    const at = this.#path.length > 0 ? ` (at ${formatPath(this.#path)})` : "";
    return new DOMException(`${what} could not be cloned${at}`, "DataCloneError");
  }
}

function stringify(json: Json): string {
  try {
    return hasToJson(arrayPrototype) || hasToJson(objectPrototype) ? stringifyParts(json) : JSON.stringify(json);
  } catch (cause) {
    throw new FireflyLimitError("Cannot carry a value whose text is longer than a string can be", { cause });
  }
}

const [arrayPrototype, objectPrototype] = [Array.prototype, Object.prototype];

/** Whether `JSON.stringify()` would call a method that other code has added to all arrays, or to all objects. */
function hasToJson(prototype: object): boolean {
  return typeof (prototype as { toJSON?: unknown }).toJSON === "function";
}

/** Does the work of `JSON.stringify()`, which calls no such method for what is not an object. */
function stringifyParts(json: Json): string {
  if (typeof json !== "object" || json === null) return JSON.stringify(json);
  if (Array.isArray(json)) return `[${json.map(stringifyParts).join()}]`;
  return `{${Object.keys(json).map((key) => `${JSON.stringify(key)}:${stringifyParts(json[key]!)}`).join()}}`;
}

/** Describes an object that cannot be cloned, for the error. */
function describeObject(object: object): string {
  if (types.isProxy(object)) return "#<Proxy>";
  return `#<${Object.prototype.toString.call(object).slice(8, -1)}>`;
}

/** Formats a path as JavaScript would write it, starting at the root `$`. */
export function formatPath(path: readonly Key[]): string {
  const steps = path.map((key) => {
    if (typeof key === "number") return `[${key}]`;
    return /^[A-Za-z_]\w*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
  });
  return `$${steps.join("")}`;
}
