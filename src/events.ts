/** An attempt, as events describe it. */
export interface AttemptInfo {
  /** The id of the task. */
  readonly id: number;
  /** The name of the task. */
  readonly funcName: string;
  /** The queue of the task. */
  readonly queue: string;
  /** The number of the attempt, from 1. */
  readonly attempt: number;
}

/** The events by name. Listeners run synchronously, one after another; errors that one throws, or rejects with, are dropped. */
export interface Events {
  /**
   * This instance scheduled a task, or kept its duplicate (then `inserted` is false). Emitted when the row is inserted,
   * before COMMIT in a transaction. Tasks that SQL schedules emit nothing.
   */
  scheduled: { readonly id: number; readonly funcName: string; readonly queue: string; readonly inserted: boolean };
  /** An attempt starts: its handler is about to be called. */
  started: AttemptInfo;
  /** A task completed, `seconds` after its start. */
  completed: AttemptInfo & { readonly seconds: number };
  /** A task failed for good. */
  failed: AttemptInfo & { readonly error: unknown };
  /** An attempt failed, and the next follows in `delay` seconds. */
  retried: AttemptInfo & { readonly error: unknown; readonly delay: number };
  /** An attempt was abandoned without being counted, as at a shutdown; its task goes back to its queue. */
  returned: AttemptInfo & { readonly reason: unknown };
  /** The task of a running attempt was cancelled; the attempt is over, even if its handler still runs. */
  cancelled: AttemptInfo & { readonly reason: unknown };
  /** An attempt no longer held its task when it ended: the task was rescued, deleted, or ended by another attempt. */
  lost: AttemptInfo & { readonly reason: unknown };
  /** A task of a crashed consumer was requeued, or is `failed` because it crashed three consumers in a row. */
  rescued: { readonly id: number; readonly funcName: string; readonly queue: string; readonly failed: boolean };
  /** A handler logged a message; the option `redact` has been applied. */
  log: AttemptInfo & {
    readonly level: "debug" | "info" | "warn" | "error";
    readonly message: string;
    readonly fields: object;
  };
  /** A hook of this instance threw or rejected. It has no other effect. */
  "hook.error": { readonly hook: "onFailed"; readonly id: number; readonly funcName: string; readonly error: unknown };
  /** A consumer is registered, and claims tasks. */
  "consumer.started": { readonly consumerId: string; readonly queues: readonly string[]; readonly concurrency: number };
  /** A consumer stops claiming, and waits for `running` attempts. */
  "consumer.stopping": { readonly consumerId: string; readonly running: number };
  /** A consumer has stopped. */
  "consumer.stopped": { readonly consumerId: string; readonly completed: number; readonly failed: number };
  /** A recurring action failed and will be retried. Emitted once per outage. */
  "consumer.error": { readonly consumerId: string; readonly action: string; readonly error: unknown };
  /** The action succeeded again. */
  "consumer.recovered": { readonly consumerId: string; readonly action: string };
  /** A consumer could not renew its lease in time: it aborted its attempts, whose tasks other consumers may run now. */
  "consumer.expired": { readonly consumerId: string };
  /**
   * The event loop was blocked for more than a third of the consumer's lease; emitted once it runs again. With `cpuSeconds`
   * near `seconds`, a handler computed; near 0, one waited synchronously, or the whole process stood still. `id` and
   * `funcName` are those of the task that started last, if any did.
   */
  "consumer.blocked": {
    readonly consumerId: string;
    readonly seconds: number;
    readonly cpuSeconds: number;
    readonly id: number | undefined;
    readonly funcName: string | undefined;
  };
  /** Notifications arrive. */
  "listener.connected": { readonly channels: readonly string[] };
  /** Notifications do not arrive; consumers poll. Emitted once per outage. */
  "listener.lost": { readonly error: unknown };
  /**
   * Notifications cannot arrive, as behind a transaction pooler, although LISTEN succeeds: consumers poll, and
   * `listenDatabase` should be a direct URL. Emitted once per outage.
   */
  "listener.unavailable": { readonly error: unknown };
}

/** Calls listeners when something happens. */
export class Emitter {
  readonly #listeners = new Map<string, Set<(detail: never) => void>>();

  /** Calls `listener` on every `event`. Returns a function that unsubscribes. */
  on<E extends keyof Events>(event: E, listener: (detail: Events[E]) => void): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** Whether the event has listeners: if not, its detail need not be made. */
  has(event: keyof Events): boolean {
    return (this.#listeners.get(event)?.size ?? 0) > 0;
  }

  /** Calls the listeners of `event`. A listener that throws must not break the loop that it listens to. */
  emit<E extends keyof Events>(event: E, detail: Events[E]): void {
    const listeners = this.#listeners.get(event);
    if (!listeners) return;
    for (const listener of listeners) {
      try {
        const returned: unknown = (listener as (detail: Events[E]) => unknown)(detail);
        if (returned instanceof Promise) returned.catch(() => {});
      } catch {
        continue;
      }
    }
  }
}
