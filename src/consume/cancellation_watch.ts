import type { ConsumerConfig } from "../attempt/consumer_config.ts";
import type { HeldTasks } from "../claim/held_tasks.ts";
import { Look } from "./look.ts";

/** Milliseconds between two looks while no notifications arrive. */
const INTERVAL = 500;

/** What a {@linkcode CancellationWatch} works with. */
export interface CancellationWatchOptions {
  readonly held: Pick<HeldTasks, "discardLost">;
  readonly listener: { readonly connected: boolean };
  /** Its poll interval is the pause between two looks while notifications arrive. */
  readonly config: Pick<ConsumerConfig, "pollIntervalMs">;
  /** Called when a look failed; the next one follows as planned. */
  onError(error: unknown): void;
  /** Called after a look that did not fail. */
  onSuccess(): void;
}

/**
 * Looks for cancelled tasks among those that its consumer holds: on demand, at every poll, and twice a second while the
 * listener is down, so that a cancellation takes effect within a second even without a notification.
 */
export class CancellationWatch {
  readonly #options: CancellationWatchOptions;
  #timer: ReturnType<typeof setInterval> | undefined;
  #lookedAt = performance.now();
  readonly #looks = new Look(() => this.#look());

  constructor(options: CancellationWatchOptions) {
    this.#options = options;
  }

  /** Starts its timer. */
  start(): void {
    this.#timer = setInterval(() => {
      const { listener, config } = this.#options;
      const rest = listener.connected ? config.pollIntervalMs : 0;
      if (performance.now() - this.#lookedAt >= rest && !this.#looks.isInProgress) this.look();
    }, INTERVAL);
  }

  /** Looks now, and once more if a look is in progress: that one may have missed the cancellation. */
  look(): void {
    this.#looks.demand();
  }

  /** Stops, and waits for the look in progress. */
  async end(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looks.idle();
  }

  async #look(): Promise<void> {
    const { held, onError, onSuccess } = this.#options;
    this.#lookedAt = performance.now();
    try {
      await held.discardLost();
      onSuccess();
    } catch (error) {
      onError(error);
    }
  }
}
