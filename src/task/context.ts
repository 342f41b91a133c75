import { type Duration, toSeconds } from "../duration.ts";
import { currentInstance, currentScope, type TaskContext } from "./scope.ts";
import type { Sql } from "../sql.ts";

const RETRY = Symbol.for("firefly.Retry");
const FAIL = Symbol.for("firefly.Fail");

/**
 * Thrown by a handler that wants to be tried again, without this attempt counting against `maxRetries`.
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
  /** The delay before the next attempt; undefined for the task's own. */
  readonly delay?: Duration;
  /** Marks the class for other copies of this package. @ignore */
  readonly [RETRY] = true;

  /**
   * Asks for another attempt.
   *
   * @param options `delay`: the delay before the next attempt (default: the task's `retryDelay`); `cause`: why.
   * @throws {RangeError} If the delay is no duration.
   */
  constructor(options: { delay?: Duration; cause?: unknown } = {}) {
    super("The handler asked for another attempt", "cause" in options ? { cause: options.cause } : undefined);
    if (options.delay === undefined) return;
    toSeconds(options.delay, "delay");
    this.delay = options.delay;
  }
}

/**
 * Thrown by a handler that no retry can help: the task ends `failed` at once.
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
  /** Marks the class for other copies of this package. @ignore */
  readonly [FAIL] = true;
}

/** Whether `error` is a {@linkcode Retry}, of whichever copy of this package. */
export function isRetry(error: unknown): error is Retry {
  return error instanceof Error && RETRY in error;
}

/** Whether `error` is a {@linkcode Fail}, of whichever copy of this package, or marked as one. */
export function isFail(error: unknown): boolean {
  return error instanceof Error && FAIL in error;
}

/** Marks an error as one that no retry can help. */
export function markAsFail<E extends Error>(error: E): E {
  return Object.defineProperty(error, FAIL, { value: true });
}

function ignore(): void {}

const DETACHED: TaskContext = {
  queued: false,
  id: 0,
  attempt: 1,
  lastAttempt: true,
  signal: new AbortController().signal,
  get sql(): Sql {
    return currentScope().transaction?.sql ?? currentInstance().sql;
  },
  log: { debug: ignore, info: ignore, warn: ignore, error: ignore },
  progress: () => Promise.resolve(),
};

/**
 * What the running handler knows of its attempt. It never throws: where the function was called directly, it is a
 * detached context, so that handlers stay plain functions.
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
