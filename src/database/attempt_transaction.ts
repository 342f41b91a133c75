import type { Sessions } from "./sessions.ts";
import { Transaction } from "./transaction.ts";

/** Makes the transaction of an attempt, or of a step of it. */
export function attemptTransaction(
  sessions: Sessions,
  { schema, leaseMs }: { readonly schema: string; readonly leaseMs: number },
): Transaction {
  return Transaction.on(sessions, {
    schema,
    // A consumer that is stopped with an open transaction would block its successor on the user's own keys.
    setup: `SET LOCAL idle_in_transaction_session_timeout = ${Math.ceil(leaseMs)};`,
  });
}
