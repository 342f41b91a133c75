import { isServerFault } from "../database/error_codes.ts";
import type { Transaction } from "../database/transaction.ts";

/** Whether the connection or the server failed, and not the code that threw `error` and used `transaction`. */
export async function hasDatabaseFailed(
  error: unknown,
  transaction: Transaction | undefined,
  isAborted: boolean,
): Promise<boolean> {
  if (isServerFault(error) || isServerFault(transaction?.failure)) return true;
  // An aborted attempt waits for nothing. One that COMMIT refused has discarded its connection, not lost it.
  if (!transaction || isAborted || transaction.ended) return false;
  return await transaction.isLost();
}
