import { DatabaseUnreachable, FireflyError } from "../errors.ts";
import { causesOf, isInstance, readProperty } from "../thrown.ts";

/**
 * Codes of the driver and of sockets for a connection that was lost in the middle. An error before a connection was
 * there needs no list: see {@linkcode Pool} and {@linkcode Session}. The driver itself uses 57014 for a statement it
 * never sent.
 */
const LOST = /^(CONNECTION_|CONNECT_TIMEOUT|DEADLINE|57014|E(?!RR_)[A-Z]|ERR_(OSSL|SOCKET|SSL|STREAM|TLS))/;
/** SQLSTATEs of a connection that the server rejects for good: a wrong password, no such database. */
const REJECTED = /^(28|3D000)/;

/**
 * SQLSTATEs about the server rather than the statement: no disk space, memory, files or connections left, a disk that
 * cannot be read, or a server that takes no writes for a while. 53400 is not one of them: the same statement exceeds a
 * configured limit again.
 */
const EXHAUSTED = /^(25006|53000|53100|53200|53300|58030)$/;
/** SQLSTATEs after which the same transaction may succeed at once: it conflicted with another one. */
const CONFLICT = /^(40001|40P01)$/;
/**
 * SQLSTATEs that are no fault of a statement of this package, nor of what it stores: it conflicted with others, did not
 * get a lock in time, was cancelled, or the server lacked something, be it what was prepared.
 */
const TRANSIENT = /^(08|25006|26000|40(?!002)|53(?!400)|55|57|58)/;
const FEATURE_NOT_SUPPORTED = "0A000";
/** The function of the server that finds that a table has changed since a statement was prepared. */
const REVALIDATION = "RevalidateCachedQuery";
/** The SQLSTATE of a transaction that may not write. */
export const READ_ONLY = "25006";
/**
 * SQLSTATEs that concern every record alike: the connection, the transaction, the login, a permission, a missing object,
 * resources, an operator's intervention, the server itself.
 */
const CONCERNS_ALL = /^(08|25|28|3D|3F|42501|42P01|42883|53|57P|58|F0)/;
/** The SQLSTATE of a statement that waited for a lock for longer than `lock_timeout`. */
export const LOCK_NOT_AVAILABLE = "55P03";
/** How many nested causes of an error {@linkcode isServerFault} examines. */
const MAX_CAUSES = 5;

/** Errors of connecting. */
const connectionErrors = new WeakSet<object>();
/** Whether errors are the server's fault, where that depends on where they arose. */
const verdicts = new WeakMap<object, boolean>();

/** Returns the SQLSTATE of a database error, or the driver's own code; an empty text for other errors. */
export function codeOf(error: unknown): string {
  const code = readProperty(error, "code");
  return typeof code === "string" ? code : "";
}

/** Notes that a connection could not be made: any error means that, before a statement was sent or answered. */
export function markConnectionError(error: unknown): void {
  if (typeof error === "object" && error !== null) connectionErrors.add(error);
}

/** Whether the error means that the connection is lost or could not be made. */
export function isConnectionError(error: unknown): boolean {
  if (connectionErrors.has(error as object)) return true;
  // PgBouncer sends the severity only in the field that a server translates.
  const severity = readProperty(error, "severity") ?? readProperty(error, "severity_local");
  // A function may raise any SQLSTATE, even 08006 or 28P01: the server ends a connection only with FATAL or PANIC.
  if (severity !== undefined) return severity === "FATAL" || severity === "PANIC";
  return LOST.test(codeOf(error));
}

/** Whether the server rejected the connection, so that retrying cannot help. */
export function isRejection(error: unknown): boolean {
  return REJECTED.test(codeOf(error));
}

/** Whether a transaction conflicted with another one, so that running it once more may succeed. */
export function isConflict(error: unknown): boolean {
  return CONFLICT.test(codeOf(error)) || isPlanOutdated(error);
}

/** Whether a table has changed since the statement was prepared. The driver prepares it anew for the next time. */
function isPlanOutdated(error: unknown): boolean {
  return codeOf(error) === FEATURE_NOT_SUPPORTED && readProperty(error, "routine") === REVALIDATION;
}

/** Notes that a statement of this package failed: if it is no fault of the statement, the error is the server's. */
export function markOwnFailure(error: unknown): void {
  if (TRANSIENT.test(codeOf(error)) || isConflict(error)) verdicts.set(error as object, true);
}

/** Notes that COMMIT failed: a conflict that is found there no handler can catch, so it is the server's error. */
export function markCommitFailure(error: unknown): void {
  if (isConflict(error)) verdicts.set(error as object, true);
}

/** Notes that an error is not the server's: a choice of its user led to it. */
export function markUserFailure<E extends object>(error: E): E {
  verdicts.set(error, false);
  return error;
}

/**
 * Whether the error, or one of its causes, is the server's or the connection's, whatever the statement: it must not be
 * held against a task. An error that a handler's own statement met is, if the server lacked something that any statement
 * may need, or asked to prepare the statement anew.
 */
export function isServerFault(error: unknown): boolean {
  for (const cause of causesOf(error, MAX_CAUSES)) {
    const verdict = verdicts.get(cause as object);
    if (verdict !== undefined) return verdict;
    if (EXHAUSTED.test(codeOf(cause))) return true;
    if (isPlanOutdated(cause)) return true;
    if (isInstance(cause, DatabaseUnreachable) && !cause.refused) return true;
  }
  return false;
}

/**
 * Whether a statement about many records may have failed because of one of them, as one that a foreign key or a trigger
 * of the user's refuses, or whose lock did not come: then the others can do without it.
 */
export function mayConcernOneRecord(error: unknown): boolean {
  const code = codeOf(error);
  return /^[0-9A-Z]{5}$/.test(code) && !CONCERNS_ALL.test(code) && !(error instanceof FireflyError);
}
