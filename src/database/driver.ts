import postgres from "postgres";
import { arrayTypes } from "./array_types.ts";
import type { ConnectionSettings } from "./settings.ts";
import { DatabaseUnreachable, FireflyError } from "../errors.ts";
import type { Sql } from "../sql.ts";

/** A row as the driver gives it. */
// deno-lint-ignore no-explicit-any
export type Row = Record<string, any>;

/** The rows of a statement, with how many rows it touched. */
export type Rows<T> = T[] & { readonly count: number };

/**
 * The tag of the statements in `store/`. It runs on the pool or inside a transaction, whichever it was taken from,
 * and names the schema: `FROM ${sql.schema}.task`.
 */
export interface Tag {
  <T = Row>(strings: TemplateStringsArray, ...values: unknown[]): Promise<Rows<T>>;
  /** The schema's name as a quoted identifier. */
  readonly schema: unknown;
  /** The schema's name as it is. */
  readonly schemaName: string;
  /** Any other name as a quoted identifier. */
  identifier(name: string): unknown;
}

/** A client of the driver. */
export type Client = postgres.Sql;

/** Builds a query on a client, and so sends it. */
export type Build = (client: Client) => postgres.PendingQuery<postgres.Row[]>;

/** Errors of the driver and of sockets that say: this connection is no more. 57014 is the driver's for what it never sent. */
const LOST =
  /^(CONNECTION_|CONNECT_TIMEOUT|DEADLINE|ECONN|EPIPE|EHOST|ENET|ENOTFOUND|EAI_|ETIMEDOUT|ERR_(STREAM|SOCKET)|57014)/;
/** Errors of the server that waiting does not mend: wrong password, no such database. */
const NO_USE = /^(28|3D000)/;

/**
 * Errors of the server that speak of itself and not of the statement: no disk, memory, files or connections left, or a
 * disk that cannot be read. Not 53400: the same statement meets a configured limit again.
 */
const EXHAUSTED = /^(53000|53100|53200|53300|58030)$/;
/** The SQLSTATE of a statement that waited for a lock for longer than `lock_timeout`. */
export const LOCK_NOT_AVAILABLE = "55P03";
/** How many causes of an error are looked at. */
const CAUSES = 5;

/** The SQLSTATE of a database error, or the driver's own code; an empty text for other errors. */
export function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === "string" ? code : "";
}

/** Whether the error says that there is no connection any more, or will be none, as the driver reports it. */
export function isConnectionError(error: unknown): boolean {
  // PgBouncer tells the severity in the one field in which a server would translate it.
  const { severity_local, severity = severity_local } = (error ?? {}) as {
    severity?: unknown;
    severity_local?: unknown;
  };
  // A function may raise any SQLSTATE, an 08006 or 28P01 too: the server ends a connection with nothing but a FATAL.
  if (severity !== undefined) return severity === "FATAL" || severity === "PANIC";
  return LOST.test(codeOf(error));
}

/** Whether the error, or what caused it, says that the server lacks what any statement may need. */
export function isExhausted(error: unknown): boolean {
  for (let cause = error, depth = 0; cause instanceof Error && depth <= CAUSES; cause = cause.cause, depth++) {
    if (EXHAUSTED.test(codeOf(cause))) return true;
  }
  return false;
}

/** Opens a client of the driver: the only place that does. */
export function openClient(
  settings: ConnectionSettings,
  options: postgres.Options<Record<string, never>>,
): postgres.Sql {
  const { max: _, ...given } = settings.options;
  const several = settings.url?.replace(/\?.*/, "").includes(",");
  const merged = {
    connect_timeout: 10,
    // The default waits up to 20 s, long after a restarted server is back.
    backoff: (tries: number) => Math.min(0.05 * 2 ** tries, 1),
    onnotice() {},
    fetch_types: false,
    types: arrayTypes,
    ...(settings.pooled ? { prepare: false } : {}),
    // Of several hosts, the one that takes writes; "read-write" would accept a standby.
    ...(several ? { target_session_attrs: "primary" as const } : {}),
    ...given,
    ...options,
    // A pooler refuses what else a connection may be told when it starts, or forgets it with the next transaction.
    connection: { application_name: "firefly", ...(settings.pooled ? {} : options.connection) },
  } as postgres.Options<Record<string, never>>;
  return settings.url === undefined ? postgres(merged) : postgres(settings.url, merged);
}

