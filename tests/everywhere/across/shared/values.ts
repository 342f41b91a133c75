/** Every kind of value that the wire format has, made anew in each runtime. @module */
import { Blob as NodeBlob, Buffer, File as NodeFile } from "node:buffer";
import { GOLDEN } from "../../values/golden.ts";
import { ROUND_TRIPS, roundTrip } from "../../values/round_trips.ts";
import { difference } from "../../values/same.ts";

class OrderError extends RangeError {
  override name = "OrderError";
  order = 7;
}

/** An error as this runtime throws it, without its stack, which differs. */
function thrown(act: () => unknown): unknown {
  try {
    return act();
  } catch (error) {
    Object.defineProperty(error as Error, "stack", { value: `${(error as Error).name}: stack`, writable: true });
    return error;
  }
}

/** `levels` arrays, each in the next. */
function nested(levels: number): unknown {
  let value: unknown = 1;
  for (let level = 0; level < levels; level++) value = [value];
  return value;
}

/** What the lists of the wire format's own tests lack: the values of applications. */
const MORE: Record<string, () => { from: unknown; to: unknown }> = {
  "a Buffer": () => ({ from: Buffer.from("é"), to: new Uint8Array([0xc3, 0xa9]) }),
  "a part of a Buffer": () => ({ from: Buffer.from("aéz").subarray(1, 3), to: new Uint8Array([0xc3, 0xa9]) }),
  "a thrown error of a class": () => ({
    from: thrown(() => {
      throw new OrderError("late", { cause: new TypeError("why") }).cause;
    }),
    to: Object.assign(new TypeError("why"), { stack: "TypeError: stack" }),
  }),
  "a DOMException with its code": () => {
    const make = () => Object.defineProperty(new DOMException("a", "TimeoutError"), "stack", { value: "s" });
    return { from: make(), to: make() };
  },
  "254 levels": () => ({ from: nested(254), to: nested(254) }),
  "a megabyte": () => ({ from: new Uint8Array(2 ** 20).fill(7), to: new Uint8Array(2 ** 20).fill(7) }),
  "text of every plane": () => ({ from: "aé→😀𝒳\u{10ffff}", to: "aé→😀𝒳\u{10ffff}" }),
};

/** Values that are compared by what they hold, which takes time. */
const FILES: Record<string, () => Blob> = {
  "a Blob": () => new Blob(["é", new Uint8Array([0, 255])], { type: "image/x" }),
  "a File": () => new File(["a"], "a\u00e9\0.txt", { type: "text/x", lastModified: 12 }),
  "a Blob of node:buffer": () => new NodeBlob(["b"], { type: "text/y" }) as Blob,
  "a File of node:buffer": () => new NodeFile(["c"], "d.txt", { type: "text/y", lastModified: 7 }) as unknown as File,
};

/** Too deep inside of a list of arguments. */
const TOO_DEEP = "256 levels";

/** The names of all values. */
export const NAMES: readonly string[] = [
  ...Object.keys(GOLDEN).map((name) => `golden: ${name}`),
  ...Object.keys(ROUND_TRIPS).filter((name) => name !== TOO_DEEP),
  ...Object.keys(MORE),
  ...Object.keys(FILES),
];

/** Whether this runtime has the class of the value. */
export function exists(name: string): boolean {
  return name !== "golden: Float16Array" || "Float16Array" in globalThis;
}

/** Makes what is scheduled, and what it comes back as. */
export function make(name: string): { from: unknown; to: unknown } {
  if (name in MORE) return MORE[name]!();
  if (name in FILES) return { from: FILES[name]!(), to: FILES[name]!() };
  const golden = GOLDEN[name.replace(/^golden: /, "")];
  return roundTrip(name.startsWith("golden: ") ? golden! : ROUND_TRIPS[name]!);
}

/** How a value differs from what it should come back as, on this runtime; undefined if it does not. */
export async function wrong(name: string, value: unknown): Promise<string | undefined> {
  const { to } = make(name);
  if (!(name in FILES)) return difference(value, to);
  if (!(value instanceof Blob)) {
    return `${name} is no Blob: ${Object.prototype.toString.call(value)}`;
  }
  const [found, expected] = await Promise.all([contents(value), contents(to as Blob)]);
  return found === expected ? undefined : `${found} is not ${expected}`;
}

async function contents(blob: Blob): Promise<string> {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const file = blob as File;
  return [blob.constructor.name, blob.type, bytes.join(), file.name, file.lastModified].join(" ");
}

const temporal = (globalThis as { Temporal?: { Now: { instant(): unknown } } }).Temporal;

/** What no runtime can store, by what it is. */
export const UNSTORABLE: Record<string, () => unknown> = {
  "a function": () => () => {},
  "a symbol": () => Symbol("s"),
  "a promise": () => Promise.resolve(),
  "a WeakMap": () => new WeakMap(),
  "a generator": () => (function* () {})(),
  "a SharedArrayBuffer": () => new SharedArrayBuffer(1),
  "a view on a SharedArrayBuffer": () => new Uint8Array(new SharedArrayBuffer(1)),
  "a Response": () => new Response("a"),
  "a URL": () => new URL("http://localhost/"),
  ...temporal === undefined ? {} : { "an instant of Temporal": () => temporal.Now.instant() },
};
