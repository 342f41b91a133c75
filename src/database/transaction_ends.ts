import { type Build, connectedProcessOf, type Rows, type Tag } from "./driver.ts";
import { markOwnFailure } from "./error_codes.ts";
import { CommitUnknown, DatabaseUnreachable } from "../errors.ts";
import type { Session } from "./session.ts";
import { BEGIN, BEGIN_WRITING, GUARD } from "./session_settings.ts";
import type { Sessions } from "./sessions.ts";
import { isInstance, readProperty } from "../thrown.ts";
import type { WrittenStatement } from "./written_statement.ts";

/** The SQLSTATE of a statement in a transaction that an error has aborted. */
export const IN_FAILED_TRANSACTION = "25P02";
const COMMIT = "COMMIT";
/** The last statement of a transaction, sent together with COMMIT. */
export interface Last {
  /** Runs one statement, which returns a row, and fails if the transaction is not to be committed. */
  run(sql: Tag): Promise<unknown>;
  /** Called when the deadline has passed; true, if the statement may wait for another transaction's lock, extends it. */
  isWaiting?(): Promise<boolean>;
}

/** A transaction that has begun on a session, and the rows of its first statement. */
export interface Begun<T> {
  readonly session: Session;
  readonly rows: Promise<Rows<T>>;
}

/** How a transaction begins. */
export interface Beginning {
  /** Statements that set what its transaction needs. */
  readonly setup: string;
  /** How many milliseconds BEGIN may take. */
  readonly deadline: number;
  /** Whether BEGIN must be answered before the first statement is sent, in any case. */
  readonly isAlone?: boolean;
}

/**
 * Begins a transaction at READ COMMITTED, whatever the default of the database or role: statements of this package share
 * it, and would conflict with others at a higher level. `SET TRANSACTION ISOLATION LEVEL` as the first statement works,
 * so no query comes before it.
 *
 * On a session that is guarded, `first` is sent together with BEGIN. Where BEGIN fails, as by a cancellation, the server
 * runs `first` outside of any transaction, but refuses it there if it writes; its outcome is dropped with the session, and
 * the transaction fails by the error of BEGIN. What `first` may do there is what a read-only transaction may: beside what no
 * ROLLBACK undoes, NOTIFY, pg_logical_emit_message() and, before PostgreSQL 16, writes to large objects.
 */
export async function begin<T>(
  sessions: Sessions,
  first: Build,
  { setup, deadline, isAlone = false }: Beginning,
): Promise<Begun<T>> {
  const session = await sessions.take();
  const isTogether = session.isGuarded === true && !isAlone;
  try {
    if (isTogether) {
      const { begun, rows } = session.runFirst<T>(
        // Not prepared: the driver sends a prepared statement again that its server has lost, and thus after `first`.
        (client) => client.unsafe(`${BEGIN_WRITING} ${setup}`),
        first,
        deadline,
      );
      rows.catch(() => {}); // where BEGIN fails, they are ignored
      await begun;
      return { session, rows };
    }
    await beginAlone(session, { setup, deadline });
    return { session, rows: session.run<T>(first) };
  } catch (error) {
    sessions.giveBack(session, false);
    // What neither the server nor the connection has raised is the driver's: it could not write `first`, as for a value
    // that is undefined. It rejects BEGIN in its place and waits for an answer to `first`. Alone, `first` gets that error.
    if (isTogether && !isAnswer(error)) return await begin(sessions, first, { setup, deadline, isAlone: true });
    markOwnFailure(error);
    throw error;
  }
}

/** Begins a transaction, and guards the session if it may be guarded. */
async function beginAlone(session: Session, { setup, deadline }: Beginning): Promise<void> {
  const { isGuarded, isPooled } = session;
  const start = isGuarded === undefined ? BEGIN : isGuarded ? BEGIN_WRITING : `${BEGIN} ${GUARD.set}`;
  const text = `${start}${session.setup} ${setup}`;
  if (!isPooled) {
    const results = await session.run((client) => client.unsafe(text), deadline);
    session.pid ??= connectedProcessOf((Array.isArray(results[0]) ? results[0] : results) as never);
    return;
  }
  // No query may come before the user's first: the process is asked for in a transaction of its own.
  const results = await session.run(
    (client) => client.unsafe(`BEGIN; SELECT pg_backend_pid() AS pid; END; ${text}`),
    deadline,
  );
  session.pid = (results.flat() as { pid?: number }[]).find(({ pid }) => pid !== undefined)!.pid;
}

/** Whether an error is one of the server or of the connection. */
function isAnswer(error: unknown): boolean {
  return isInstance(error, DatabaseUnreachable) || readProperty(error, "severity") !== undefined;
}

/** Rolls back; a session that is lost has done so. */
export async function rollBack(session: Session, deadline: number): Promise<void> {
  if (!session.lost) await session.run((client) => client.unsafe("ROLLBACK"), deadline);
}

/**
 * Commits; `last` is a statement that is sent together with COMMIT. Both are one message of the simple protocol: if the
 * statement fails, the server does not reach COMMIT. That message costs a third of what the two cost one by one. Resolves
 * to the rows of `last`.
 *
 * @throws {CommitUnknown} If the connection was lost meanwhile.
 */
export async function commitSession(
  session: Session,
  deadline: number,
  last?: Pick<Last, "isWaiting"> & { statement: WrittenStatement },
): Promise<Rows<never>> {
  if (last && session.lost) throw session.lost; // before any of it was sent
  let isCommitting = !last;
  const text = last ? `${session.textOf(last.statement)}; ${COMMIT}` : COMMIT;
  const rows: unknown[] = [];
  const onRow = (row: unknown) => {
    isCommitting = true;
    rows.push(row);
  };
  try {
    const results = await session.run<never>(
      (client) => last ? client.unsafe(text).forEach(onRow) as never : client.unsafe(text),
      deadline,
      last?.isWaiting,
    );
    const result = results.at(-1) ?? results; // where it was prepared, each statement has a result
    if ((result as { command?: string }).command !== "COMMIT") {
      // COMMIT of an aborted transaction is a ROLLBACK, and no error.
      throw Object.assign(new Error("the transaction was rolled back"), { code: IN_FAILED_TRANSACTION });
    }
    return last ? rows as unknown as Rows<never> : results;
  } catch (error) {
    if (session.lost) {
      throw new CommitUnknown(
        "Cannot tell whether the transaction was committed, as the connection was lost meanwhile",
        {
          cause: error,
        },
      );
    }
    if (last) session.forgetPrepared(); // as it may not have come to that, or the server has lost it
    if (isCommitting) errorsOfCommit.add(error as object);
    throw error;
  }
}

/** Errors of COMMIT, and not of a statement before it. */
const errorsOfCommit = new WeakSet<object>();

/** Whether the server raised an error by COMMIT, as a deferred constraint does, and not by a statement before it. */
export function isErrorOfCommit(error: unknown): boolean {
  return errorsOfCommit.has(error as object);
}
