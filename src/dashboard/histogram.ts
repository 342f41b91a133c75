import { quantileOf } from "../statistics/histogram.ts";

/** A histogram as statements return it: a bucket may be missing. */
export type Counted = readonly (number | undefined)[];

/**
 * Estimates the duration in seconds that a share of all durations do not exceed: 0.95 for the 95th percentile; null if
 * none was counted.
 */
export function percentile(histogram: Counted, share: number): number | null {
  const ms = quantileOf(Array.from(histogram, (count) => count ?? 0), share);
  return ms === undefined ? null : ms / 1000;
}

/** How many durations a histogram has. */
export function countOf(histogram: Counted): number {
  return histogram.reduce<number>((sum, count) => sum + (count ?? 0), 0);
}
