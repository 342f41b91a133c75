/** Values that come back as they were while other code has changed the globals; without any API of one runtime. @module */
import { decode } from "../../src/wire/decode.ts";
import { nativeBase64 } from "../../src/wire/base64.ts";
import { encode } from "../../src/wire/encode.ts";
import { GOLDEN } from "./values/golden.ts";
import { difference } from "./values/same.ts";

/** What `@std/encoding` looks up, which converts bytes where the runtime has no Base64 of its own. */
const OF_ENCODING = ["ArrayBuffer", "Error", "RangeError", "TypeError", "Uint8Array"];
const NAMES = [
  "AggregateError",
  "Array",
  "ArrayBuffer",
  "BigInt",
  "BigInt64Array",
  "Blob",
  "Boolean",
  "Buffer",
  "DOMException",
  "DataView",
  "Date",
  "Error",
  "EvalError",
  "File",
  "Float16Array",
  "Float64Array",
  "Int8Array",
  "JSON",
  "Map",
  "Math",
  "Number",
  "Object",
  "RangeError",
  "ReferenceError",
  "RegExp",
  "Set",
  "String",
  "SyntaxError",
  "TypeError",
  "URIError",
  "Uint8Array",
  "atob",
  "btoa",
  "parseInt",
].filter((name) => nativeBase64 !== undefined || !OF_ENCODING.includes(name));

const { Object, Reflect } = globalThis;
const VALUES: Record<string, () => unknown> = {
  ...GOLDEN,
  "short text": () => ({ to: "ada@example.com" }),
  "long text": () => "é".repeat(5000),
};
if (globalThis.Float16Array === undefined) delete VALUES.Float16Array; // Node 22 has none
const FILE = new File(["cd"], "c.d", { type: "image/y", lastModified: 7 });

/** Changes globals or prototypes, and returns what undoes that. */
type Change = () => () => void;

function changeGlobals(change: (name: string) => void): () => void {
  const descriptors = NAMES.map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)] as const);
  for (const name of NAMES) change(name);
  return () => {
    for (const [name, descriptor] of descriptors) if (descriptor) Reflect.defineProperty(globalThis, name, descriptor);
  };
}

function pollute(prototype: object, key: PropertyKey, value: unknown): () => void {
  Reflect.defineProperty(prototype, key, { value, configurable: true, writable: true });
  return () => Reflect.deleteProperty(prototype, key);
}

/** A value in place of a global, which fails in any use. */
function broken(): never {
  throw "a replaced global was used";
}

const CHANGES: Record<string, Change> = {
  "deleted": () => changeGlobals((name) => Reflect.deleteProperty(globalThis, name)),
  "replaced": () =>
    changeGlobals((name) => Reflect.defineProperty(globalThis, name, { value: broken, configurable: true })),
  "with a toJSON of all objects": () => pollute(Object.prototype, "toJSON", () => "polluted"),
  "with a toJSON of all arrays": () => pollute(Array.prototype, "toJSON", () => "polluted"),
  "with a getter in all descriptors": () => pollute(Object.prototype, "get", () => "polluted"),
  "with a tag of all objects": () => pollute(Object.prototype, Symbol.toStringTag, "Polluted"),
  "with the fields of the wire format in all objects": () => {
    const undo = ["v", "n", "o", "p", "max", "cause", "errors", "stack", "message", "$"].map((key) =>
      pollute(Object.prototype, key, "polluted")
    );
    return () => undo.forEach((undo) => undo());
  },
};

/** What is wrong on this runtime while globals are changed. */
export async function checkChangedGlobals(): Promise<string[]> {
  const wrong: string[] = [];
  for (const [how, change] of Object.entries(CHANGES)) {
    for (const [name, make] of Object.entries(VALUES)) {
      const found = await changedBy(change, make());
      if (found) wrong.push(`${name}, globals ${how}: ${found}`);
    }
    const undo = change();
    const file = await Promise.resolve(encode(FILE)).then((text) => decode(text)).finally(undo) as File;
    const facts = [file instanceof File, file.name, file.type, file.lastModified, await file.text()].join();
    if (facts !== "true,c.d,image/y,7,cd") wrong.push(`File, globals ${how}: ${facts}`);
  }
  return wrong;
}

async function changedBy(change: Change, value: unknown): Promise<string | undefined> {
  const undo = change();
  let back: unknown;
  try {
    back = decode(await encode(value));
  } catch (error) {
    back = error;
  } finally {
    undo();
  }
  return difference(back, value);
}
