import { DatabaseUnreachable, DecryptionFailed, StepsChanged } from "../errors.ts";
import { hasDatabaseFailed } from "../settle/database_failure.ts";
import type { Transaction } from "../database/transaction.ts";
import { isInstance } from "../thrown.ts";

/** What is known of an attempt that ends with an error. */
export interface EndedAttempt {
  /** Its transaction, if the handler has asked for it. */
  readonly transaction: Transaction | undefined;
  /** Whether it was ended from outside. */
  readonly isAborted: boolean;
  /** Whether that was because of this error. */
  readonly isReason: boolean;
  /** Whether it was reading its arguments. */
  readonly isLoading: boolean;
}

/**
 * Whether the connection or the server failed, a key for a result is missing here, or the code is to be fixed by a
 * deployment: not the handler.
 */
export async function isNoFailure(
  error: unknown,
  { transaction, isAborted, isReason, isLoading }: EndedAttempt,
): Promise<boolean> {
  if (isInstance(error, StepsChanged)) return true;
  if (isLoading && isInstance(error, DatabaseUnreachable)) return true;
  if (isInstance(error, DecryptionFailed) && error.isKeyMissing && (isLoading || isReason)) return true;
  return await hasDatabaseFailed(error, transaction, isAborted);
}
