import { types } from "node:util";
import { Array, ArrayBuffer, Blob, DOMException, Object } from "./built_ins.ts";

/**
 * The kind of object that structured cloning sees, regardless of the object's prototype and properties. An `Instance` is
 * cloned as a plain object is, but may be more than that.
 */
export type Brand =
  | "Array"
  | "ArrayBuffer"
  | "Blob"
  | "Boxed"
  | "DOMException"
  | "Date"
  | "Error"
  | "Instance"
  | "Map"
  | "Object"
  | "RegExp"
  | "Set"
  | "View";

/** Returns a function that calls a built-in getter of `prototype`, even on objects whose class overrides it. */
export function builtInGetter<T>(
  prototype: object,
  property: PropertyKey,
): (object: object) => T {
  const getter = Object.getOwnPropertyDescriptor(prototype, property)?.get;
  if (getter === undefined) {
    throw new TypeError(`Cannot find the accessor "${String(property)}"`);
  }
  return (object) => getter.call(object);
}

/** Whether `getter` finds its internal slot in `object`. */
function hasSlot(object: object, getter: (object: object) => unknown): boolean {
  try {
    getter(object);
    return true;
  } catch {
    return false;
  }
}

const exceptionName = builtInGetter<string>(DOMException.prototype, "name");
const blobSize = builtInGetter<number>(Blob.prototype, "size");

const BRANDS: readonly (readonly [Brand, (object: object) => boolean])[] = [
  ["Date", types.isDate],
  ["Map", types.isMap],
  ["Set", types.isSet],
  ["View", ArrayBuffer.isView],
  // A DOMException may be a native error too, but has a getter for its name.
  ["DOMException", (object) => hasSlot(object, exceptionName)],
  ["Error", types.isNativeError],
  ["RegExp", types.isRegExp],
  ["ArrayBuffer", types.isArrayBuffer],
  ["Blob", (object) => hasSlot(object, blobSize)],
  ["Boxed", isBoxed],
];

function isBoxed(object: object): boolean {
  return types.isBoxedPrimitive(object) && !types.isSymbolObject(object);
}

const NEVER_CLONED: readonly ((object: object) => boolean)[] = [
  types.isArgumentsObject,
  types.isGeneratorObject,
  types.isMapIterator,
  types.isModuleNamespaceObject,
  types.isPromise,
  types.isSetIterator,
  types.isSharedArrayBuffer,
  types.isSymbolObject,
  types.isWeakMap,
  types.isWeakSet,
];

/** Returns the brand of `object`, or `undefined` if structured cloning rejects it. */
export function brandOf(object: object): Brand | undefined {
  if (types.isProxy(object)) return undefined;
  if (Array.isArray(object)) return "Array";
  if (isOrdinary(object)) return "Object";
  for (const [brand, isBranded] of BRANDS) {
    if (isBranded(object)) return brand;
  }
  if (NEVER_CLONED.some((isBranded) => isBranded(object))) return undefined;
  return inheritsTag(object) ? undefined : "Instance";
}

/** Whether `object` is clearly plain data. Most objects are, and this check is cheaper than testing every brand. */
function isOrdinary(object: object): boolean {
  const prototype = Object.getPrototypeOf(object);
  if (prototype !== Object.prototype && prototype !== null) return false;
  // An own tag would hide the kind of object. A Map or a Promise whose prototype
  // was replaced looks as plain, but hardly ever has keys.
  if (Object.hasOwn(object, Symbol.toStringTag)) return false;
  if (Object.prototype.toString.call(object) !== "[object Object]") return false;
  return Object.keys(object).length > 0;
}

/**
 * Whether a prototype of `object` has a tag, as have those of platform objects, iterators and most
 * other objects that are more than their properties.
 */
function inheritsTag(object: object): boolean {
  let prototype = Object.getPrototypeOf(object);
  while (prototype !== null && prototype !== Object.prototype) {
    if (Object.hasOwn(prototype, Symbol.toStringTag)) return true;
    prototype = Object.getPrototypeOf(prototype);
  }
  return false;
}
