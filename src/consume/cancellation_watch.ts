import type { HeldTasks } from "../claim/held_tasks.ts";

/** How often it is looked for cancelled tasks while notifications do not arrive, in milliseconds. */
const EVERY = 500;

/** What a watch for cancelled tasks needs of its consumer. */
export interface CancellationWatchOptions {
  readonly claims: HeldTasks;
  readonly listener: { readonly connected: boolean };
  /** Milliseconds between two looks while notifications arrive. */
  readonly pollInterval: number;
  /** Called when a look failed; the next one comes all the same. */
  onError(error: unknown): void;
  /** Called after a look that did not fail. */
  onSuccess(): void;
}

/**
 * Looks for cancelled tasks among those that its consumer holds: at once when it is told to, at every poll, and twice a
 * second while the listener is down, so that a cancellation takes a second at most without a notification as well.
 */
export class CancellationWatch {
  readonly #options: CancellationWatchOptions;
  #timer: ReturnType<typeof setInterval> | undefined;
  #lookedAt = performance.now();
  #looking: Promise<void> | undefined;
  #again = false;

  constructor(options: CancellationWatchOptions) {
    this.#options = options;
  }

  /** Begins to look by its timer. */
  start(): void {
    this.#timer = setInterval(() => {
      const { listener, pollInterval } = this.#options;
      const rest = listener.connected ? pollInterval : 0;
      if (performance.now() - this.#lookedAt >= rest && !this.#looking) this.look();
    }, EVERY);
  }

  /** Looks now, and once more if a look is under way: it may have passed what this is about. */
  look(): void {
    this.#again = this.#looking !== undefined;
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
      if (this.#again) this.look();
    });
  }

  /** Stops, and waits for the look under way. */
  async end(): Promise<void> {
    clearInterval(this.#timer);
    while (this.#looking) await this.#looking;
  }

  async #look(): Promise<void> {
    const { claims, onError, onSuccess } = this.#options;
    this.#lookedAt = performance.now();
    try {
      await claims.discardLost();
      onSuccess();
    } catch (error) {
      onError(error);
    }
  }
}
