import { untilAnswered } from "./commit.ts";
import type { Tag } from "../database/driver.ts";
import { leaseLostError } from "./outcome_events.ts";
import { CommitUnknown, LeaseLost } from "../errors.ts";
import { isNotHeld, readFreeClaim } from "../store/complete.ts";
import { type EndedStep, isStored, storeStep } from "../store/steps.ts";
import { isInstance } from "../thrown.ts";
import type { Transaction } from "../database/transaction.ts";

/**
 * Commits the transaction of a step together with its result, or neither.
 *
 * @throws {LeaseLost} If the consumer no longer holds the task, or another attempt has stored the step. Also throws the
 * errors of COMMIT.
 */
export async function commitStep(sql: Tag, ended: EndedStep, transaction: Transaction): Promise<void> {
  const { id, claimSeq, step } = ended;
  try {
    await transaction.commit({
      run: (statements) => storeStep(statements, ended),
      isWaiting: async () => await readFreeClaim(sql, id) === "locked",
    });
  } catch (error) {
    const isUnknown = isInstance(error, CommitUnknown);
    if (!isUnknown && !isNotHeld(error)) throw error;
    const state = await untilAnswered(() => readFreeClaim(sql, id));
    if (state?.claimSeq !== claimSeq || state.status !== "created") throw leaseLostError(id, state);
    const isThere = await untilAnswered(() => isStored(sql, id, step));
    if (isUnknown && isThere) return;
    if (isThere) throw stepTakenError(ended);
    throw isUnknown ? error.cause : error;
  }
}

/** The error of an attempt whose step another attempt has stored: a crash of the server had undone the claim of one. */
export function stepTakenError({ id, step }: EndedStep): LeaseLost {
  return new LeaseLost(`Cannot store step "${step.name}" of task ${id} as another attempt has stored it`);
}
