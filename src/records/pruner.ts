import type { Tag } from "../database/driver.ts";
import { mayConcernOneRecord } from "../database/error_codes.ts";
import { FireflyError } from "../errors.ts";
import { type KeptRecord, type PrunedBatch, pruneEach, type PruneRequest, pruneTasks } from "../store/prune.ts";

/** How many milliseconds records are deleted one by one after one of them could not be deleted. */
const ONE_BY_ONE = 3_600_000;

/**
 * Prunes batches of records. Where a batch cannot be deleted, as a foreign key or a trigger of the user's refuses one of
 * its records, it deletes them one by one, and leaves that one.
 */
export class Pruner {
  readonly #sql: Tag;
  #oneByOneUntil = -Infinity;
  #problem: FireflyError | undefined;

  constructor(sql: Tag) {
    this.#sql = sql;
  }

  /** Says which record could not be deleted, and why; undefined if none was for an hour. */
  get problem(): FireflyError | undefined {
    if (performance.now() > this.#oneByOneUntil) this.#problem = undefined;
    return this.#problem;
  }

  /** Prunes one batch. */
  async prune(request: PruneRequest): Promise<PrunedBatch> {
    if (performance.now() > this.#oneByOneUntil) {
      try {
        return await pruneTasks(this.#sql, request);
      } catch (error) {
        if (!mayConcernOneRecord(error)) throw error;
      }
    }
    const { kept, ...batch } = await pruneEach(this.#sql, request);
    if (kept.length > 0) {
      this.#oneByOneUntil = performance.now() + ONE_BY_ONE;
      this.#problem = keptError(kept);
    }
    return batch;
  }
}

function keptError(kept: KeptRecord[]): FireflyError {
  const [{ id, code, message }] = kept as [KeptRecord];
  const others = kept.length > 1 ? ` and ${kept.length - 1} more` : "";
  return new FireflyError(`Cannot prune task ${id}${others}, all others are pruned: ${message}`, {
    cause: Object.assign(new Error(message), { code }),
  });
}
