/** The most tasks that one claim takes. */
export const MAX_BATCH = 1000;
/** A batch that is used up sooner than this, in milliseconds, was too small. */
const SHORT = 50;
/** A batch that lasts longer than this, in milliseconds, was too large: its last tasks could have run elsewhere. */
const LONG = 250;

/** Milliseconds after which a claimed task without a slot goes back, so that another consumer can run it. */
export const MAX_BUFFER_AGE = LONG;

/** How many tasks to hold: few for low latency while handlers are long, many for throughput while they are short. */
export class BatchSize {
  #concurrency: number;
  readonly #now: () => number;
  #claimedAt = 0;
  /** The tasks to hold: those used up in a moment, and never fewer than may run at a time. */
  size: number;

  /** `now` is a clock in milliseconds. */
  constructor(concurrency: number, now: () => number = () => performance.now()) {
    this.#concurrency = concurrency;
    this.#now = now;
    this.size = concurrency;
  }

  /** Learns from a claim that brought `claimed` of `limit` tasks. */
  adapt(claimed: number, limit: number): void {
    const now = this.#now();
    const took = now - this.#claimedAt;
    this.#claimedAt = now;
    if (claimed === limit && took < SHORT) this.size = Math.min(this.size * 2, Math.max(MAX_BATCH, this.#concurrency));
    else if (took > LONG) this.size = Math.max(Math.floor(this.size / 2), this.#concurrency);
  }

  /** Goes back to as many as may run at a time: `concurrency`. */
  reset(concurrency: number = this.#concurrency): void {
    this.size = this.#concurrency = concurrency;
  }
}