/** Ends a client without waiting for anything: what it has not answered yet rejects. */
export function discard(client: Client): void {
  client.end({ timeout: 0 }).catch(() => {});
}

/** Rejects with the code DEADLINE if `promise` takes longer than `ms`. */
export async function withDeadline<T>(promise: PromiseLike<T>, ms: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(Object.assign(new Error(`no answer in ${ms / 1000} s`), { code: "DEADLINE" })), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The error for a database that is not there, in one line and without the driver's stack. */
export function unreachable(settings: ConnectionSettings, error: unknown): DatabaseUnreachable {
  const reason = error instanceof AggregateError ? error.errors[0] : error;
  const given = (reason as Error | undefined)?.message || codeOf(error);
  // The driver's own words: "write CONNECTION_CLOSED 127.0.0.1:5432", or that the user had cancelled what it never sent.
  const message = given.replace(/^(write CONNECTION_(CLOSED|DESTROYED|ENDED)|57014:) .*/, "the connection was closed");
  return new DatabaseUnreachable(`Cannot reach the database at ${settings.label}: ${message}`, {
    cause: error,
    refused: NO_USE.test(codeOf(error)),
  });
}

/** Makes the tag of the store's statements out of what runs them. */
export function makeTag(run: (build: Build) => Promise<Rows<never>>, schemaName: string): Tag {
  function sql(strings: TemplateStringsArray, ...values: unknown[]): Promise<Rows<never>> {
    return run((client) => client(strings, ...values as never[]));
  }
  return Object.assign(sql, { schema: schemaIdentifier(schemaName), schemaName, identifier: quotedIdentifier }) as Tag;
}

/** Makes a user's tag out of what runs statements; `check` sees each text first and may throw. */
export function makeUserTag(
  run: (build: Build) => Promise<Rows<never>>,
  check: (text: string) => void = () => {},
): Sql {
  async function sql(strings: TemplateStringsArray, ...values: unknown[]): Promise<unknown[]> {
    check(strings.join("$"));
    if (values.some((value) => value instanceof Promise && !("strings" in value))) {
      throw new FireflyError("Cannot run the statement as it interpolates a promise");
    }
    return await run((client) => client(strings, ...values as never[]));
  }
  async function unsafe(text: string, params: unknown[] = []): Promise<unknown[]> {
    check(text);
    // Never the simple protocol: it would take several statements, and a COMMIT among them.
    const options = { prepare: params.length > 0, simple: false } as postgres.UnsafeQueryOptions;
    return await run((client) => client.unsafe(text, params as never[], options));
  }
  return Object.assign(sql, { unsafe }) as Sql;
}

/** A fragment that quotes `name`. The driver's own helper would take the dots in a name for separators. */
function quotedIdentifier(name: string): unknown {
  fragments ??= postgres(); // a client connects with its first statement, and this one has none
  return fragments.unsafe(`"${name.replaceAll('"', '""')}"`);
}

let fragments: postgres.Sql | undefined;
const schemas = new Map<string, unknown>();

function schemaIdentifier(name: string): unknown {
  if (!schemas.has(name)) schemas.set(name, quotedIdentifier(name));
  return schemas.get(name);
}

const SPACE = /^(?:\s+|--[^\n]*(?:\n|$)|;)/;
const CONTROL = /^(begin|start\s+transaction|commit|end|rollback|abort|prepare\s+transaction)\b/i;
const ROLLBACK_TO = /^rollback\s+(work\s+|transaction\s+)?to\b/i;

/** The command, if the statement begins or ends a transaction; going back to a savepoint is neither. */
export function transactionControlOf(text: string): string | undefined {
  let [before, statement] = ["", text];
  while (before !== statement) {
    before = statement;
    statement = withoutComment(statement.replace(SPACE, ""));
  }
  if (ROLLBACK_TO.test(statement)) return undefined;
  return CONTROL.exec(statement)?.[0].toUpperCase();
}

/** The text after the comment that it begins with, if it does. Comments nest in PostgreSQL. */
function withoutComment(text: string): string {
  if (!text.startsWith("/*")) return text;
  let depth = 0;
  for (const { 0: mark, index } of text.matchAll(/\/\*|\*\//g)) {
    depth += mark === "/*" ? 1 : -1;
    if (depth === 0) return text.slice(index + 2);
  }
  return "";
}
