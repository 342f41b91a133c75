import type { ProxyConnection } from "../../support/tcp_proxy.ts";
import type { Spare } from "./spares.ts";
import { StatementReader } from "./statements.ts";

/** Where a consumer is killed. */
export interface Moment {
  /** Before a statement is sent, which then never is, or once its reply has come. */
  readonly when: "before" | "after";
  /** The number of the statement, from the first one with which the consumer claims tasks. */
  readonly number: number;
}

/** What consumers send for their tasks; not what they send for themselves, and to wait. */
const OF_TASKS = /\b(task|step|step_ledger|signal|dependency|waiting|BEGIN|COMMIT|ROLLBACK|_[a-z_]+)\b/;

/**
 * Lets a consumer at the database, and kills it at a moment; resolves, once its process is gone, to the statement that
 * it was killed at.
 */
export async function killAt({ process, proxy, open }: Spare, { when, number }: Moment): Promise<string> {
  const killed = Promise.withResolvers<string>();
  const reader = new StatementReader();
  const unanswered = new WeakMap<ProxyConnection, string>();
  let [count, claims, isDead] = [0, false, false];
  const isThere = (statement: string) => {
    if (isDead || ++count !== number) return false;
    isDead = true;
    process.kill("SIGKILL");
    killed.resolve(statement);
    return true;
  };
  proxy.onRequest = (sent, connection) => {
    // What others of its connections have sent by now, it may have sent before it died.
    const statement = isDead ? "" : reader.read(sent, connection);
    claims ||= statement.includes("claim_batch");
    if (!claims || !OF_TASKS.test(statement)) return;
    if (when === "after") unanswered.set(connection, statement);
    else if (isThere(statement)) connection.mode = "hole";
  };
  proxy.onReply = (connection) => {
    const statement = unanswered.get(connection);
    if (statement !== undefined && unanswered.delete(connection)) isThere(statement);
  };
  open();
  const statement = await Promise.race([killed.promise, process.exited.then((code) => `exited with ${code}`)]);
  await process.exited;
  if (!isDead) throw new Error(`A consumer ${statement} before its end:\n${process.log.slice(-20).join("\n")}`);
  return statement;
}
