/** The values whose text golden.json pins; without any import, for programs that any runtime runs. @module */

function failure(name: string, options?: ErrorOptions): Error {
  const create = Reflect.get(globalThis, name);
  const error = name === "AggregateError" ? new AggregateError([1, "two"], "no") : new create("no", options);
  error.stack = `${name}: no\n    at somewhere`;
  return error;
}

function exception(): DOMException {
  const error = new DOMException("too late", "AbortError");
  Object.defineProperty(error, "stack", { value: "AbortError: too late", configurable: true, writable: true });
  return error;
}

function shared(): unknown {
  const point = { x: 1 };
  return { first: point, second: point };
}

function cycle(): unknown {
  const list: unknown[] = [];
  const map = new Map<unknown, unknown>([["list", list]]);
  list.push(map, list);
  return map;
}

function views(): unknown {
  const buffer = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]).buffer;
  return [new Uint16Array(buffer, 2, 2), buffer, new DataView(buffer, 1)];
}

function resizable(): unknown {
  const buffer = new ArrayBuffer(2, { maxByteLength: 4 });
  return [buffer, new Uint8Array(buffer, 0, 2)];
}

const bytes = () => new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]).buffer;

/** The values by the names that golden.json gives their texts. */
export const GOLDEN: Record<string, () => unknown> = {
  "plain array": () => [1, 3],
  "plain object": () => ({ name: "Ada", "é": ["→", null, true, 1.5], nested: { empty: {} } }),
  "undefined": () => [undefined, { a: undefined }],
  "root undefined": () => undefined,
  "number": () => [NaN, Infinity, -Infinity, -0],
  "bigint": () => [0n, -12n, 2n ** 70n],
  "string": () => ["\0", "\ud800%", "%0000", { "\udfff": 1 }],
  "Date": () => [new Date(Date.UTC(2026, 0, 31, 8)), new Date(NaN), new Date(8.64e15), new Date(-62198755200000)],
  "RegExp": () => [/a\/b\n/dgimsuy, /[\p{L}]/v],
  "Boxed": () => [Object(true), Object(-0), Object("s"), Object(7n)],
  "Map": () => new Map<unknown, unknown>([[NaN, undefined], [{ a: 1 }, new Map()]]),
  "Set": () => new Set([1, "1", new Set()]),
  "Object": () => JSON.parse('{"$":1,"__proto__":{"polluted":true},"constructor":2,"length":3}'),
  "own __proto__": () => JSON.parse('{"__proto__":{"polluted":true}}'),
  "Array": () => Object.assign([1, , 3], { index: 0, "__proto__x": 1 }),
  "Error": () => failure("Error", { cause: "why" }),
  "EvalError": () => failure("EvalError"),
  "RangeError": () => failure("RangeError"),
  "ReferenceError": () => failure("ReferenceError"),
  "SyntaxError": () => failure("SyntaxError"),
  "TypeError": () => failure("TypeError"),
  "URIError": () => failure("URIError"),
  "AggregateError": () => failure("AggregateError"),
  "DOMException": exception,
  "ArrayBuffer": bytes,
  "Int8Array": () => new Int8Array(bytes()),
  "Uint8Array": () => new Uint8Array(bytes()),
  "Uint8ClampedArray": () => new Uint8ClampedArray(bytes()),
  "Int16Array": () => new Int16Array(bytes()),
  "Uint16Array": () => new Uint16Array(bytes()),
  "Int32Array": () => new Int32Array(bytes()),
  "Uint32Array": () => new Uint32Array(bytes()),
  "Float16Array": () => new Float16Array(bytes()),
  "Float32Array": () => new Float32Array(bytes()),
  "Float64Array": () => new Float64Array(bytes()),
  "BigInt64Array": () => new BigInt64Array(bytes()),
  "BigUint64Array": () => new BigUint64Array(bytes()),
  "DataView": () => new DataView(bytes()),
  "views on one buffer": views,
  "resizable buffer": resizable,
  "shared reference": shared,
  "cycle": cycle,
};
