import { type Build, connectedProcessOf, type Rows, type Tag } from "./driver.ts";
import { CommitUnknown } from "../errors.ts";
import type { Session } from "./session.ts";
import { BEGIN } from "./session_settings.ts";
import { readProperty } from "../thrown.ts";

/** The SQLSTATE of a statement in a transaction that an error has aborted. */
export const IN_FAILED_TRANSACTION = "25P02";
const COMMIT = "COMMIT";
/**
 * COMMIT after a statement that may fail. The driver sends some failed statements again, and after COMMIT, which ends
 * an aborted transaction, the statement would run outside of it. This fails in an aborted transaction, and leaves it.
 */
const COMMIT_UNLESS_FAILED = "SET CONSTRAINTS ALL IMMEDIATE; COMMIT";

/** The last statement of a transaction, sent together with COMMIT. */
export interface Last {
  /** Runs one statement, which must fail if the transaction is not to be committed. */
  run(sql: Tag): Promise<unknown>;
  /** Called when the deadline has passed; true, if the statement may wait for another transaction's lock, extends it. */
  isWaiting?(): Promise<boolean>;
}

/**
 * Begins a transaction at READ COMMITTED, whatever the default of the database or role: statements of this package share
 * it, and would conflict with others at a higher level. `SET TRANSACTION ISOLATION LEVEL` as the first statement works,
 * so no query may come before it: behind a pooler, the process is asked for in a transaction of its own.
 */
export async function begin(session: Session, setup: string, deadline: number): Promise<void> {
  const text = `${BEGIN}${session.setup} ${setup}`;
  if (!session.isPooled) {
    const results = await session.run((client) => client.unsafe(text), deadline);
    session.pid ??= connectedProcessOf((Array.isArray(results[0]) ? results[0] : results) as never);
    return;
  }
  const results = await session.run(
    (client) => client.unsafe(`BEGIN; SELECT pg_backend_pid() AS pid; END; ${text}`),
    deadline,
  );
  session.pid = (results.flat() as { pid?: number }[]).find(({ pid }) => pid !== undefined)!.pid;
}

/** Rolls back; a session that is lost has done so. */
export async function rollBack(session: Session, deadline: number): Promise<void> {
  if (!session.lost) await session.run((client) => client.unsafe("ROLLBACK"), deadline);
}

/**
 * Commits; `last` is a statement that is sent together with COMMIT.
 *
 * @throws {CommitUnknown} If the connection was lost meanwhile.
 */
export async function commitSession(
  session: Session,
  deadline: number,
  last?: Pick<Last, "isWaiting"> & { build: Build },
): Promise<Rows<never>> {
  if (last && session.lost) throw session.lost; // before any of it was sent
  try {
    const result = last
      ? await session.runBoth<never>(
        last.build,
        (client) => client.unsafe(COMMIT_UNLESS_FAILED),
        deadline,
        last.isWaiting,
      )
      : await session.run<never>((client) => client.unsafe(COMMIT), deadline);
    if ((result as { command?: string }).command !== "COMMIT") {
      // COMMIT of an aborted transaction is a ROLLBACK, and no error.
      throw Object.assign(new Error("the transaction was rolled back"), { code: IN_FAILED_TRANSACTION });
    }
    return result;
  } catch (error) {
    if (!session.lost) throw error;
    throw new CommitUnknown("Cannot tell whether the transaction was committed, as the connection was lost meanwhile", {
      cause: error,
    });
  }
}

/** Whether the server raised an error by COMMIT, as a deferred constraint does, and not by a statement before it. */
export function isErrorOfCommit(error: unknown): boolean {
  const statement = readProperty(error, "query");
  return statement === COMMIT || statement === COMMIT_UNLESS_FAILED;
}
