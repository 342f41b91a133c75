import type { AttemptEnvironment } from "../attempt/environment.ts";
import { Look } from "./look.ts";
import { takeConcurrency } from "../store/concurrency.ts";

/** What a {@linkcode ConcurrencyWatch} works with. */
export interface ConcurrencyWatchOptions {
  readonly env: Pick<AttemptEnvironment, "sql" | "slots" | "sessions" | "events">;
  /** The id under which the consumer is registered. */
  consumerId(): string;
  /** Called after a change: there may be room for more tasks. */
  onChange(): void;
  /** Called when a look failed; the next notification or renewal brings another. */
  onError(error: unknown): void;
  /** Called after a look that did not fail. */
  onSuccess(): void;
}

/**
 * Changes how many tasks its consumer runs at a time when an operator asked for it: the consumer's row has the wish, and
 * a notification on the control channel says to look. Fewer than run now end none of them: their slots are not filled again.
 */
export class ConcurrencyWatch {
  readonly #options: ConcurrencyWatchOptions;
  readonly #looks = new Look(() => this.#look());

  constructor(options: ConcurrencyWatchOptions) {
    this.#options = options;
  }

  /** Looks now, and once more if a look is in progress: that one may have missed the wish. */
  look(): void {
    this.#looks.demand();
  }

  /** Waits for the look in progress. */
  async end(): Promise<void> {
    await this.#looks.idle();
  }

  async #look(): Promise<void> {
    const { env, consumerId, onChange, onError, onSuccess } = this.#options;
    try {
      const concurrency = await takeConcurrency(env.sql, consumerId());
      onSuccess();
      if (concurrency === undefined) return;
      const before = env.slots.count;
      env.slots.count = concurrency;
      env.sessions.max += concurrency - before;
      env.events.emit("consumer.scaled", { consumerId: consumerId(), concurrency, before });
      onChange();
    } catch (error) {
      onError(error);
    }
  }
}
