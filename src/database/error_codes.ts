import { FireflyError } from "../errors.ts";

/** Codes of the driver and of sockets for a lost connection; the driver itself uses 57014 for a statement it never sent. */
const LOST =
  /^(CONNECTION_|CONNECT_TIMEOUT|DEADLINE|ECONN|EPIPE|EHOST|ENET|ENOTFOUND|EAI_|ETIMEDOUT|ERR_(STREAM|SOCKET)|57014)/;
/** SQLSTATEs of a connection that the server rejects for good: a wrong password, no such database. */
const REJECTED = /^(28|3D000)/;

/**
 * SQLSTATEs about the server rather than the statement: no disk space, memory, files or connections left, or a disk that
 * cannot be read. 53400 is not one of them: the same statement exceeds a configured limit again.
 */
const EXHAUSTED = /^(53000|53100|53200|53300|58030)$/;
/**
 * SQLSTATEs that concern every record alike: the connection, the transaction, the login, a permission, a missing object,
 * resources, an operator's intervention, the server itself.
 */
const CONCERNS_ALL = /^(08|25|28|3D|3F|42501|42P01|42883|53|57P|58|F0)/;
/** The SQLSTATE of a statement that waited for a lock for longer than `lock_timeout`. */
export const LOCK_NOT_AVAILABLE = "55P03";
/** How many nested causes of an error {@linkcode isExhausted} examines. */
const MAX_CAUSES = 5;

/** Returns the SQLSTATE of a database error, or the driver's own code; an empty text for other errors. */
export function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === "string" ? code : "";
}

/** Whether the error means that the connection is lost or could not be made. */
export function isConnectionError(error: unknown): boolean {
  // PgBouncer sends the severity only in the field that a server translates.
  const { severity_local, severity = severity_local } = (error ?? {}) as {
    severity?: unknown;
    severity_local?: unknown;
  };
  // A function may raise any SQLSTATE, even 08006 or 28P01: the server ends a connection only with FATAL or PANIC.
  if (severity !== undefined) return severity === "FATAL" || severity === "PANIC";
  return LOST.test(codeOf(error));
}

/** Whether the server rejected the connection, so that retrying cannot help. */
export function isRejection(error: unknown): boolean {
  return REJECTED.test(codeOf(error));
}

/** Whether the error, or one of its causes, means that the server lacks a resource that any statement may need. */
export function isExhausted(error: unknown): boolean {
  for (let cause = error, depth = 0; cause instanceof Error && depth <= MAX_CAUSES; cause = cause.cause, depth++) {
    if (EXHAUSTED.test(codeOf(cause))) return true;
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
