import type { ServedQueues } from "../claim/served_queues.ts";

/** What a {@linkcode QueueWatch} works with. */
export interface QueueWatchOptions {
  readonly queues: Pick<ServedQueues, "refresh">;
  /** Milliseconds between two looks. */
  readonly interval: number;
  /** Called when a look failed; the next one follows as planned. */
  onError(error: unknown): void;
  /** Called after a look that did not fail. */
  onSuccess(): void;
}

/** Looks for queues that a consumer of all queues does not serve yet: on demand, and at every poll. */
export class QueueWatch {
  readonly #options: QueueWatchOptions;
  #timer: ReturnType<typeof setInterval> | undefined;
  #looking: Promise<void> | undefined;
  #again = false;

  constructor(options: QueueWatchOptions) {
    this.#options = options;
  }

  /** Starts its timer. */
  start(): void {
    this.#timer = setInterval(() => this.#looking || this.look(), this.#options.interval);
  }

  /** Looks now, and once more if a look is in progress: that one may have missed the new queue. */
  look(): void {
    this.#again = this.#looking !== undefined;
    const { queues, onError, onSuccess } = this.#options;
    this.#looking ??= queues.refresh().then(onSuccess, onError).finally(() => {
      this.#looking = undefined;
      if (this.#again) this.look();
    });
  }

  /** Stops, and waits for the look in progress. */
  async end(): Promise<void> {
    clearInterval(this.#timer);
    while (this.#looking) await this.#looking;
  }
}
