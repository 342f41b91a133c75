import type { Emitter } from "./events.ts";

/** Callbacks for an action that is repeated. */
export interface OutageHooks {
  /** Called when it failed; it is retried. */
  onError(error: unknown): void;
  /** Called when it succeeded. */
  onSuccess(): void;
}

/** Emits one `consumer.error` when an action of a consumer starts to fail, and one `consumer.recovered` when it succeeds again. */
export class Outages {
  readonly #events: Emitter;
  readonly #consumerId: () => string;
  readonly #failing = new Set<string>();
  /** How often each action failed. */
  readonly counts = new Map<string, number>();

  constructor(events: Emitter, consumerId: () => string) {
    this.#events = events;
    this.#consumerId = consumerId;
  }

  /** Reports that `action` failed. */
  report(action: string, error: unknown): void {
    this.counts.set(action, (this.counts.get(action) ?? 0) + 1);
    if (this.#failing.has(action)) return;
    this.#failing.add(action);
    this.#events.emit("consumer.error", { consumerId: this.#consumerId(), action, error });
  }

  /** Reports that `action` succeeded, if it had failed before. */
  recovered(action: string): void {
    if (this.#failing.delete(action)) {
      this.#events.emit("consumer.recovered", { consumerId: this.#consumerId(), action });
    }
  }

  /** Both as callbacks for one action. */
  of(action: string): OutageHooks {
    return {
      onError: (error) => this.report(action, error),
      onSuccess: () => this.recovered(action),
    };
  }
}
