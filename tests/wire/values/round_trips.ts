/** Values that come back as they were; without any import, for programs that any runtime runs. @module */

/** A value that comes back as another. */
class To {
  readonly from: unknown;
  readonly to: unknown;

  constructor(from: unknown, to: unknown) {
    this.from = from;
    this.to = to;
  }
}

class Point {
  x = 1;
  #hidden = 2;
  get hidden(): number {
    return this.#hidden;
  }
}

class CustomError extends TypeError {
  extra = 1;
}

function plainError(message?: string, options?: ErrorOptions): Error {
  const error = new Error(message, options);
  error.stack = "a stack";
  return error;
}

function selfCause(): Error {
  const error = plainError("loop");
  Object.defineProperty(error, "cause", { value: error, configurable: true, writable: true });
  return error;
}

function selfMap(): unknown {
  const map = new Map();
  map.set(map, map).set("a", map);
  return map;
}

function selfSet(): unknown {
  const set = new Set();
  return set.add(set).add(1);
}

function nested(levels: number): unknown {
  let value: unknown = [];
  for (let level = 1; level < levels; level++) value = level % 2 ? { a: value } : new Map([["a", value]]);
  return value;
}

/** An object whose property "a" calls `act` when it is read. */
function trap(act: () => void): object {
  return Object.defineProperty({}, "a", {
    enumerable: true,
    get() {
      act();
      return 1;
    },
  });
}

function mutatedMap(): To {
  const map = new Map<string, unknown>();
  map.set("first", trap(() => map.set("third", 3).delete("second"))).set("second", 2);
  return new To(map, new Map<string, unknown>([["first", { a: 1 }], ["second", 2]]));
}

function shortenedArray(): To {
  const array: unknown[] = [];
  array.push(trap(() => array.length = 1), 2, array);
  return new To([array], [[{ a: 1 }, , ,]]);
}

function shortenedWithReference(): To {
  const shared = { b: 1 };
  const array: unknown[] = [];
  array.push(shared, trap(() => array.length = 2), 3);
  const point = { b: 1 };
  const list = [point, { a: 1 }, ,];
  return new To([array, array, shared], [list, list, point]);
}

function deletedProperty(): To {
  const object: Record<string, unknown> = {};
  Object.defineProperty(object, "a", { enumerable: true, get: () => delete object.b });
  Object.assign(object, { b: 1, c: 2 });
  return new To(object, { a: true, c: 2 });
}

function sharedViews(): unknown {
  const buffer = new ArrayBuffer(16);
  return [new Uint8Array(buffer, 1, 3), new Float64Array(buffer, 8, 1), new DataView(buffer, 2, 4)];
}

function shrunkTracker(): To {
  const from = new ArrayBuffer(4, { maxByteLength: 8 });
  const to = new ArrayBuffer(4, { maxByteLength: 8 });
  return new To(new Uint8Array(from, 1), new Uint8Array(to, 1, 3));
}

const spoof = { [Symbol.toStringTag]: "Date", a: 1 };
const MANY_DIGITS = 10n ** 16_383n;

