import type { ReleaseCounts } from "../claim/dependants.ts";
import type { StepCounts } from "../statistics/step_counts.ts";
import type { Tally } from "../statistics/tally.ts";

/** What a consumer has counted, and what it does now, for metrics. */
export interface ConsumerCounts {
  /** The attempts of each queue and name, since its start; undefined where statistics are switched off. */
  readonly attempts: Tally | undefined;
  /** The steps of its attempts, since its start; undefined where statistics are switched off. */
  readonly steps: StepCounts | undefined;
  /** What its releases of dependants did. */
  readonly releases: ReleaseCounts;
  /** The tasks that it runs, each with the queue of its definition. */
  readonly tasks: readonly { readonly name: string; readonly queue: string }[];
  /** How often each of its own actions failed. */
  readonly errors: ReadonlyMap<string, number>;
  /** How many handlers may run at a time. */
  readonly concurrency: number;
  /** How many handlers run. */
  readonly running: number;
  /** How many wake locks it holds. */
  readonly wakeLocks: number;
  /** The release of the application; null if it has none. */
  readonly release: string | null;
}
