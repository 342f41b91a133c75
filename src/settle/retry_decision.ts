import { DEFAULT_RETRY_DELAY, secondsUntilRetry } from "../task/backoff.ts";
import { isEncrypted } from "../privacy/encryption.ts";
import { DecryptionFailed } from "../errors.ts";
import { isFail, isRetry } from "../task/context.ts";
import type { TaskDefinition } from "../task/definition.ts";
import { toRetrySeconds } from "../duration.ts";
import { describeError } from "./error_record.ts";
import type { TaskOptions } from "../task/options.ts";
import type { Redactor } from "../privacy/redaction.ts";
import type { ClaimedTask } from "../store/claimed_task.ts";
import type { Outcome } from "../store/settle.ts";
import { isInstance } from "../thrown.ts";

/**
 * Seconds until the next try of a task whose attempt the database failed, or whose key is missing here: longer each time, so
 * that tries cannot flood the database.
 */
const SNOOZE = (snoozes: number) => Math.min(2 ** snoozes, 60);
/** The longest time between two attempts, in seconds: a hundred years. The database's calendar has an end. */
export const LONGEST_DELAY = 100 * 365.25 * 86_400;

/** Where the number and the delay of retries come from: the record first, then the definition, then the defaults. */
export interface RetryRules {
  readonly task: ClaimedTask;
  readonly definition: TaskDefinition;
  readonly defaults: Pick<TaskOptions, "maxRetries" | "retryDelay">;
  /** Hides parts of the error that must not be stored. */
  readonly redactor: Redactor;
  /** How long the attempt ran, in seconds. */
  readonly seconds?: number;
}

/** How many retries a task gets after its first attempt. */
export function maxRetriesOf({ task, definition, defaults }: Omit<RetryRules, "redactor" | "seconds">): number {
  return task.maxRetries ?? definition.maxRetries ?? defaults.maxRetries ?? 0;
}

/** Decides what follows an attempt that threw; with `databaseFailed` the database failed, not the handler. */
export function decideRetry(
  thrown: unknown,
  rules: RetryRules,
  databaseFailed: boolean,
): Pick<Outcome, "status" | "error" | "delay" | "counts"> {
  let error = thrown;
  let next: NextAttempt | undefined;
  try {
    next = nextAttempt(thrown, rules, databaseFailed);
  } catch (cause) {
    // A retryDelay function that throws must not keep the attempt from ending. What it throws may be anything, too.
    error = new Error("Cannot tell when to try again", { cause });
    next = { delay: DEFAULT_RETRY_DELAY, counts: isRetry(thrown) ? "snooze" : "retry" };
  }
  const { seconds } = rules;
  const description = { ...describeError(error, rules.redactor), ...(seconds === undefined ? {} : { seconds }) };
  if (!next) return { status: "failed", error: JSON.stringify(description), delay: null, counts: null };
  const delay = Math.min(next.delay, LONGEST_DELAY);
  return { status: "created", error: JSON.stringify({ ...description, delay }), delay, counts: next.counts };
}

/** The next attempt of a task: the seconds until it, and the counter that it uses up. */
interface NextAttempt {
  readonly delay: number;
  readonly counts: "retry" | "snooze";
}

/** The next attempt, or undefined if there is none. */
function nextAttempt(thrown: unknown, rules: RetryRules, databaseFailed: boolean): NextAttempt | undefined {
  const { task } = rules;
  // A consumer without the key of the arguments was deployed wrongly: another one may have the key.
  const lostKey = task.params !== null && isEncrypted(task.params) && isInstance(thrown, DecryptionFailed) &&
    thrown.isKeyMissing;
  if (databaseFailed || lostKey) return { delay: SNOOZE(task.snoozes), counts: "snooze" };
  if (isRetry(thrown)) {
    const { delay } = thrown;
    return {
      delay: delay === undefined ? retryDelay(thrown, rules) : toRetrySeconds(delay, "delay"),
      counts: "snooze",
    };
  }
  if (isFail(thrown) || task.retryAttempts >= maxRetriesOf(rules)) return undefined;
  return { delay: retryDelay(thrown, rules), counts: "retry" };
}

function retryDelay(thrown: unknown, { task, definition, defaults }: RetryRules): number {
  const delay = task.backoff ?? task.retryDelay ?? definition.retryDelay ?? defaults.retryDelay ?? DEFAULT_RETRY_DELAY;
  return secondsUntilRetry(delay, task.attempt, thrown);
}
