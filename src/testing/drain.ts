import type { Duration } from "../duration.ts";
import type { Events } from "../events.ts";
import type { Firefly } from "../firefly/firefly.ts";
import { isRetry } from "../task/context.ts";

/** How to drain. */
export interface DrainOptions {
  /**
   * Drains on up to this time: travels from one time at which a task is due or a cron has a slot to the next, and runs
   * what is due then. A duration counts from now, and does not count the time that the drain itself takes: with a task
   * that schedules the next one for an hour later, `"3h"` runs three of these.
   *
   * @default now
   */
  until?: Duration | Date;
  /** The queues to drain. @default all */
  queues?: string | string[];
  /** How many handlers may run at a time. @default 10 */
  concurrency?: number;
  /**
   * Whether to throw the errors of tasks that failed, and of those that still wait for a retry at the end.
   *
   * @default true
   */
  throwOnFailure?: boolean;
}

/** What a drain did. */
export interface DrainCounts {
  /** How many tasks completed. */
  completed: number;
  /** How many tasks failed for good. */
  failed: number;
  /** How many attempts are followed by another. */
  retried: number;
  /** How many tasks were cancelled while they ran. */
  cancelled: number;
}

/** Counts what an instance's consumers do, and keeps the errors of tasks that have not completed since. */
export class DrainLog {
  /** What was counted. */
  readonly counts: DrainCounts = { completed: 0, failed: 0, retried: 0, cancelled: 0 };
  readonly #failures = new Map<number, { funcName: string; error: unknown }>();
  readonly #others: unknown[] = [];
  readonly #unsubscribe: (() => void)[];

  constructor(firefly: Firefly) {
    this.#unsubscribe = [
      firefly.on("completed", ({ id }) => {
        this.counts.completed++;
        this.#failures.delete(id);
      }),
      firefly.on("cancelled", ({ id }) => {
        this.counts.cancelled++;
        this.#failures.delete(id);
      }),
      firefly.on("failed", (failure) => {
        this.counts.failed++;
        this.#failures.set(failure.id, failure);
      }),
      firefly.on("retried", (retried) => this.#onRetried(retried)),
      firefly.on("hook.error", ({ error }) => this.#others.push(error)),
    ];
  }

  /** Counts no more. */
  end(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
  }

  /**
   * Throws what has failed.
   *
   * @throws {AggregateError} If something has. It holds what the handlers threw.
   */
  throwFailures(): void {
    const failures = [...this.#failures];
    if (failures.length + this.#others.length === 0) return;
    const lines = [
      ...failures.map(([id, { funcName, error }]) => `task ${id} "${funcName}": ${textOf(error)}`),
      ...this.#others.map((error) => `onFailed: ${textOf(error)}`),
    ];
    const errors = [...failures.map(([, { error }]) => error), ...this.#others];
    throw new AggregateError(errors, `Tasks failed while they were drained:\n  ${lines.join("\n  ")}`);
  }

  #onRetried({ id, funcName, error }: Events["retried"]): void {
    this.counts.retried++;
    // A handler that asks for another attempt has not failed.
    if (isRetry(error)) this.#failures.delete(id);
    else this.#failures.set(id, { funcName, error });
  }
}

function textOf(error: unknown): string {
  return String(error).split("\n", 1)[0]!;
}
