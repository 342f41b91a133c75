import { DEFAULT_RETRY_DELAY, secondsUntilRetry } from "../task/backoff.ts";
import { isEncrypted } from "../privacy/encryption.ts";
import { DecryptionFailed } from "../errors.ts";
import { isFail, isRetry } from "../task/context.ts";
import type { TaskDefinition } from "../task/definition.ts";
import { toSeconds } from "../duration.ts";
import { describeError } from "./error_record.ts";
import type { TaskOptions } from "../task/options.ts";
import type { Redactor } from "../privacy/redaction.ts";
import type { ClaimedTask } from "../store/claim.ts";
import type { Outcome } from "../store/settle.ts";

/**
 * How long a task rests whose attempt the database failed, or whose key is not here, in seconds: longer each time, so
 * that it cannot storm.
 */
const REST = (snoozes: number) => Math.min(2 ** snoozes, 60);
/** The longest time between two attempts, in seconds: a hundred years. The database's calendar has an end. */
const LONGEST_DELAY = 100 * 365.25 * 86_400;

/** Where it stands how often, and after which delay, a task is tried again; the first that says something decides. */
export interface RetryRules {
  readonly task: ClaimedTask;
  readonly definition: TaskDefinition;
  readonly defaults: Pick<TaskOptions, "maxRetries" | "retryDelay">;
  /** Hides what should not be stored of the error. */
  readonly redactor: Redactor;
}

/** How many retries a task has after its first attempt. */
export function maxRetriesOf({ task, definition, defaults }: Omit<RetryRules, "redactor">): number {
  return task.maxRetries ?? definition.maxRetries ?? defaults.maxRetries ?? 0;
}

/** What becomes of a task whose attempt threw; `databaseFailed` says that it was the database, not the handler. */
export function decideRetry(
  thrown: unknown,
  rules: RetryRules,
  databaseFailed: boolean,
): Pick<Outcome, "status" | "error" | "delay" | "counts"> {
  let error = thrown;
  let verdict: { delay: number; counts: "retry" | "snooze" } | undefined;
  try {
    verdict = judge(thrown, rules, databaseFailed);
  } catch (mistake) {
    // A retryDelay function that throws must not keep the attempt from ending.
    error = new Error("Cannot tell when to try again", { cause: mistake });
    verdict = { delay: DEFAULT_RETRY_DELAY, counts: "retry" };
  }
  const description = describeError(error, rules.redactor);
  if (!verdict) return { status: "failed", error: JSON.stringify(description), delay: null, counts: null };
  const delay = Math.min(verdict.delay, LONGEST_DELAY);
  return { status: "created", error: JSON.stringify({ ...description, delay }), delay, counts: verdict.counts };
}

/** The seconds until the next attempt, and what it uses up; undefined if there is none. */
function judge(thrown: unknown, rules: RetryRules, databaseFailed: boolean) {
  const { task } = rules;
  // A consumer without the key of the arguments is a mistake in its deployment: another one may have it.
  const lostKey = task.params !== null && isEncrypted(task.params) && thrown instanceof DecryptionFailed &&
    thrown.isKeyMissing;
  if (databaseFailed || lostKey) return { delay: REST(task.snoozes), counts: "snooze" } as const;
  if (isRetry(thrown)) {
    const delay = thrown.delay === undefined ? retryDelay(thrown, rules) : toSeconds(thrown.delay, "delay");
    return { delay, counts: "snooze" } as const;
  }
  if (isFail(thrown) || task.retryAttempts >= maxRetriesOf(rules)) return undefined;
  return { delay: retryDelay(thrown, rules), counts: "retry" } as const;
}

function retryDelay(thrown: unknown, { task, definition, defaults }: RetryRules): number {
  const delay = task.backoff ?? task.retryDelay ?? definition.retryDelay ?? defaults.retryDelay ?? DEFAULT_RETRY_DELAY;
  return secondsUntilRetry(delay, task.attempt, thrown instanceof Error ? thrown : new Error(String(thrown)));
}
