/**
 * The built-ins as they were when this module was loaded. Structured cloning does not look up globals, so that a value
 * comes back the same while a test, a mock of the DOM or a polyfill has replaced or deleted one.
 *
 * @module
 */
export const {
  AggregateError,
  Array,
  ArrayBuffer,
  BigInt,
  Blob,
  Boolean,
  DOMException,
  Date,
  Error,
  EvalError,
  File,
  JSON,
  Map,
  Math,
  Number,
  Object,
  RangeError,
  ReferenceError,
  RegExp,
  Set,
  String,
  SyntaxError,
  TypeError,
  URIError,
  Uint8Array,
  atob,
  btoa,
  parseInt,
} = globalThis;

/** Defines an own property of `object`, whatever its key and whatever its prototypes have. Calls no setter. */
export function define(
  object: object,
  key: string,
  { value, enumerable }: { value: unknown; enumerable: boolean },
): void {
  // Without a prototype, the descriptor has no `get` of a polluted Object.prototype.
  Object.defineProperty(
    object,
    key,
    { __proto__: null, value, writable: true, enumerable, configurable: true } as object,
  );
}
