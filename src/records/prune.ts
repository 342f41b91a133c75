import type { Tag } from "../database/driver.ts";
import { checkRetention } from "../task/definition.ts";
import type { Retention } from "../task/options.ts";
import { toRetentionSeconds } from "../task/retention.ts";
import { type PrunedBatch, pruneTasks, readBounds } from "../store/prune.ts";
import { refuseUnknownKeys } from "../suggest.ts";

/** How far pruning has come. */
export interface PruneProgress {
  /** How many records were deleted so far, or would have been. */
  readonly pruned: number;
  /** The part of the records that was looked at, from 0 to 1. */
  readonly share: number;
}

/** How to prune. */
export interface PruneOptions {
  /** Counts the records that would be deleted, and deletes none. @default false */
  dryRun?: boolean;
  /** Used in place of the instance's own default. Tasks and queues that say something else still have it. */
  retention?: Retention;
  /** Ends it with the signal's reason between two batches. */
  signal?: AbortSignal;
  /** Told after each batch. */
  onProgress?: (progress: PruneProgress) => void;
}

const OPTION_KEYS = ["dryRun", "retention", "signal", "onProgress"];

/**
 * Checks how to prune.
 *
 * @throws {TypeError | RangeError} If an option is unknown or wrong.
 */
export function checkPruneOptions(options: PruneOptions): void {
  refuseUnknownKeys(options, OPTION_KEYS, "prune");
  if (options.retention !== undefined) checkRetention(options.retention, "prune");
}

/** Walks over all records once, and deletes those that were kept for long enough; resolves to how many. */
export async function prune(
  sql: Tag,
  { dryRun = false, retention, signal, onProgress }: PruneOptions,
): Promise<number> {
  const bounds = await readBounds(sql);
  let [pruned, last] = [0, bounds ? bounds.first - 1 : null];
  while (bounds && last !== null) {
    signal?.throwIfAborted();
    const batch: PrunedBatch = await pruneTasks(sql, { after: last, retention: toRetentionSeconds(retention), dryRun });
    pruned += batch.pruned;
    last = batch.last;
    const looked = last === null ? 1 : (last - bounds.first + 1) / (bounds.last - bounds.first + 1);
    onProgress?.({ pruned, share: Math.min(1, looked) });
  }
  return pruned;
}
