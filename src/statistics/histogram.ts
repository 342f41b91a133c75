/**
 * How often each duration came: four buckets for each factor of ten. The first is for less than 1 ms, and the others end
 * at 10^0.25, 10^0.5, 10^0.75, 10 ms and so on. It ends with its last bucket that is not 0. As the columns
 * `queue_minute.wait` and `task_minute.run` have it.
 */
export type Histogram = number[];

const FOR_EACH_TEN = 4;
/** The last bucket: for 5 days and longer. */
const LAST = 35;

/** Adds a duration in milliseconds, as often as `count` says. */
export function addDuration(histogram: Histogram, ms: number, count: number): void {
  const bucket = ms < 1 ? 0 : Math.min(1 + Math.floor(FOR_EACH_TEN * Math.log10(ms)), LAST);
  while (histogram.length <= bucket) histogram.push(0);
  histogram[bucket]! += count;
}

/** Adds another histogram. */
export function addHistogram(histogram: Histogram, other: readonly number[]): void {
  while (histogram.length < other.length) histogram.push(0);
  other.forEach((count, bucket) => histogram[bucket]! += count);
}

/**
 * Estimates the duration in milliseconds that a share of all durations do not exceed: 0.95 for the 95th percentile. It
 * takes those of a bucket to be spread evenly over its logarithm. Returns undefined if there is none.
 */
export function quantileOf(histogram: readonly number[], share: number): number | undefined {
  const total = histogram.reduce((sum, count) => sum + count, 0);
  if (total === 0) return undefined;
  let left = share * total;
  for (const [bucket, count] of histogram.entries()) {
    if (count > 0 && left <= count) {
      const part = left / count;
      return bucket === 0 ? part : 10 ** ((bucket - 1 + part) / FOR_EACH_TEN);
    }
    left -= count;
  }
  return 10 ** ((histogram.length - 1) / FOR_EACH_TEN);
}
