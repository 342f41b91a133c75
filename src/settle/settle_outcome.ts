import { codeOf } from "../database/error_codes.ts";
import { LONGEST_DELAY } from "./retry_decision.ts";
import type { Settler } from "./settler.ts";
import type { ClaimedTask } from "../store/claimed_task.ts";
import type { Outcome } from "../store/settle.ts";
import { toAscii } from "../wire/format.ts";

/** What was settled of an outcome, and the status that the task has now; false if the consumer no longer held it. */
export interface Settled {
  readonly outcome: Outcome;
  readonly status: Outcome["status"] | false;
}

/**
 * Settles an attempt that failed. If the database refuses its outcome, settles what is left of it without what may be
 * the reason: a task whose end can never be stored would run for ever.
 *
 * @throws The database's error, if it refuses all of them.
 */
export async function settleFailure(settler: Settler, task: ClaimedTask, outcome: Outcome): Promise<Settled> {
  let refusal: unknown;
  for (const left of reductionsOf(outcome, task.snoozes, () => refusal)) {
    try {
      return { outcome: left, status: await settler.settle(task, left) };
    } catch (error) {
      refusal = error;
    }
  }
  throw refusal;
}

/** Lists an outcome, and what is left of it if the database refuses the one before. */
function* reductionsOf(outcome: Outcome, snoozes: number, refusal: () => unknown): Generator<Outcome> {
  yield outcome;
  if (outcome.error !== null) {
    // A database whose encoding is not UTF8 lacks most characters, also those that JSON escapes.
    const ascii = JSON.stringify(
      JSON.parse(outcome.error),
      (_, value) => typeof value === "string" ? toAscii(value) : value,
    );
    if (ascii !== outcome.error) yield { ...outcome, error: ascii };
    yield { ...outcome, error: JSON.stringify(withoutText(outcome, refusal())) };
    // The errors that the record has may be the reason, as after an edit by hand.
    yield { ...outcome, error: null };
  }
  // It cannot end. Each of its attempts is followed by twice the rest of the one before.
  yield { ...outcome, status: "created", error: null, counts: "snooze", delay: Math.min(2 ** snoozes, LONGEST_DELAY) };
}

function withoutText({ delay, status }: Outcome, refusal: unknown): object {
  const code = codeOf(refusal);
  const message = `The error of this attempt cannot be stored: the database refuses it${code ? ` (${code})` : ""}`;
  return { name: "Error", message, ...(status === "created" && delay !== null ? { delay } : {}) };
}
