import { assert, assertEquals } from "@std/assert";
import { countOf, percentile } from "../../src/dashboard/histogram.ts";

/** The bucket of a time in seconds, as consumers count it. */
function bucketOf(seconds: number): number {
  return seconds < 0.001 ? 0 : Math.floor(Math.log10(seconds * 1000) * 4) + 1;
}

Deno.test("percentile() is within the bucket that has the value", () => {
  const histogram: number[] = [];
  for (const seconds of [0.0004, 0.005, 0.02, 0.02, 0.3, 0.9, 3, 8, 20, 400]) {
    histogram[bucketOf(seconds)] = (histogram[bucketOf(seconds)] ?? 0) + 1;
  }
  for (const [share, value] of [[0.1, 0.0004], [0.2, 0.005], [0.5, 0.3], [0.95, 400], [1, 400]] as const) {
    const found = percentile(histogram, share)!;
    assert(bucketOf(found * 0.999999) === bucketOf(value), `${share}: ${found} for ${value}`);
  }
});

Deno.test("percentile() is null where nothing was counted, and the end of the last bucket at most", () => {
  assertEquals([percentile([], 0.5), percentile([0, 0], 0.95)], [null, null]);
  assertEquals(percentile([4], 1), 0.001);
  assertEquals(percentile([0, 0, 0, 0, 9], 1), 0.01);
  assertEquals(percentile([0, , 2] as number[], 1)!.toFixed(5), (10 ** -2.5).toFixed(5));
});

Deno.test("countOf() adds the buckets that a histogram has", () => {
  assertEquals([countOf([1, 3, 5]), countOf([0, , 2] as number[]), countOf([])], [9, 2, 0]);
});
