import { assertEquals } from "@std/assert";
import { wantedConsumers, type WantedFrom } from "../../src/metrics/wanted.ts";

const IDLE: WantedFrom = {
  paused: false,
  consumers: 2,
  slots: 20,
  ready: 0,
  due: 0,
  running: 0,
  recent: { attempts: 0, seconds: 0 },
};
/** Attempts of the last three minutes, `a` a second with `s` seconds each. */
const recent = (a: number, s: number) => ({ attempts: 180 * a, seconds: 180 * a * s });

const cases: [what: string, load: Partial<WantedFrom>, wanted: number][] = [
  ["an idle queue wants none", {}, 0],
  ["no task has ended yet: each takes a slot", { ready: 45 }, 5],
  ["nobody serves it: consumers of 10", { consumers: 0, slots: 0, ready: 45 }, 5],
  ["tasks of an hour: each takes a slot", { ready: 45, running: 20, recent: recent(0.01, 3600) }, 7],
  ["60,000 tasks of 10 ms: 10 slots for a minute", { ready: 60_000, recent: recent(100, 0.01) }, 2],
  [
    "short tasks that are claimed and wait in their consumers do not count",
    { running: 900, recent: recent(100, 0.01) },
    1,
  ],
  ["tasks that run count", { running: 12, recent: recent(1, 5) }, 2],
  ["tasks whose time has come count", { due: 45 }, 5],
  ["a paused queue wants none for its backlog", { ready: 1000, paused: true }, 0],
  ["a paused queue lets its tasks end", { ready: 1000, paused: true, running: 11, recent: recent(1, 5) }, 2],
];

Deno.test("wantedConsumers() is what keeps up and works off the backlog in a minute", () => {
  const found = cases.map(([what, load]) => [what, wantedConsumers({ ...IDLE, ...load })]);
  assertEquals(found, cases.map(([what, , wanted]) => [what, wanted]));
});