/** The values by what is peculiar in them. */
export const ROUND_TRIPS: Record<string, () => unknown> = {
  "undefined in an object and a hole in an array": () => [{ a: undefined }, [1, , undefined]],
  "an array of holes": () => new Array(5),
  "the longest array of holes": () => new Array(1_000_000),
  "a match": () => "xfoo".match(/f(o)/),
  "an array that begins and ends with holes, and has properties": () =>
    Object.assign([, 1, ,], { "-1": 0, "01": 1, a: [] }),
  "holes and a property that number as many as elements": () => Object.assign([, 1], { x: 1 }),
  "the highest property that is no index": () => Object.assign([], { "4294967295": 1 }),
  "numbers that JSON lacks": () => [NaN, Infinity, -Infinity, -0, Object(NaN), new Float64Array([NaN, -0])],
  "extreme numbers": () => [5e-324, 1.7976931348623157e308, 2 ** 53, 1e21, 0.1],
  "bigints": () => [0n, -1n, 2n ** 200n, 2n ** 64n, MANY_DIGITS, -MANY_DIGITS],
  "dates": () => [NaN, 8.64e15, -8.64e15, -62198755200000, 253402300800000, 0].map((time) => new Date(time)),
  "a shared date": () => ((date) => [date, date])(new Date(0)),
  "regular expressions": () => [/a/dgimsuy, /[\p{L}]/v, new RegExp("\0/\n\ud800"), new RegExp("")],
  "lastIndex": () => {
    const used = /a/g;
    used.lastIndex = 3;
    return new To(used, /a/g);
  },
  "a map of peculiar keys": () => new Map<unknown, unknown>([[NaN, 1], [undefined, 2], [{}, 3], [null, undefined]]),
  "a map that contains itself": selfMap,
  "a set that contains itself": selfSet,
  "boxed primitives": () => [Object(true), Object(1), Object(""), Object("\0"), Object(1n)],
  "a shared boxed primitive": () => ((boxed) => [boxed, boxed])(Object("x")),
  "properties of boxed primitives and maps are lost": () =>
    new To([Object.assign(Object("ab"), { a: 1 }), Object.assign(new Map(), { a: 1 })], [Object("ab"), new Map()]),
  "errors": () => [
    plainError(),
    plainError(""),
    plainError("a", { cause: undefined }),
    plainError("b", { cause: plainError() }),
  ],
  "an error that is its own cause": selfCause,
  "an AggregateError": () => {
    const error = new AggregateError([plainError("a"), null], "many", { cause: 1 });
    error.stack = "a stack";
    return error;
  },
  "a subclass of TypeError": () => {
    const from = Object.assign(new CustomError("a"), { stack: "s" });
    return new To(from, Object.assign(new TypeError("a"), { stack: "s" }));
  },
  "an error of an unknown name": () => new To(Object.assign(plainError("a"), { name: "constructor" }), plainError("a")),
  "an error of an assigned name": () =>
    new To(
      Object.assign(plainError("a"), { name: "RangeError" }),
      Object.assign(new RangeError("a"), { stack: "a stack" }),
    ),
  "text that jsonb cannot hold":
    () => ["\0", "\ud800", "\udc00\ud800", "😀", { "\0": 1, "\ud800": 2, "😀": 3 }, "%", "%0000\0"],
  "keys that look like tags":
    () => [{ $: "Map", v: [] }, { a: { $: { $: 1 } } }, JSON.parse('{"\\u0024":"Date","v":0}'), { v: 1 }],
  "own properties with inherited names": () =>
    JSON.parse('{"__proto__":{"a":1},"constructor":1,"length":2,"hasOwnProperty":3,"toString":4,"toJSON":5}'),
  "__proto__ beside a key that needs a tag": () => JSON.parse('{"__proto__":{"a":1},"$":{"__proto__":[]}}'),
  "keys in order": () => ({ b: 1, a: 2, 10: 3, 9: 4, "": 5 }),
  "no prototype": () => new To(Object.assign(Object.create(null), { a: 1 }), { a: 1 }),
  "an instance of a class": () => new To(new Point(), { x: 1 }),
  "symbols and what is not enumerable": () =>
    new To(Object.defineProperty({ [Symbol("a")]: 1 }, "b", { value: 1 }), {}),
  "frozen": () => Object.freeze({ a: Object.freeze([1]) }),
  "an object that says it is a Date": () => new To(spoof, { a: 1 }),
  "a Map without its prototype": () =>
    new To(Object.setPrototypeOf(new Map([[1, 2]]), Object.prototype), new Map([[1, 2]])),
  "a Date without its prototype": () => new To(Object.setPrototypeOf(new Date(5), null), new Date(5)),
  "Object.prototype": () => new To(Object.prototype, {}),
  "a getter": () =>
    new To({
      get a() {
        return 1;
      },
    }, { a: 1 }),
  "a getter that changes a map": mutatedMap,
  "a getter that shortens an array": shortenedArray,
  "a getter that shortens a shared array": shortenedWithReference,
  "a getter that deletes a property": deletedProperty,
  "views on one buffer": sharedViews,
  "a view, then its buffer": () => ((buffer) => [new Uint8Array(buffer, 1, 2), buffer])(new ArrayBuffer(4)),
  "a buffer, then a view": () => ((buffer) => [buffer, new Uint8Array(buffer, 1, 2)])(new ArrayBuffer(4)),
  "one view twice": () => ((view) => [view, view])(new Uint8Array(3)),
  "a lone view on a part": () => new To(new Uint8Array([1, 2, 3]).subarray(1, 2), new Uint8Array([2])),
  "resizable buffers": () =>
    ((buffer) => [buffer, new Uint8Array(buffer, 0, 1)])(new ArrayBuffer(1, { maxByteLength: 9 })),
  "a view that tracks its buffer": shrunkTracker,
  "empty buffers": () => [new ArrayBuffer(0), new Uint8Array(), new DataView(new ArrayBuffer(0))],
  "a DOMException": () => Object.defineProperty(new DOMException("a", "b"), "stack", { value: "s" }),
  "256 levels": () => nested(256),
  "references in both directions": () => {
    const parent = { children: [] as unknown[] };
    parent.children.push({ parent }, { parent });
    return parent;
  },
};

/** What `make` makes, and what it should come back as. */
export function roundTrip(make: () => unknown): { from: unknown; to: unknown } {
  const value = make();
  return value instanceof To ? value : { from: value, to: make() };
}
