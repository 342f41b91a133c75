import { toRetrySeconds } from "../duration.ts";
import { LONGEST_DELAY } from "../settle/retry_decision.ts";
import { DEFAULT_RETRY_DELAY, secondsUntilRetry } from "../task/backoff.ts";
import { isFail, isRetry } from "../task/context.ts";
import type { StepOptions } from "../task/step_options.ts";
import type { StepsHost } from "./host.ts";

/** When a step is tried again. */
export interface StepRetry {
  /** In so many seconds. */
  readonly delay: number;
  /** How often it has failed by then. */
  readonly failures: number;
  /** What is stored in place of what it threw; undefined for that itself. */
  readonly error?: Error;
}

/**
 * Decides whether a step that threw is tried again: while it has retries of its own, and after a `Retry`, which counts as
 * none. Undefined if not, as for a step without retries: its failures go to the handler.
 */
export function delayOfRetry(
  thrown: unknown,
  { options, failures, host }: {
    readonly options: Pick<StepOptions, "maxRetries" | "retryDelay">;
    readonly failures: number;
    readonly host: Pick<StepsHost, "task" | "definition" | "env">;
  },
): StepRetry | undefined {
  const { maxRetries = 0 } = options;
  if (maxRetries === 0) return undefined;
  const isAsked = isRetry(thrown);
  if (!isAsked && (isFail(thrown) || failures >= maxRetries)) return undefined;
  const { task, definition, env: { config: { defaults } } } = host;
  const retryDelay = options.retryDelay ?? task.backoff ?? task.retryDelay ?? definition.retryDelay ??
    defaults.retryDelay ?? DEFAULT_RETRY_DELAY;
  const failed = isAsked ? failures : failures + 1;
  try {
    const delay = isAsked && thrown.delay !== undefined
      ? toRetrySeconds(thrown.delay, "delay")
      : secondsUntilRetry(retryDelay, failures + 1, thrown);
    return { delay: Math.min(delay, LONGEST_DELAY), failures: failed };
  } catch (cause) {
    // A retryDelay function that throws must not keep the attempt from ending.
    return {
      delay: DEFAULT_RETRY_DELAY,
      failures: failed,
      error: new Error("Cannot tell when to try again", { cause }),
    };
  }
}
