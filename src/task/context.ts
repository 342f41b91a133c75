import { type Duration, toRetrySeconds } from "../duration.ts";
import { currentInstance, currentScope, type TaskContext } from "./scope.ts";
import type { Sql } from "../sql.ts";
import { DETACHED_STEP } from "./detached_step.ts";
import { isError, readProperty } from "../thrown.ts";

const RETRY = Symbol.for("firefly.Retry");
const FAIL = Symbol.for("firefly.Fail");

/**
 * Throw this from a handler to run the task again later. The attempt does not count against `maxRetries`.
 *
 * @example
 * ```ts
 * import { Retry } from "@firefly/tasks";
 * import { assertEquals } from "@std/assert";
 *
 * const retry = new Retry({ delay: "5m" });
 * assertEquals(retry.delay, "5m");
 * ```
 */
export class Retry extends Error {
  /** The name of the class. */
  override name = "Retry";
  /** The delay before the next attempt; the task's `retryDelay` if undefined. */
  readonly delay?: Duration;
  /** Identifies the class to other copies of this package. @ignore */
  readonly [RETRY] = true;

  /**
   * Creates an error that requests another attempt.
   *
   * @param options `delay`: the delay before the next attempt (default: the task's `retryDelay`); `cause`: the reason.
   * @throws {RangeError} If the delay is not a valid duration.
   */
  constructor(options: { delay?: Duration; cause?: unknown } = {}) {
    super("The handler asked for another attempt", "cause" in options ? { cause: options.cause } : undefined);
    if (options.delay === undefined) return;
    toRetrySeconds(options.delay, "delay");
    this.delay = options.delay;
  }
}

/**
 * Throw this from a handler when a retry cannot help: the task fails immediately, whatever its `maxRetries`.
 *
 * @example
 * ```ts
 * import { Fail } from "@firefly/tasks";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(new Fail("the page is gone").message, "the page is gone");
 * ```
 */
export class Fail extends Error {
  /** The name of the class. */
  override name = "Fail";
  /** Identifies the class to other copies of this package. @ignore */
  readonly [FAIL] = true;
}

/** Whether `error` is a {@linkcode Retry}, of any copy of this package. */
export function isRetry(error: unknown): error is Retry {
  return isError(error) && readProperty(error, RETRY) !== undefined;
}

/** Whether `error` is a {@linkcode Fail}, of any copy of this package, or was marked as one. */
export function isFail(error: unknown): boolean {
  return isError(error) && readProperty(error, FAIL) !== undefined;
}

/** Marks an error as one after which no retry follows. */
export function markAsFail<E extends Error>(error: E): E {
  return Object.defineProperty(error, FAIL, { value: true });
}

function ignore(): void {}

/** What `current()` returns where no attempt runs. */
const DETACHED: TaskContext = {
  queued: false,
  id: 0,
  attempt: 1,
  lastAttempt: true,
  signal: new AbortController().signal,
  get sql(): Sql {
    return currentScope().transaction?.sql ?? currentInstance().sql;
  },
  step: DETACHED_STEP,
  version: Infinity,
  log: { debug: ignore, info: ignore, warn: ignore, error: ignore },
  progress: () => Promise.resolve(),
};

/**
 * Returns the context of the running attempt: its id, signal, transaction, log and progress. It never throws: if the
 * handler was called directly, as a plain function, it returns a context with `queued: false`.
 *
 * @example
 * ```ts
 * import { current } from "@firefly/tasks";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(current().queued, false);
 * ```
 */
export function current(): TaskContext {
  return currentScope().attempt ?? DETACHED;
}
