import { types } from "node:util";
import { FireflyFormatError } from "../errors.ts";
import { ArrayBuffer, Map, Object, Uint8Array } from "./built_ins.ts";
import { malformedError, type PartReader, readBytes, type TagReader } from "./decode_simple.ts";
import { isCount, type JsonObject, type ViewClass, VIEWS } from "./format.ts";

const VIEW: TagReader = { fields: ["$", "v", "o", "n"], read: readView };

/** The tags of buffers and of the views on them. */
export const BUFFERS: ReadonlyMap<string, TagReader> = new Map<string, TagReader>([
  ["ArrayBuffer", { fields: ["$", "v", "max"], read: readBuffer }],
  ...[...VIEWS.keys()].map((name): [string, TagReader] => [name, VIEW]),
]);

function readBuffer(node: JsonObject, { reservations }: PartReader): ArrayBuffer {
  const bytes = readBytes(node);
  if (!Object.hasOwn(node, "max")) return bytes.buffer;
  const { max } = node;
  if (!isCount(max) || max < bytes.length) throw malformedError("ArrayBuffer", "max");
  reservations.reserve(max);
  const buffer = new ArrayBuffer(bytes.length, { maxByteLength: max });
  new Uint8Array(buffer).set(bytes);
  return buffer;
}

function readView(node: JsonObject, reader: PartReader): ArrayBufferView {
  const name = node.$ as string;
  const View = VIEWS.get(name);
  if (View === undefined) {
    throw new FireflyFormatError(`Cannot decode ${name} as this runtime has none`);
  }
  if (typeof node.v === "string") return readLoneView(node, View);
  const { v, o, n } = node;
  const buffer = v === undefined ? undefined : reader.read(v);
  if (!types.isArrayBuffer(buffer)) throw malformedError(name, "v");
  if (!isCount(o)) throw malformedError(name, "o");
  if (!isCount(n)) throw malformedError(name, "n");
  return new View(buffer, o, n);
}

function readLoneView(node: JsonObject, View: ViewClass): ArrayBufferView {
  const name = node.$ as string;
  if (Object.hasOwn(node, "o")) throw malformedError(name, "o");
  if (Object.hasOwn(node, "n")) throw malformedError(name, "n");
  const { buffer, length } = readBytes(node);
  const width = View.BYTES_PER_ELEMENT ?? 1;
  if (length % width !== 0) throw malformedError(name, "v");
  return new View(buffer, 0, length / width);
}
