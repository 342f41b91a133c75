import { Buffer } from "node:buffer";
import { types } from "node:util";
import { base64, checkSize } from "./base64.ts";
import { builtInGetter } from "./brand.ts";
import { Map, Math, Uint8Array } from "./built_ins.ts";
import { type JsonObject, Reservations, type WireLimits } from "./format.ts";
import type { Key, Place, References } from "./references.ts";

const typedArrayPrototype = Object.getPrototypeOf(Uint8Array.prototype);
const typedArray = {
  name: builtInGetter<string | undefined>(
    typedArrayPrototype,
    Symbol.toStringTag,
  ),
  buffer: builtInGetter<ArrayBufferLike>(typedArrayPrototype, "buffer"),
  byteOffset: builtInGetter<number>(typedArrayPrototype, "byteOffset"),
  byteLength: builtInGetter<number>(typedArrayPrototype, "byteLength"),
  length: builtInGetter<number>(typedArrayPrototype, "length"),
};
const dataView = {
  buffer: builtInGetter<ArrayBufferLike>(DataView.prototype, "buffer"),
  byteOffset: builtInGetter<number>(DataView.prototype, "byteOffset"),
  byteLength: builtInGetter<number>(DataView.prototype, "byteLength"),
  length: builtInGetter<number>(DataView.prototype, "byteLength"),
};
const bufferLength = builtInGetter<number>(ArrayBuffer.prototype, "byteLength");
const maxByteLength = builtInGetter<number>(ArrayBuffer.prototype, "maxByteLength");
const isResizable = builtInGetter<boolean>(ArrayBuffer.prototype, "resizable");

/** The part of its buffer that a view shows. */
interface Window {
  readonly name: string;
  readonly buffer: ArrayBuffer;
  readonly offset: number;
  /** In elements; in bytes for a DataView. */
  readonly length: number;
  readonly byteLength: number;
}

/** A view that is written with its own bytes, because its buffer has not been met elsewhere so far. */
interface LoneView {
  readonly node: JsonObject;
  readonly window: Window;
}

/** Encodes the buffers of one value, and the views on them. */
export class BufferEncoder {
  readonly #references: References;
  readonly #maxBytes: number;
  readonly #reservations: Reservations;
  readonly #uncloneable: (what: string) => DOMException;
  readonly #lone = new Map<ArrayBuffer, LoneView>();
  #spent = 0;

  /** Shares `references` with the writer of the value. `uncloneable` makes the error for what cannot be cloned. */
  constructor({ references, limits, uncloneable }: {
    references: References;
    limits: WireLimits;
    uncloneable: (what: string) => DOMException;
  }) {
    this.#references = references;
    this.#maxBytes = limits.maxBytes;
    this.#reservations = new Reservations(limits);
    this.#uncloneable = uncloneable;
  }

  /** Counts `byteLength` bytes that will be written, before memory for their text is allocated. */
  spend(byteLength: number): void {
    this.#spent += base64Length(byteLength);
    checkSize(this.#spent, this.#maxBytes);
  }

  /** Writes a buffer to `holder[key]`. The buffer itself was not met before, but a view on it may have been. */
  putBuffer(buffer: ArrayBuffer, holder: JsonObject, key: Key): void {
    const lone = this.#lone.get(buffer);
    if (lone === undefined) {
      this.#references.add(buffer, holder, key).put(this.#bufferNode(buffer));
    } else {
      holder[key] = this.#share(lone).refer();
    }
  }

  /** Encodes a view, with its own bytes until its buffer is met elsewhere. */
  encodeView(view: ArrayBufferView, place: Place): void {
    const window = this.#windowOf(view);
    const { name, buffer, offset, length } = window;
    const node: JsonObject = { $: name, v: null };
    place.put(node);
    // A Buffer may be part of a pool, next to secrets of other code.
    if (Buffer.isBuffer(view)) {
      node.v = this.#text(window);
      return;
    }
    const known = this.#references.find(buffer);
    if (known !== undefined) {
      node.v = known.refer();
    } else if (this.#lone.has(buffer) || isResizable(buffer)) {
      this.putBuffer(buffer, node, "v");
    } else {
      node.v = this.#text(window);
      this.#lone.set(buffer, { node, window });
      return;
    }
    node.o = offset;
    node.n = length;
  }

  /** Replaces the bytes of a lone view by its whole buffer, which other values need too. */
  #share({ node, window }: LoneView): Place {
    const { buffer, offset, length, byteLength } = window;
    this.#lone.delete(buffer);
    this.#spent -= base64Length(byteLength);
    const place = this.#references.add(buffer, node, "v");
    place.put(this.#bufferNode(buffer));
    node.o = offset;
    node.n = length;
    return place;
  }

  #bufferNode(buffer: ArrayBuffer): JsonObject {
    if (isDetached(buffer)) throw this.#uncloneable("detached ArrayBuffer");
    const window = { buffer, offset: 0, byteLength: bufferLength(buffer) };
    const node: JsonObject = { $: "ArrayBuffer", v: this.#text(window) };
    if (isResizable(buffer)) {
      node.max = maxByteLength(buffer);
      this.#reservations.reserve(node.max);
    }
    return node;
  }

  #text({ buffer, offset, byteLength }: Pick<Window, "buffer" | "offset" | "byteLength">): string {
    this.spend(byteLength);
    return base64.encode(new Uint8Array(buffer, offset, byteLength));
  }

  #windowOf(view: ArrayBufferView): Window {
    const name = typedArray.name(view) ?? "DataView";
    const slots = name === "DataView" ? dataView : typedArray;
    const buffer = slots.buffer(view);
    if (types.isSharedArrayBuffer(buffer)) {
      throw this.#uncloneable(`${name} on a SharedArrayBuffer`);
    }
    if (isOutOfBounds(view)) {
      throw this.#uncloneable(`detached or out-of-bounds ${name}`);
    }
    return {
      name,
      buffer: buffer as ArrayBuffer,
      offset: slots.byteOffset(view),
      length: slots.length(view),
      byteLength: slots.byteLength(view),
    };
  }
}

/** Whether the buffer of `view` is detached, or was shrunk so far that the view lies outside it. */
function isOutOfBounds(view: ArrayBufferView): boolean {
  try {
    if (types.isTypedArray(view)) typedArrayPrototype.keys.call(view);
    else dataView.byteLength(view);
    return false;
  } catch {
    return true;
  }
}

function isDetached(buffer: ArrayBuffer): boolean {
  try {
    new Uint8Array(buffer);
    return false;
  } catch {
    return true;
  }
}

function base64Length(byteLength: number): number {
  return Math.ceil(byteLength / 3) * 4;
}
