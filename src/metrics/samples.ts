import type { Histogram } from "../statistics/histogram.ts";
import type { HistogramSample } from "./text.ts";

/**
 * The bounds of buckets, each with the buckets of a {@linkcode Histogram} that it has: every second one, from 1 ms to 5
 * days, as each is a series of its own for every task.
 */
const BOUNDS = Array.from({ length: 18 }, (_, index) => ({
  seconds: Number((10 ** (index / 2 - 3)).toPrecision(3)),
  buckets: 1 + 2 * index,
}));

/** Converts a histogram of the statistics, whose durations sum up to `ms` milliseconds. */
export function toSample(histogram: Histogram, ms: number): HistogramSample {
  const upTo = (buckets: number) => histogram.slice(0, buckets).reduce((sum, count) => sum + count, 0);
  return {
    bounds: BOUNDS.map(({ seconds }) => seconds),
    counts: BOUNDS.map(({ buckets }) => upTo(buckets)),
    sum: ms / 1000,
    count: upTo(histogram.length),
  };
}
