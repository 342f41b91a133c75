/** The most tasks that one claim takes. */
export const MAX_BATCH = 1000;
/** A batch that is gone sooner, in milliseconds, was too small. */
const SHORT = 50;
/** A batch that takes longer, in milliseconds, was too large: its last tasks could have run elsewhere. */
const LONG = 250;

/** What was claimed and has no slot after this long, in milliseconds, is better off elsewhere. */
export const MAX_BUFFER_AGE = LONG;

/** How many tasks to hold: latency when handlers are long, throughput when they are short. */
export class BatchSize {
  readonly #concurrency: number;
  #began = 0;
  /** As many as are gone in a moment, and at least as many as may run at a time. */
  size: number;

  constructor(concurrency: number) {
    this.#concurrency = concurrency;
    this.size = concurrency;
  }

  /** Learns from a claim that brought `claimed` of `limit` tasks. */
  adapt(claimed: number, limit: number): void {
    const took = performance.now() - this.#began;
    this.#began = performance.now();
    if (claimed === limit && took < SHORT) this.size = Math.min(this.size * 2, Math.max(MAX_BATCH, this.#concurrency));
    else if (took > LONG) this.size = Math.max(Math.floor(this.size / 2), this.#concurrency);
  }

  /** Goes back to as many as may run at a time. */
  reset(): void {
    this.size = this.#concurrency;
  }
}
