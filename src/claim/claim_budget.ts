import { BatchSize, MAX_BATCH, MAX_BUFFER_AGE } from "./batch_size.ts";
import type { HeldTasks } from "./held_tasks.ts";
import type { Settler } from "../settle/settler.ts";
import type { ClaimedTask } from "../store/claim.ts";

/** What the intake of a consumer is decided by. */
export interface ClaimBudgetOptions {
  readonly concurrency: number;
  readonly maxTasks: number;
  readonly claims: HeldTasks;
  readonly settler: Settler;
  /** Whether the consumer may claim at all. */
  readonly isLeased: () => boolean;
}

/** A claim as it was asked for, and what it brought. */
export interface ClaimReport {
  readonly limit: number;
  readonly soughtQuarantined: boolean;
  readonly tasks: readonly ClaimedTask[];
  /** How many rows it took, stale ones included. */
  readonly taken: number;
}

/** Outcomes that may wait to be settled before the consumer claims no more. */
const MAX_UNSETTLED = 2 * MAX_BATCH;

/** Decides how many tasks a consumer claims next, and how many it begins. */
export class ClaimBudget {
  readonly #options: ClaimBudgetOptions;
  readonly #batch: BatchSize;
  /** Whether the last look for a quarantined task found one: there may be more. */
  #moreQuarantined = false;

  constructor(options: ClaimBudgetOptions) {
    this.#options = options;
    this.#batch = new BatchSize(options.concurrency);
  }

  /** How many slots are free. */
  get free(): number {
    return this.#options.concurrency - this.#options.claims.busy;
  }

  /** How many tasks to claim now: free slots, and a stock of as many as are gone in a moment. */
  get wanted(): number {
    const { concurrency, maxTasks, claims: { buffered, begun } } = this.#options;
    if (!this.#mayClaim || buffered > this.#batch.size) return 0;
    const stock = this.#batch.size - concurrency;
    return Math.max(0, Math.min(this.free + stock, maxTasks - begun - buffered));
  }

  /** Whether to claim another quarantined, be it alone. */
  get claimsQuarantined(): boolean {
    return this.#mayClaim && this.#wantsQuarantined;
  }

  /** Whether a claimed task may begin. */
  get mayBegin(): boolean {
    return this.free > (this.#wantsQuarantined ? 1 : 0);
  }

  /** Milliseconds until tasks that wait for a slot, the last of which came free at `since`, should wait elsewhere. */
  bufferTimeLeft(since: number): number | undefined {
    if (this.#options.claims.buffered === 0 || this.free > 0) return undefined;
    return since + MAX_BUFFER_AGE - performance.now();
  }

  /** Holds no stock any more, until tasks are short again. */
  reset(): void {
    this.#batch.reset();
  }

  /** Learns from a claim. */
  note({ limit, soughtQuarantined, tasks, taken }: ClaimReport): void {
    if (soughtQuarantined) this.#moreQuarantined = tasks.some(({ quarantined }) => quarantined);
    if (limit > 0) this.#batch.adapt(taken, limit);
  }

  /**
   * Whether to keep the next free slot for another quarantined, and to claim that alone. A consumer holds one at a time: if
   * each waited for the next batch, they would be done long after the tasks behind them.
   */
  get #wantsQuarantined(): boolean {
    const { maxTasks, claims } = this.#options;
    // Who holds a quarantined task is looked for among all that is held: not at every beginning.
    return this.#moreQuarantined && claims.begun + claims.buffered < maxTasks && !claims.hasQuarantined;
  }

  get #mayClaim(): boolean {
    const { settler, isLeased } = this.#options;
    return isLeased() && settler.unsettled <= MAX_UNSETTLED && this.free > 0;
  }
}
