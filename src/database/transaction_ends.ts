import type { Build, Rows, Tag } from "./driver.ts";
import { CommitUnknown } from "../errors.ts";
import type { Session } from "./session.ts";
import { readProperty } from "../thrown.ts";

/** The SQLSTATE of a statement in a transaction that an error has aborted. */
export const IN_FAILED_TRANSACTION = "25P02";
const BEGIN = "BEGIN; SET LOCAL transaction_isolation = 'read committed';";
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
 * so no query may come before it: the process is asked for in a transaction of its own.
 */
export async function begin(session: Session, setup: string, deadline: number): Promise<void> {
  // A session keeps its process, unless there is a pooler in between.
  if (session.pid !== undefined && !session.isPooled) {
    await session.run((client) => client.unsafe(`${BEGIN} ${setup}`), deadline);
    return;
  }
  const results = await session.run(
    (client) => client.unsafe(`BEGIN; SELECT pg_backend_pid() AS pid; END; ${BEGIN} ${setup}`),
    deadline,
  );
  session.pid = (results.at(-1) as { pid: number }[])[0]!.pid;
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
