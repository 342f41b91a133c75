import { types } from "node:util";

/** What structured cloning sees in an object, whatever its prototype and properties pretend. */
export type Brand =
  | "Array"
  | "ArrayBuffer"
  | "Blob"
  | "Boxed"
  | "DOMException"
  | "Date"
  | "Error"
  | "Map"
  | "Object"
  | "RegExp"
  | "Set"
  | "View";

/** Reads a built-in accessor of `prototype` from an object, past whatever its own class overrides. */
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

const exceptionName = builtInGetter(DOMException.prototype, "name");
const blobSize = builtInGetter(Blob.prototype, "size");

const BRANDS: readonly (readonly [Brand, (object: object) => boolean])[] = [
  ["Date", types.isDate],
  ["Map", types.isMap],
  ["Set", types.isSet],
  ["View", ArrayBuffer.isView],
  // A DOMException may be a native error too, but has a name of its own.
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

/** The brand of `object`, or `undefined` if structured cloning refuses it. */
export function brandOf(object: object): Brand | undefined {
  if (types.isProxy(object)) return undefined;
  if (Array.isArray(object)) return "Array";
  if (isOrdinary(object)) return "Object";
  for (const [brand, isBranded] of BRANDS) {
    if (isBranded(object)) return brand;
  }
  if (NEVER_CLONED.some((isBranded) => isBranded(object))) return undefined;
  return inheritsTag(object) ? undefined : "Object";
}

/** Whether `object` is plain data at first sight: what most objects are, found without asking for every brand. */
function isOrdinary(object: object): boolean {
  const prototype = Object.getPrototypeOf(object);
  if (prototype !== Object.prototype && prototype !== null) return false;
  // An own tag would hide what the object is; a Map or a Promise whose prototype
  // was replaced is as plain at first sight, but has hardly ever keys.
  if (Object.hasOwn(object, Symbol.toStringTag)) return false;
  if (Object.prototype.toString.call(object) !== "[object Object]") return false;
  return Object.keys(object).length > 0;
}

/**
 * Whether the prototypes of `object` name an interface, as those of platform objects, iterators
 * and most other things that are more than their properties do.
 */
function inheritsTag(object: object): boolean {
  let prototype = Object.getPrototypeOf(object);
  while (prototype !== null && prototype !== Object.prototype) {
    if (Object.hasOwn(prototype, Symbol.toStringTag)) return true;
    prototype = Object.getPrototypeOf(prototype);
  }
  return false;
}
