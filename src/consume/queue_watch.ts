import type { ServedQueues } from "../claim/served_queues.ts";
import { Look } from "./look.ts";

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
  readonly #looks: Look;

  constructor(options: QueueWatchOptions) {
    this.#options = options;
    const { queues, onError, onSuccess } = options;
    this.#looks = new Look(() => queues.refresh().then(onSuccess, onError));
  }

  /** Starts its timer. */
  start(): void {
    this.#timer = setInterval(() => this.#looks.isInProgress || this.look(), this.#options.interval);
  }

  /** Looks now, and once more if a look is in progress: that one may have missed the new queue. */
  look(): void {
    this.#looks.demand();
  }

  /** Stops, and waits for the look in progress. */
  async end(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looks.idle();
  }
}
