import { mayConcernOneRecord } from "../database/error_codes.ts";
import { FireflyError } from "../errors.ts";
import type { BulkResult, Chosen } from "../store/bulk.ts";

/** A task that a bulk operation could not change, and why. */
export interface BulkFailure {
  readonly id: number;
  readonly error: unknown;
}

/**
 * Calls `act` with all tasks; where that fails, with each half, down to the one task that is the cause, as a foreign key
 * or a trigger of the user's refuses its change. That one is left, and added to `failures`.
 */
export async function actOnEach(
  chosen: Chosen[],
  act: (chosen: Chosen[]) => Promise<BulkResult>,
  failures: BulkFailure[],
): Promise<BulkResult> {
  try {
    return await act(chosen);
  } catch (error) {
    if (!mayConcernOneRecord(error)) throw error;
    if (chosen.length === 1) {
      failures.push({ id: chosen[0]!.id, error });
      return { done: 0, changed: [], left: [] };
    }
    const half = chosen.length >> 1;
    const first = await actOnEach(chosen.slice(0, half), act, failures);
    const second = await actOnEach(chosen.slice(half), act, failures);
    return {
      done: first.done + second.done,
      changed: [...first.changed, ...second.changed],
      left: [...first.left, ...second.left],
    };
  }
}

/** Makes the error of a bulk operation that changed all tasks but some. */
export function bulkError(
  action: string,
  { failures, done }: { failures: readonly BulkFailure[]; done: number },
): FireflyError {
  const [failure] = failures;
  const others = failures.length > 1 ? ` and ${failures.length - 1} more` : "";
  return new FireflyError(`Cannot ${action}: task ${failure!.id}${others} stayed as they were, ${done} are done`, {
    cause: failure!.error,
  });
}
