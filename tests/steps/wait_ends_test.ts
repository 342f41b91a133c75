import { assertEquals } from "@std/assert";
import { findWaitEnds, type SentSignal, type StoredWait } from "../../src/steps/wait_ends.ts";

const at = (second: number) => new Date(second * 1000);

function wait(name: string, kind: string, { began = 0, due }: { began?: number; due?: number } = {}): StoredWait {
  return { name, key: "", kind, began: at(began), due: due === undefined ? null : at(due), callees: null };
}

function call(name: string, callees: number[]): StoredWait {
  return { ...wait(name, "call"), callees };
}

const sent = (name: string, id: number, second: number): SentSignal => ({ id, name, sent: at(second) });

/** The ends as "name second", with the id of the signal; and what is left of the signals. */
function ends(
  waits: StoredWait[],
  { signals = [], callees = {}, now }: {
    signals?: SentSignal[];
    callees?: Record<number, number | null>;
    now: number;
  },
) {
  const ended = new Map(Object.entries(callees).map(([id, end]) => [Number(id), end === null ? null : at(end)]));
  const found = findWaitEnds(waits, { signals, callees: ended, now: at(now) });
  return [
    found.ends.map(({ step, at, signal }) => `${step.name} ${at.getTime() / 1000}${signal ? ` #${signal.id}` : ""}`),
    found.left.map(({ id }) => id),
  ];
}

Deno.test("findWaitEnds() ends a sleep when it is due, and the retry of a step never", () => {
  const waits = [wait("a", "sleep", { due: 5 }), wait("b", "sleep", { due: 6 }), wait("c", "step", { due: 1 })];
  assertEquals(ends(waits, { now: 4 }), [[], []]);
  assertEquals(ends(waits, { now: 5 }), [["a 5"], []]);
  assertEquals(ends(waits, { now: 9 }), [["a 5", "b 6"], []]);
});

Deno.test("findWaitEnds() gives each wait the first signal of its name, and leaves the others", () => {
  const signals = [sent("x", 1, 3), sent("y", 2, 1), sent("x", 3, 4)];
  assertEquals(ends([wait("x", "signal")], { signals, now: 9 }), [["x 3 #1"], [2, 3]]);
  assertEquals(ends([wait("x", "signal", { began: 7 })], { signals, now: 9 }), [["x 7 #1"], [2, 3]]);
  assertEquals(ends([wait("z", "signal")], { signals, now: 9 }), [[], [1, 2, 3]]);
});

Deno.test("findWaitEnds() compares when a signal was sent with the deadline, whatever the time is", () => {
  const cases: [due: number, second: number | undefined, now: number, expected: unknown][] = [
    [5, undefined, 4, [[], []]],
    [5, undefined, 5, [["x 5"], []]],
    [5, 4, 99, [["x 4 #1"], []]],
    [5, 5, 99, [["x 5 #1"], []]],
    [5, 6, 99, [["x 5"], [1]]],
    [5, 4, 4, [["x 4 #1"], []]],
  ];
  for (const [due, second, now, expected] of cases) {
    const signals = second === undefined ? [] : [sent("x", 1, second)];
    assertEquals(ends([wait("x", "signal", { due })], { signals, now }), expected);
  }
  // The first in time is taken, though one that was sent too late stands before it.
  const signals = [sent("x", 1, 6), sent("x", 2, 5)];
  assertEquals(ends([wait("x", "signal", { due: 5 })], { signals, now: 9 }), [["x 5 #2"], [1]]);
});

Deno.test("findWaitEnds() ends a call when the last of its tasks has ended or is gone", () => {
  const waits = [call("one", [1]), call("many", [2, 3])];
  assertEquals(ends(waits, { callees: { 1: null, 2: 4, 3: null }, now: 9 }), [[], []]);
  assertEquals(ends(waits, { callees: { 1: 7, 2: 4, 3: 2 }, now: 9 }), [["many 4", "one 7"], []]);
  assertEquals(ends(waits, { callees: { 1: null, 2: 4 }, now: 9 }), [["many 4"], []]);
});

Deno.test("findWaitEnds() orders ends by the times at which they happened, and those of one time by their beginning", () => {
  const waits = [
    wait("late", "sleep", { began: 2, due: 5 }),
    wait("early", "sleep", { began: 1, due: 5 }),
    wait("x", "signal", { due: 8 }),
    call("c", [1]),
  ];
  const [order] = ends(waits, { signals: [sent("x", 1, 6)], callees: { 1: 3 }, now: 9 });
  assertEquals(order, ["c 3", "early 5", "late 5", "x 6 #1"]);
});
