/** A shorter array is made at once: nothing would be saved that one could measure. */
const SHORT = 1_000;
/** What else looks at entries, by the names of the traps of a Proxy, which are those of `Reflect`. */
const LOOKS = [
  "has",
  "set",
  "ownKeys",
  "deleteProperty",
  "defineProperty",
  "getOwnPropertyDescriptor",
  "preventExtensions",
] as const;
/** How `console.log` asks an array for another output: it would look past the Proxy, and see no entries. */
const INSPECT = Symbol.for("nodejs.util.inspect.custom");

/**
 * Makes an array of `length` entries, which `make` makes all together at the first look at one. Until then, a long one
 * costs next to nothing; from then on it is as any other. It cannot be cloned by `structuredClone`, but its entries can.
 */
export function lazyArray<T>(length: number, make: () => T[]): T[] {
  if (length < SHORT) return make();
  const array: T[] = [];
  array.length = length;
  const traps: ProxyHandler<T[]> = {};
  function fill(): T[] {
    if (traps.get === undefined) return array;
    const entries = make();
    for (const trap of ["get", ...LOOKS] as const) delete traps[trap];
    Reflect.deleteProperty(array, INSPECT);
    for (let i = 0; i < length; i++) array[i] = entries[i]!;
    return array;
  }
  for (const look of LOOKS) {
    traps[look] = (...args: unknown[]) => (fill(), (Reflect[look] as (...args: unknown[]) => never)(...args));
  }
  traps.get = (_, key, proxy) => {
    // A promise that resolves to it looks for "then".
    if (key !== "length" && key !== "then") fill();
    return Reflect.get(array, key, proxy);
  };
  Object.defineProperty(array, INSPECT, { value: fill, configurable: true });
  return new Proxy(array, traps);
}
