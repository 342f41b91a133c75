import type { Tag } from "../database/driver.ts";
import { checkRetention } from "../task/definition.ts";
import type { Retention } from "../task/options.ts";
import { toRetentionSeconds } from "../task/retention.ts";
import { type PrunedBatch, readBounds } from "../store/prune.ts";
import { refuseUnknownKeys } from "../suggest.ts";
import { Pruner } from "./pruner.ts";

/** The progress of pruning. */
export interface PruneProgress {
  /** The number of records deleted so far, or counted in a dry run. */
  readonly pruned: number;
  /** The share of records checked so far, from 0 to 1. */
  readonly share: number;
}

/** Options of `prune()`. */
export interface PruneOptions {
  /** Counts the records without deleting them. @default false */
  dryRun?: boolean;
  /** Replaces the instance's default. Tasks and queues keep a retention of their own. */
  retention?: Retention;
  /** Stops pruning between two batches and rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Receives the progress after each batch. */
  onProgress?: (progress: PruneProgress) => void;
}

const OPTION_KEYS = ["dryRun", "retention", "signal", "onProgress"];

/**
 * Checks the options of `prune()`.
 *
 * @throws {TypeError | RangeError} If an option is unknown or wrong.
 */
export function checkPruneOptions(options: PruneOptions): void {
  refuseUnknownKeys(options, OPTION_KEYS, "prune");
  if (options.retention !== undefined) checkRetention(options.retention, "prune");
}

/**
 * Reads all records once and deletes those whose retention has expired. Returns their number. Calls `onProblem` at the
 * end if some could not be deleted.
 */
export async function prune(
  sql: Tag,
  { dryRun = false, retention, signal, onProgress, onProblem }: PruneOptions & { onProblem(error: Error): void },
): Promise<number> {
  const pruner = new Pruner(sql);
  const bounds = await readBounds(sql);
  let [pruned, last] = [0, bounds ? bounds.first - 1 : null];
  while (bounds && last !== null) {
    signal?.throwIfAborted();
    const batch: PrunedBatch = await pruner.prune({ after: last, retention: toRetentionSeconds(retention), dryRun });
    pruned += batch.pruned;
    last = batch.last;
    const looked = last === null ? 1 : (last - bounds.first + 1) / (bounds.last - bounds.first + 1);
    onProgress?.({ pruned, share: Math.min(1, looked) });
  }
  if (pruner.problem) onProblem(pruner.problem);
  return pruned;
}
