import { type Duration, toSeconds } from "../duration.ts";

/** How the delay before the next attempt grows. */
export interface Backoff {
  /** `fixed`: always `delay`; `linear`: `delay` times the attempt; `exponential`: `delay` doubled with every attempt. */
  kind: "fixed" | "linear" | "exponential";
  /** The delay after the first attempt. */
  delay: Duration;
  /** No delay is longer than this. @default "1d" */
  max?: Duration;
  /**
   * Whether the delay is drawn at random between zero and the computed one, so that tasks that failed together do
   * not come back together ("full jitter": https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
   *
   * @default true for `exponential`, false otherwise
   */
  jitter?: boolean;
}

/** Everything that `retryDelay` may be. */
export type RetryDelay = Duration | Backoff | ((attempt: number, error: Error) => Duration);

/** The delay of django-firefly-tasks, in seconds, where neither the record nor the definition has one. */
export const DEFAULT_RETRY_DELAY = 120;

/**
 * The seconds until the next attempt, after the failed attempt number `attempt` (from 1).
 *
 * @throws {RangeError} If a function returned no duration.
 */
export function secondsUntilRetry(retryDelay: RetryDelay, attempt: number, error: Error): number {
  if (typeof retryDelay === "function") return toSeconds(retryDelay(attempt, error), "retryDelay");
  if (typeof retryDelay !== "object") return toSeconds(retryDelay, "retryDelay");
  const { kind, max = "1d", jitter = kind === "exponential" } = retryDelay;
  const delay = toSeconds(retryDelay.delay, "retryDelay.delay");
  // Past 2 ** 1023 it would be infinite, and no number at all times a delay of 0.
  const factor = kind === "fixed" ? 1 : kind === "linear" ? attempt : 2 ** Math.min(attempt - 1, 1023);
  const capped = Math.min(delay * factor, toSeconds(max, "retryDelay.max"));
  return jitter ? Math.random() * capped : capped;
}

/**
 * Checks what a user gave as `retryDelay`, before it is needed at three in the morning.
 *
 * @throws {TypeError} If the kind of backoff is unknown.
 * @throws {RangeError} If a duration is no duration.
 */
export function checkRetryDelay(retryDelay: RetryDelay): void {
  if (typeof retryDelay === "function") return;
  if (typeof retryDelay !== "object" || retryDelay === null) return void toSeconds(retryDelay, "retryDelay");
  if (!["fixed", "linear", "exponential"].includes(retryDelay.kind)) {
    throw new TypeError(
      `Cannot read "retryDelay" as its kind must be "fixed", "linear" or "exponential": current value is ${
        JSON.stringify(retryDelay.kind)
      }`,
    );
  }
  toSeconds(retryDelay.delay, "retryDelay.delay");
  if (retryDelay.max !== undefined) toSeconds(retryDelay.max, "retryDelay.max");
}
