import { Transaction } from "../database/transaction.ts";
import { FireflyError } from "../errors.ts";
import { type CurrentInstance, currentScope, defaultInstance } from "../task/scope.ts";

/**
 * Returns the transaction of the running code, if it belongs to `owner`.
 *
 * @throws {FireflyError} If it is that of an attempt that has ended.
 */
export function openTransactionOf(owner: CurrentInstance): Transaction | undefined {
  const { instance = defaultInstance(), attempt, transaction } = currentScope();
  if (instance !== owner || !(transaction instanceof Transaction)) return undefined;
  if (!transaction.ended) return transaction;
  if (!attempt) return undefined;
  // A handler that lost its task, or that was abandoned, must leave nothing behind.
  throw new FireflyError("Cannot schedule or begin a transaction here as the attempt of this handler has ended");
}
