import { assert, assertEquals, assertNotStrictEquals, assertStrictEquals } from "@std/assert";
import { inspect } from "node:util";
import { lazyArray } from "../src/lazy_array.ts";

const LONG = 1000;

interface Entry {
  n: number;
}

/** A long lazy array, and how often its entries were made. */
function long(): { array: Entry[]; made: () => number } {
  let times = 0;
  const array = lazyArray(LONG, () => {
    times++;
    return plain();
  });
  return { array, made: () => times };
}

function plain(): Entry[] {
  return Array.from({ length: LONG }, (_, n) => ({ n }));
}

Deno.test("lazyArray() makes nothing for its length, nor for whatever passes it on", async () => {
  const { array, made } = long();

  const passed = await (async () => await Promise.resolve(array))();

  assertStrictEquals(passed, array);
  assertEquals([passed.length, Array.isArray(passed), made()], [LONG, true, 0]);
});

const LOOKS: Record<string, (array: Entry[]) => unknown> = {
  "an index": (array) => array[7],
  "the last one": (array) => array.at(-1),
  "an index past the end": (array) => array[LONG],
  "iteration": (array) => [...array],
  "destructuring": ([first, second]) => [first, second],
  "map()": (array) => array.map(({ n }) => n),
  "slice()": (array) => array.slice(3),
  "flat()": (array) => [array].flat(),
  "concat()": (array) => [{ n: -1 }].concat(array),
  "a spread object": (array) => ({ ...array }),
  "for in": (array) => {
    const keys: string[] = [];
    for (const key in array) keys.push(key);
    return keys;
  },
  "keys": (array) => Reflect.ownKeys(array),
  "in": (array) => [3 in array, LONG in array],
  "a property's descriptor": (array) => Object.getOwnPropertyDescriptor(array, 2),
  "JSON": (array) => JSON.stringify({ array }),
  "Deno.inspect()": (array) => Deno.inspect({ array }),
  "util.inspect()": (array) => inspect(array),
  "structuredClone() of its entries": (array) => structuredClone([...array]),
  "sort()": (array) => array.sort((a, b) => b.n - a.n),
  "push()": (array) => [array.push({ n: -1 }), array],
  "a shorter length": (array) => [array.length = 2, array],
  "an entry set": (array) => [array[1] = { n: -1 }, array],
  "an entry deleted": (array) => [delete array[1], array],
  "an entry defined": (array) => Object.defineProperty(array, 1, { value: { n: -1 } }),
  "freezing": (array) => [Object.isFrozen(Object.freeze(array)), array],
};

for (const [look, at] of Object.entries(LOOKS)) {
  Deno.test(`lazyArray() shows what an array shows to ${look}, and makes it once`, () => {
    const { array, made } = long();

    const [seen, expected] = [at(array), at(plain())];

    assertEquals(seen, expected);
    assertEquals([made(), Object.getPrototypeOf(array), Reflect.ownKeys(array).at(-1)], [1, Array.prototype, "length"]);
  });
}

Deno.test("lazyArray() keeps its entries: those that are seen twice are the same", () => {
  const { array, made } = long();

  assertStrictEquals(array[5], array[5]);
  assertStrictEquals(array.find(({ n }) => n === 9), array[9]);
  assertNotStrictEquals(array[5], array[6]);
  assertEquals(made(), 1);
});

Deno.test("lazyArray() tries again where an entry could not be made", () => {
  let fails = true;
  const array = lazyArray(LONG, () => {
    if (fails) throw new RangeError("no");
    return plain();
  });

  for (let i = 0; i < 2; i++) {
    try {
      array[0];
      assert(false);
    } catch (error) {
      assert(error instanceof RangeError);
    }
  }
  fails = false;
  assertEquals(array[3], { n: 3 });
});

Deno.test("lazyArray() makes a short array at once, and as it is", () => {
  const made = [{ n: 1 }];

  assertStrictEquals(lazyArray(made.length, () => made), made);
});
