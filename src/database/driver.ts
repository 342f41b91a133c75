import postgres from "postgres";
import { arrayTypes } from "./array_types.ts";
import { codeOf, isRejection } from "./error_codes.ts";
import { quoteIdentifier } from "./identifiers.ts";
import { ALWAYS, DIRECT } from "./session_settings.ts";
import type { ConnectionSettings } from "./settings.ts";
import { formatTime, parseTime } from "./times.ts";
import { DatabaseUnreachable, FireflyError } from "../errors.ts";
import type { Sql } from "../sql.ts";

/** A row as the driver returns it. */
// deno-lint-ignore no-explicit-any
export type Row = Record<string, any>;

/** The rows of a statement, with the number of rows that it affected. */
export type Rows<T> = T[] & { readonly count: number };

/**
 * The tag of the statements in `store/`. It runs them on the pool or in the transaction that it was taken from, and
 * names the schema: `FROM ${sql.schema}.task`.
 */
export interface Tag {
  <T = Row>(strings: TemplateStringsArray, ...values: unknown[]): Promise<Rows<T>>;
  /** The schema's name as a quoted identifier. */
  readonly schema: unknown;
  /** The schema's name as it is. */
  readonly schemaName: string;
  /** Any other name as a quoted identifier. */
  identifier(name: string): unknown;
  /**
   * A part of a statement, to be interpolated into others: `${placeInReady(sql, "moved")}`. The same parts make the
   * same text, and so the same prepared statement.
   */
  fragment(strings: TemplateStringsArray, ...values: unknown[]): unknown;
  /** Text of this package's own as a part of a statement, such as a list of columns: never data. */
  raw(text: string): unknown;
}

/** A client of the driver. */
export type Client = postgres.Sql;

/** Builds a query on a client, and so sends it. */
export type Build = (client: Client) => postgres.PendingQuery<postgres.Row[]>;

/** The types of times for the driver, whose own reads no time before the year 100, after 9999, or that is infinite. */
const TIMES = {
  to: 1184,
  from: [1082, 1114, 1184],
  serialize: (value: unknown) => formatTime(value instanceof Date ? value : new Date(value as string)),
  parse: parseTime,
};

/** Opens a client of the driver; nothing else does. */
export function openClient(
  settings: ConnectionSettings,
  options: postgres.Options<Record<string, never>>,
): postgres.Sql {
  const { max: _, ...given } = settings.options;
  const hasSeveralHosts = settings.url?.replace(/\?.*/, "").includes(",");
  const merged = {
    connect_timeout: 10,
    // The default waits up to 20 s, long after a restarted server is back.
    backoff: (tries: number) => Math.min(0.05 * 2 ** tries, 1),
    onnotice() {},
    fetch_types: false,
    types: { ...arrayTypes, date: TIMES },
    ...(settings.pooled ? { prepare: false } : {}),
    // Of several hosts, connect to the one that takes writes; "read-write" would accept a standby.
    ...(hasSeveralHosts ? { target_session_attrs: "primary" as const } : {}),
    ...given,
    ...options,
    // A pooler refuses any other startup parameter, or forgets it with the next transaction.
    connection: {
      application_name: "firefly",
      ...ALWAYS,
      ...(settings.pooled ? {} : { ...DIRECT, ...options.connection }),
    },
  } as postgres.Options<Record<string, never>>;
  return settings.url === undefined ? postgres(merged) : postgres(settings.url, merged);
}

/** Ends a client at once: statements without an answer reject. */
export function discard(client: Client): void {
  client.end({ timeout: 0 }).catch(() => {});
}

/** Whether the driver has written the query to a connection. One that it has not, it keeps for the next connection. */
export function isSent(query: PromiseLike<unknown>): boolean {
  return Boolean((query as { state?: unknown }).state);
}

/** Returns the server process that the driver was told when it connected: behind a pooler, not the one that answered. */
export function connectedProcessOf(rows: Rows<unknown>): number {
  return (rows as unknown as { state: { pid: number } }).state.pid;
}

/** Makes the error for an unreachable database: one line, without the driver's stack. */
export function unreachableError(settings: ConnectionSettings, error: unknown): DatabaseUnreachable {
  const reason = error instanceof AggregateError ? error.errors[0] : error;
  const given = (reason as Error | undefined)?.message || codeOf(error);
  // The driver says "write CONNECTION_CLOSED 127.0.0.1:5432", or that the user cancelled a statement it never sent.
  const message = given.replace(/^(write CONNECTION_(CLOSED|DESTROYED|ENDED)|57014:) .*/, "the connection was closed");
  return new DatabaseUnreachable(`Cannot reach the database at ${settings.label}: ${message}`, {
    cause: error,
    refused: isRejection(error),
  });
}

/** Makes the tag of the store's statements; `run` runs them. */
export function makeTag(run: (build: Build) => Promise<Rows<never>>, schemaName: string): Tag {
  function sql(strings: TemplateStringsArray, ...values: unknown[]): Promise<Rows<never>> {
    return run((client) => client(strings, ...values as never[]));
  }
  // The driver's own helper for identifiers would take the dots in a name for separators.
  const identifier = (name: string) => parts().unsafe(quoteIdentifier(name));
  const schema = raw(quoteIdentifier(schemaName));
  return Object.assign(sql, { schema, schemaName, identifier, fragment, raw }) as Tag;
}

/** Makes a tag for users; `run` runs its statements, `check` sees each text first and may throw. */
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
    // Never the simple protocol: it would accept several statements, a COMMIT among them.
    const options = { prepare: params.length > 0, simple: false } as postgres.UnsafeQueryOptions;
    return await run((client) => client.unsafe(text, params as never[], options));
  }
  return Object.assign(sql, { unsafe }) as Sql;
}

let partsClient: postgres.Sql | undefined;

/** The client that parts of statements are made with. A client connects with its first statement, and this one has none. */
function parts(): postgres.Sql {
  return partsClient ??= postgres();
}

function fragment(strings: TemplateStringsArray, ...values: unknown[]): unknown {
  return parts()(strings, ...values as never[]);
}

const rawParts = new Map<string, unknown>();

/** Kept, as these texts are few and the driver makes a promise of each. */
function raw(text: string): unknown {
  let part = rawParts.get(text);
  if (part === undefined) rawParts.set(text, part = parts().unsafe(text));
  return part;
}
