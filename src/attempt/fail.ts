import {
  type AttemptCompensation,
  type Decision,
  explainEnd,
  type FailedAttempt,
  isToCompensate,
  isUnread,
} from "./compensate.ts";
import type { StepsLeft } from "./finish_steps.ts";
import { isNoFailure } from "./no_failure.ts";
import { Shutdown } from "./shutdown.ts";
import { suspendAttempt } from "./suspend.ts";
import type { Transaction } from "../database/transaction.ts";
import { LeaseLost } from "../errors.ts";
import { type AttemptOutcome, emitDuplicate, emitLost, emitOutcome, readLossReason } from "../settle/outcome_events.ts";
import { decideRetry } from "../settle/retry_decision.ts";
import { settleFailure } from "../settle/settle_outcome.ts";
import type { Steps } from "../steps/steps.ts";
import type { Outcome } from "../store/settle.ts";
import type { AttemptSpan } from "../telemetry/attempt_span.ts";
import { isInstance } from "../thrown.ts";

/** An attempt that ends with an error. */
export interface FailingAttempt extends FailedAttempt, StepsLeft {
  /** What would be settled if it had completed. */
  readonly outcome: Outcome;
  readonly span: AttemptSpan | undefined;
  /** The handler's transaction, if it has asked for it. */
  readonly usedTransaction: Transaction | undefined;
  /** Whether its handler was not called, as its arguments are being read. */
  readonly isLoading: boolean;
  /** How long it ran, in whole milliseconds: set here. */
  ran: number;
  /** Begins to compensate its steps. */
  startCompensation(steps: Steps): AttemptCompensation;
  /** Ends it without settling anything, as the consumer no longer holds the task. */
  lose(reason: unknown): AttemptOutcome;
}

/**
 * Rolls the transaction of an attempt back, and settles its task by the error: it is tried again, fails, is put off, goes
 * back to its place, or waits for what its steps wait for. Before it fails, its steps are compensated.
 */
export async function failAttempt(attempt: FailingAttempt, thrown: unknown): Promise<AttemptOutcome> {
  const { aborted, began, definition, env, span, task, usedSteps, usedTransaction: transaction } = attempt;
  const { settler, slots, sql, statistics, config: { defaults }, redactor } = env;
  const seconds = Math.round((performance.now() - began) * 1000) / 1e6;
  const hasNotFailed = isUnread(attempt) || await isNoFailure(thrown, {
    transaction,
    isAborted: aborted,
    isReason: isReasonOf(attempt, thrown),
    isLoading: attempt.isLoading,
  });
  let error = hasNotFailed ? thrown : explainEnd(usedSteps, thrown);
  if (attempt.aborted) transaction?.abandon();
  else await transaction?.rollback();
  if (isSuspendedBy(attempt, error)) return await suspendAttempt(attempt, { ...usedSteps!.suspended!, span });
  if (isInstance(error, LeaseLost)) return attempt.lose(error);
  let counted: string | null = null;
  let decided: Decision = isInstance(error, Shutdown)
    ? { status: "created", error: null, delay: null, counts: "snooze" }
    : decideRetry(error, { task, definition, defaults, redactor, seconds }, hasNotFailed || error !== thrown);
  if (usedSteps && isToCompensate(usedSteps, error, decided)) {
    const end = await attempt.startCompensation(usedSteps).end(error, decided);
    if (typeof end === "string") return end;
    ({ error, decided, counted } = end);
  }
  // If the database refuses all of it, this throws. The next renewal finds the claim, which is tracked no longer.
  attempt.ran = Math.round(seconds * 1000);
  const { status, outcome } = await settleFailure(settler, task, { ...attempt.outcome, returned: null, ...decided });
  if (!status) return emitLost(attempt, await readLossReason(sql, task.id, error));
  counted ??= outcome.error;
  if (counted !== null) statistics?.countError(task, counted);
  if (status !== outcome.status) return emitDuplicate(attempt, error);
  if (outcome.delay) slots.onDelayed(outcome.delay);
  return emitOutcome(attempt, outcome, error);
}

/** Whether an attempt was ended by `error` as its handler only waits. */
export function isSuspendedBy(attempt: FailingAttempt, error: unknown): boolean {
  return attempt.usedSteps?.suspended !== undefined && isReasonOf(attempt, error);
}

/** Whether an attempt was ended from outside because of `error`. */
function isReasonOf({ aborted, abortController }: FailingAttempt, error: unknown): boolean {
  return aborted && abortController.reason === error;
}
