import type { Tag } from "../database/driver.ts";
import { leaseLostError } from "./outcome_events.ts";
import { CommitUnknown } from "../errors.ts";
import { isServerFault } from "../database/error_codes.ts";
import type { HeldTask } from "./settle_statements.ts";
import { isOwnEnd, type Settler } from "./settler.ts";
import { completeTask, isNotHeld, readFreeClaim } from "../store/complete.ts";
import type { Outcome } from "../store/settle.ts";
import { isInstance } from "../thrown.ts";
import type { Transaction } from "../database/transaction.ts";

/** A task whose handler used its transaction, and its outcome. */
export interface TaskCommit {
  readonly task: HeldTask;
  readonly outcome: Outcome;
  readonly transaction: Transaction;
}

/**
 * Commits a handler's transaction together with its task's `outcome`, or neither.
 *
 * @throws {LeaseLost} If the consumer no longer holds the task. Also throws the errors of COMMIT.
 */
export async function commitWithTask(
  { task, outcome, transaction }: TaskCommit,
  { settler, sql }: { settler: Settler; sql: Tag },
): Promise<void> {
  const { batchId } = task;
  const { id, claimSeq } = outcome;
  const isLast = settler.remaining(batchId) === 1;
  let hasDependants = true; // unless the statement's reply, which may be lost, says otherwise
  try {
    await transaction.commit({
      run: async (statements) => {
        hasDependants = await completeTask(statements, outcome, isLast ? batchId : null, settler.attemptedBy);
      },
      isWaiting: async () => await readFreeClaim(sql, id) === "locked",
    });
  } catch (error) {
    const isUnknown = isInstance(error, CommitUnknown);
    if (!isUnknown && !isNotHeld(error)) throw error;
    const state = await untilAnswered(() => readFreeClaim(sql, id));
    if (!isUnknown || !isOwnEnd(state, outcome)) {
      throw state?.claimSeq === claimSeq ? isUnknown ? error.cause : error : leaseLostError(id, state);
    }
  }
  if (isLast) settler.untrack(batchId);
  settler.untrackTask(task);
  if (hasDependants) settler.onDependencies([id]);
}

/** Asks until the database answers and no record is "locked": the result of a COMMIT must not be guessed. */
export async function untilAnswered<T>(ask: () => Promise<T | "locked">): Promise<T> {
  for (let delay = 50;; delay = Math.min(delay * 2, 1000)) {
    try {
      const state = await ask();
      if (state !== "locked") return state;
    } catch (error) {
      if (!isServerFault(error)) throw error; // one that takes no writes cannot lock the record, either
    }
    await new Promise((resolve) => setTimeout(resolve, delay));
  }
}
