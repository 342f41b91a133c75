/** An attempt, as events tell of it. */
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

/** What happens, by name. Listeners run at once and one after another; what one throws, or rejects with, is dropped. */
export interface Events {
  /**
   * This instance scheduled a task, or kept its duplicate instead (`inserted` is false then). Inside of a transaction it is
   * told when the row is inserted, before COMMIT decides about it. Nobody is told of what SQL schedules.
   */
  scheduled: { readonly id: number; readonly funcName: string; readonly queue: string; readonly inserted: boolean };
  /** An attempt begins: its handler is about to be called. */
  started: AttemptInfo;
  /** A task ended well, `seconds` after its start. */
  completed: AttemptInfo & { readonly seconds: number };
  /** A task failed for good. */
  failed: AttemptInfo & { readonly error: unknown };
  /** An attempt failed, and another follows in `delay` seconds. */
  retried: AttemptInfo & { readonly error: unknown; readonly delay: number };
  /** An attempt was given up uncounted: shutdown, a lost connection, or a task that never began. */
  returned: AttemptInfo & { readonly reason: unknown };
  /** The task of a running attempt was cancelled; the attempt is over, even if its handler goes on. */
  cancelled: AttemptInfo & { readonly reason: unknown };
  /** An attempt no longer held its task when it ended: it was rescued, deleted, or ended by somebody else. */
  lost: AttemptInfo & { readonly reason: unknown };
  /** A task of a dead consumer was put back, or `failed` because three in a row died of it. */
  rescued: { readonly id: number; readonly funcName: string; readonly queue: string; readonly failed: boolean };
  /** A handler logs; what the option `redact` hides is hidden already. */
  log: AttemptInfo & {
    readonly level: "debug" | "info" | "warn" | "error";
    readonly message: string;
    readonly fields: object;
  };
  /** A hook of this instance threw, or rejected; nothing else comes of that. */
  "hook.error": { readonly hook: "onFailed"; readonly id: number; readonly funcName: string; readonly error: unknown };
  /** A consumer is registered and listens. */
  "consumer.started": { readonly consumerId: string; readonly queues: readonly string[]; readonly concurrency: number };
  /** A consumer claims no more, and waits for `running` attempts. */
  "consumer.stopping": { readonly consumerId: string; readonly running: number };
  /** A consumer is gone. */
  "consumer.stopped": { readonly consumerId: string; readonly completed: number; readonly failed: number };
  /** A consumer could not do something, and tries again; told once until it succeeds. */
  "consumer.error": { readonly consumerId: string; readonly action: string; readonly error: unknown };
  /** A consumer can again do what it could not. */
  "consumer.recovered": { readonly consumerId: string; readonly action: string };
  /** A consumer could not renew its lease in time: it aborted its attempts, which others may run now. */
  "consumer.expired": { readonly consumerId: string };
  /**
   * The event loop has not run for more than a third of the consumer's lease; told once it runs again. With `cpuSeconds`
   * near `seconds`, a handler computed; near 0, one waited synchronously, or the whole process stood still. `id` and
   * `funcName` are those of the task that began last, if any did.
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
  /** Notifications do not arrive; polling goes on. Told once an outage. */
  "listener.lost": { readonly error: unknown };
  /**
   * Notifications cannot arrive here, as through a transaction pooler, though LISTEN says that all is well: polling goes
   * on, and `listenDatabase` should be a direct URL. Told once.
   */
  "listener.unavailable": { readonly error: unknown };
}

/** Tells listeners what happens. */
export class Emitter {
  readonly #listeners = new Map<string, Set<(detail: never) => void>>();

  /** Adds a listener; what it returns takes it away again. */
  on<E extends keyof Events>(event: E, listener: (detail: Events[E]) => void): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** Whether anybody listens: if not, what would be told need not be made. */
  has(event: keyof Events): boolean {
    return (this.#listeners.get(event)?.size ?? 0) > 0;
  }

  /** Tells the listeners of `event`. A listener that throws must not break the loop that it listens to. */
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
