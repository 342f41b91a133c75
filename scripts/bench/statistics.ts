import type { Measurement, Metric, Metrics, Results } from "./results.ts";
import type { Scenario } from "./scenarios.ts";

/** The middle of the values, or the mean of the two in the middle; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The smallest value that `share` of all values are not above; NaN of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN;
}

/** Quantiles of times. */
export function quantilesOf(times: readonly number[]): { p50: number; p95: number; p99: number } {
  return { p50: quantile(times, 0.5), p95: quantile(times, 0.95), p99: quantile(times, 0.99) };
}

/** What the rounds of a run say of a number. */
export interface Summary {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** Which of the measurements. */
export interface Choice {
  readonly peer: string;
  readonly scenario: Scenario;
  readonly metric: Metric;
  /** Of the scenarios `rounds` and `records`. */
  readonly step?: number;
  /** Of the scenarios `dashboard` and `scrape`. */
  readonly page?: string;
}

/** Sums a number up over all rounds; undefined if it was never measured. */
export function summarize(
  { measurements }: Pick<Results, "measurements">,
  { peer, scenario, metric, step, page }: Choice,
): Summary | undefined {
  const fits = (one: Measurement) =>
    one.peer === peer && one.scenario === scenario && (step === undefined || one.metrics.step === step) &&
    (page === undefined || one.page === page);
  const values = measurements.filter(fits).flatMap(({ metrics }) => metrics[metric] ?? []);
  if (values.length === 0) return undefined;
  return { median: median(values), least: Math.min(...values), most: Math.max(...values) };
}

/** The share of the machine that others may take before a measurement counts as noisy. */
export const QUIET = 0.12;

/** The share of the machine that others took during a measurement; 0 if that is not known. */
export function noiseOf({ others = 0, steal = 0 }: Metrics): number {
  return others + steal;
}
