import { assert, assertEquals } from "@std/assert";
import { addDuration, addHistogram, type Histogram, quantileOf } from "../../src/statistics/histogram.ts";

function bucketOf(ms: number): number {
  const histogram: Histogram = [];
  addDuration(histogram, ms, 1);
  return histogram.indexOf(1);
}

Deno.test("addDuration() has four buckets for each factor of ten, from 1 ms on", () => {
  const cases: [ms: number, bucket: number][] = [
    [-5, 0],
    [0, 0],
    [0.99, 0],
    [1, 1],
    [1.7, 1],
    [1.8, 2],
    [3.2, 3],
    [5.7, 4],
    [9.9, 4],
    [10, 5],
    [100, 9],
    [1_000, 13],
    [60_000, 20],
    [1e12, 35],
    [Infinity, 35],
  ];
  assertEquals(cases.map(([ms]) => [ms, bucketOf(ms)]), cases);
});

Deno.test("addDuration() counts as often as it is told, and addHistogram() adds one of another length", () => {
  const histogram: Histogram = [];
  addDuration(histogram, 2, 3);
  addDuration(histogram, 0, 2);
  assertEquals(histogram, [2, 0, 3]);
  addHistogram(histogram, [1]);
  addHistogram(histogram, [0, 1, 0, 4]);
  assertEquals(histogram, [3, 1, 3, 4]);
});

Deno.test("quantileOf() is right within a third, from the smallest duration to the largest", () => {
  for (const share of [0.05, 0.5, 0.95]) {
    const histogram: Histogram = [];
    const durations = Array.from({ length: 1000 }, (_, i) => 1.02 ** (i / 2) + 0.5);
    for (const ms of durations) addDuration(histogram, ms, 1);
    const exact = durations[Math.ceil(share * 1000) - 1]!;
    const estimated = quantileOf(histogram, share)!;
    assert(estimated > exact / 1.34 && estimated < exact * 1.34, `${share}: ${estimated} of ${exact}`);
  }
  assertEquals([quantileOf([], 0.5), quantileOf([0, 0], 0.5)], [undefined, undefined]);
});
