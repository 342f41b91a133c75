import type { Emitter } from "./events.ts";

/** What tells of a failure, and of the first success after it. */
export interface OutageHooks {
  /** It failed; it will be tried again. */
  onError(error: unknown): void;
  /** It did not fail. */
  onSuccess(): void;
}

/** What a consumer cannot do for now: told of once, until it succeeds again. */
export class Outages {
  readonly #events: Emitter;
  readonly #consumerId: () => string;
  readonly #failing = new Set<string>();

  constructor(events: Emitter, consumerId: () => string) {
    this.#events = events;
    this.#consumerId = consumerId;
  }

  /** Tells that `action` failed. */
  report(action: string, error: unknown): void {
    if (this.#failing.has(action)) return;
    this.#failing.add(action);
    this.#events.emit("consumer.error", { consumerId: this.#consumerId(), action, error });
  }

  /** Tells that `action` succeeded, if it had failed before. */
  recovered(action: string): void {
    if (this.#failing.delete(action)) {
      this.#events.emit("consumer.recovered", { consumerId: this.#consumerId(), action });
    }
  }

  /** Both for one action, as its own timer wants them. */
  of(action: string): OutageHooks {
    return {
      onError: (error) => this.report(action, error),
      onSuccess: () => this.recovered(action),
    };
  }
}
