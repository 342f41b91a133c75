import { type Duration, toRetrySeconds } from "../duration.ts";
import { toError } from "../thrown.ts";

/** A delay before a retry that may grow with the number of attempts. */
export interface Backoff {
  /** How the delay grows. `fixed`: it stays; `linear`: `delay` times the attempt; `exponential`: it doubles each time. */
  kind: "fixed" | "linear" | "exponential";
  /** The delay after the first attempt, in seconds or as text with a unit. */
  delay: Duration;
  /** The longest delay, in seconds or as text with a unit. @default "1d" */
  max?: Duration;
  /**
   * Whether to pick the delay at random between zero and the computed one, so that tasks that failed together are not
   * retried together ("full jitter": https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
   *
   * @default true for `exponential`, else false
   */
  jitter?: boolean;
}

/** The values that `retryDelay` accepts. A function gets the number of the failed attempt (from 1) and its error. */
export type RetryDelay = Duration | Backoff | ((attempt: number, error: Error) => Duration);

/** A `retryDelay` as a record shows it: seconds, a backoff, or that code of the definition computes it. */
export type RecordedDelay = number | Backoff | { readonly kind: "function" };

/** Converts a `retryDelay` to data: a function shows by its kind only. */
export function toRecordedDelay(retryDelay: RetryDelay): RecordedDelay {
  if (typeof retryDelay === "function") return { kind: "function" };
  return typeof retryDelay === "object" ? retryDelay : toRetrySeconds(retryDelay, "retryDelay");
}

/** The delay in seconds if neither the record nor the definition sets one. It is that of django-firefly-tasks. */
export const DEFAULT_RETRY_DELAY = 120;

/**
 * Computes the seconds until the next attempt, after attempt number `attempt` (from 1) failed as `thrown`, which only a
 * function gets, as an error, was thrown.
 *
 * @throws {RangeError} If a function did not return a duration.
 */
export function secondsUntilRetry(retryDelay: RetryDelay, attempt: number, thrown: unknown): number {
  if (typeof retryDelay === "function") return toRetrySeconds(retryDelay(attempt, toError(thrown)), "retryDelay");
  if (typeof retryDelay !== "object") return toRetrySeconds(retryDelay, "retryDelay");
  const { kind, max = "1d", jitter = kind === "exponential" } = retryDelay;
  const delay = toRetrySeconds(retryDelay.delay, "retryDelay.delay");
  // From 2 ** 1024 on it would be Infinity, which times a delay of 0 is NaN.
  const factor = kind === "fixed" ? 1 : kind === "linear" ? attempt : 2 ** Math.min(attempt - 1, 1023);
  const capped = Math.min(delay * factor, toRetrySeconds(max, "retryDelay.max"));
  return jitter ? Math.random() * capped : capped;
}

/**
 * Checks what a user gave as `retryDelay`, before it is needed at three in the morning.
 *
 * @throws {TypeError} If the kind of backoff is unknown.
 * @throws {RangeError} If a duration is not valid.
 */
export function checkRetryDelay(retryDelay: RetryDelay): void {
  if (typeof retryDelay === "function") return;
  if (typeof retryDelay !== "object" || retryDelay === null) return void toRetrySeconds(retryDelay, "retryDelay");
  if (!["fixed", "linear", "exponential"].includes(retryDelay.kind)) {
    throw new TypeError(
      `Cannot read "retryDelay" as its kind must be "fixed", "linear" or "exponential": current value is ${
        JSON.stringify(retryDelay.kind)
      }`,
    );
  }
  toRetrySeconds(retryDelay.delay, "retryDelay.delay");
  if (retryDelay.max !== undefined) toRetrySeconds(retryDelay.max, "retryDelay.max");
}
