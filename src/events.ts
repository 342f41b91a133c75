/** The attempt that an event reports. */
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

/** The step that an event reports, and the attempt that ran it. */
export interface StepEventInfo extends AttemptInfo {
  /** The name of the step. */
  readonly step: string;
  /** Its key, or the number of the call from the second on; empty for neither. */
  readonly key: string;
  /** What it is: `step`, or `compensation` for a function that undoes one. */
  readonly kind: "step" | "compensation";
  /** How long its function ran. */
  readonly seconds: number;
}

/** The consumer that ran an attempt. */
export interface AttemptedBy {
  /** Its machine. */
  readonly host: string;
  /** Its process id. */
  readonly pid: number;
  /** Its release: the option `release` of the consumer; null if it had none. */
  readonly release: string | null;
}

/**
 * The events of an instance, by name, each with its detail. Listeners run synchronously, one after another; errors that
 * they throw, or reject with, are ignored.
 */
export interface Events {
  /**
   * This instance scheduled a task, or kept a duplicate instead (`inserted` is false). In a transaction it is emitted
   * when the row is inserted, which may still be rolled back. Tasks scheduled by SQL emit no event.
   */
  scheduled: { readonly id: number; readonly funcName: string; readonly queue: string; readonly inserted: boolean };
  /** An attempt starts: its handler is about to be called. */
  started: AttemptInfo;
  /** A task completed, `seconds` after the attempt started. */
  completed: AttemptInfo & { readonly seconds: number };
  /** A task failed, and no retry follows. */
  failed: AttemptInfo & { readonly error: unknown };
  /** An attempt failed, and a retry follows in `delay` seconds. */
  retried: AttemptInfo & { readonly error: unknown; readonly delay: number };
  /**
   * An attempt ended as its handler waits: until a time (null if none ends it), for signals, or for tasks that it
   * called. The attempt goes on later, under the same number.
   */
  suspended: AttemptInfo & {
    readonly until: Date | null;
    readonly signals: readonly string[];
    readonly tasks: readonly number[];
  };
  /** An attempt was given up and is not counted: shutdown, a lost connection, or a task that never started. */
  returned: AttemptInfo & { readonly reason: unknown };
  /** The task of a running attempt was cancelled. The attempt is over, even if its handler still runs. */
  cancelled: AttemptInfo & { readonly reason: unknown };
  /** An attempt no longer held its task when it ended: the task was rescued, deleted, or ended by other means. */
  lost: AttemptInfo & { readonly reason: unknown };
  /** A step ran and is stored. Steps whose stored results are given back emit nothing. */
  "step.completed": StepEventInfo;
  /** The function of a step failed. The handler gets the error, unless it has ended by then. */
  "step.failed": StepEventInfo & { readonly error: unknown };
  /** The function of a step failed, and runs again in `delay` seconds, as its own `maxRetries` says. */
  "step.retried": StepEventInfo & { readonly error: unknown; readonly delay: number };
  /**
   * `tasks` that waited for others may run now, or wait for their time or their limits alone; `cancelled` more cannot run,
   * as a dependency did not complete. Emitted for each statement that released any.
   */
  released: { readonly consumerId: string; readonly tasks: number; readonly cancelled: number };
  /**
   * A task of a crashed consumer was requeued, or `failed` because five consumers in a row crashed with it.
   * `attemptedBy` is the consumer that crashed.
   */
  rescued: {
    readonly id: number;
    readonly funcName: string;
    readonly queue: string;
    readonly failed: boolean;
    readonly attemptedBy: AttemptedBy | null;
  };
  /**
   * `count` tasks were parked, as no live consumer of their queue knows their name: they wait for one that does. Each
   * consumer reports a name and queue once, not those that follow.
   */
  parked: { readonly funcName: string; readonly queue: string; readonly count: number };
  /** A handler logged a message. The option `redact` has been applied. */
  log: AttemptInfo & {
    readonly level: "debug" | "info" | "warn" | "error";
    readonly message: string;
    readonly fields: object;
    /** The name of the step that logged it; null outside of steps. */
    readonly step: string | null;
    /** The id of the trace that the attempt is part of; null if nothing is traced. */
    readonly traceId: string | null;
  };
  /** A hook of this instance threw or rejected. This has no other effect. */
  "hook.error": { readonly hook: "onFailed"; readonly id: number; readonly funcName: string; readonly error: unknown };
  /** A consumer registered itself and started. */
  "consumer.started": {
    readonly consumerId: string;
    /** Its option `name`; null if it has none. */
    readonly name: string | null;
    /** The queues that it serves; those that it has found so far, if it serves all. */
    readonly queues: readonly string[];
    /** Whether it serves all queues, also those that appear later. */
    readonly allQueues: boolean;
    readonly concurrency: number;
    /** Where the database is, such as `localhost:5432/app`, without user and password. */
    readonly database: string;
    /** The schema of Firefly's tables. */
    readonly schema: string;
    /** The names of the tasks that it runs, aliases left out. */
    readonly tasks: readonly string[];
    /** The names of the tasks that it schedules by cron. */
    readonly crons: readonly string[];
    /** The version of this package. */
    readonly version: string;
    /** The release of the application; null if it has none. */
    readonly release: string | null;
  };
  /**
   * Tasks that this process defines go to queues that neither this consumer nor another live one serves. Emitted once
   * after a start with explicit `queues`.
   */
  "consumer.unserved": {
    readonly consumerId: string;
    /** The queues, each with the names of the tasks that go there. */
    readonly queues: readonly { readonly queue: string; readonly tasks: readonly string[] }[];
  };
  /** A consumer runs up to `concurrency` tasks at a time from now on, not `before` any more: an operator asked for it. */
  "consumer.scaled": { readonly consumerId: string; readonly concurrency: number; readonly before: number };
  /** A consumer stopped claiming, and waits for `running` attempts. */
  "consumer.stopping": { readonly consumerId: string; readonly running: number };
  /** A consumer stopped, after it `completed` and `failed` so many tasks. */
  "consumer.stopped": { readonly consumerId: string; readonly completed: number; readonly failed: number };
  /** A recurring action failed and will be retried. Emitted once per outage. */
  "consumer.error": { readonly consumerId: string; readonly action: string; readonly error: unknown };
  /** The action succeeded again. */
  "consumer.recovered": { readonly consumerId: string; readonly action: string };
  /** A consumer could not renew its lease in time. It aborted its attempts, whose tasks other consumers may run now. */
  "consumer.expired": { readonly consumerId: string };
  /**
   * The event loop was blocked for more than a third of the consumer's lease. Emitted when it runs again. If
   * `cpuSeconds` is near `seconds`, a handler computed; if it is near 0, a handler waited synchronously, or the whole
   * process was suspended. `id` and `funcName` are those of the task that started last, if any did.
   */
  "consumer.blocked": {
    readonly consumerId: string;
    readonly seconds: number;
    readonly cpuSeconds: number;
    readonly id: number | undefined;
    readonly funcName: string | undefined;
  };
  /** A page of the dashboard, or a part of one, failed. `path` is that of the page, below the dashboard's own. */
  "dashboard.error": { readonly path: string; readonly error: unknown };
  /** Notifications arrive on these channels. */
  "listener.connected": { readonly channels: readonly string[] };
  /** The connection for notifications was lost; polling continues. Emitted once per outage. */
  "listener.lost": { readonly error: unknown };
  /**
   * Notifications do not arrive although LISTEN succeeds, as through a transaction pooler. Polling continues; set
   * `listenDatabase` to a direct URL. Emitted once.
   */
  "listener.unavailable": { readonly error: unknown };
}

/** Calls the listeners of events. */
export class Emitter {
  readonly #listeners = new Map<string, Set<(detail: never) => void>>();

  /** Adds a listener. Returns a function that removes it. */
  on<E extends keyof Events>(event: E, listener: (detail: Events[E]) => void): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** Whether an event has listeners. If not, its detail need not be made. */
  has(event: keyof Events): boolean {
    return (this.#listeners.get(event)?.size ?? 0) > 0;
  }

  /** Calls the listeners of `event`. One that throws must not break the loop that emits the event. */
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
