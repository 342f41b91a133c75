import { Socket } from "node:net";
import process from "node:process";
import postgres from "postgres";
import { arrayTypes } from "./array_types.ts";
import { captureCallSite, describeFailure } from "./call_site.ts";
import { codeOf, isRejection } from "./error_codes.ts";
import { noLongerNeeded, OpenError, withFetchedPassword } from "./password.ts";
import { quoteIdentifier } from "./identifiers.ts";
import { ALWAYS, DIRECT } from "./session_settings.ts";
import type { ConnectionSettings } from "./settings.ts";
import { formatTime, parseTime } from "./times.ts";
import { DatabaseUnreachable, FireflyError } from "../errors.ts";
import type { Sql } from "../sql.ts";
import { numberValues, traceStatement } from "../telemetry/statement_span.ts";

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
  const { target, pooled } = settings;
  const { connectTimeout, sessionAttributes } = target;
  const abandoned = new AbortController();
  const sockets: Socket[] = [];
  const access = typeof target.password === "function"
    ? withFetchedPassword(target, target.password, abandoned.signal)
    : { pass: target.password, socket: makeSocket };
  const client = makeClient({
    connect_timeout: connectTimeout ?? 10,
    // The default waits up to 20 s, long after a restarted server is back.
    backoff: (tries: number) => Math.min(0.05 * 2 ** tries, 1),
    onnotice() {},
    types: { ...arrayTypes, date: TIMES },
    prepare: !pooled && settings.options.prepare !== false,
    ...options,
    ...(connectTimeout === undefined ? {} : { connect_timeout: connectTimeout }),
    host: [...target.hosts],
    port: [...target.ports],
    ...(target.path ? { path: target.path } : {}),
    database: target.database,
    user: target.user,
    ssl: target.tls as boolean | object,
    sslnegotiation: target.isDirectTls ? "direct" : null,
    ...(sessionAttributes && sessionAttributes !== "any" ? { target_session_attrs: sessionAttributes } : {}),
    // A pooler refuses any other startup parameter, or forgets it with the next transaction.
    connection: { ...target.settings, ...ALWAYS, ...(pooled ? {} : { ...DIRECT, ...options.connection }) },
    ...access,
    // The driver opens a connection though its client was discarded in the meantime, and leaves a timer for it.
    async socket(parsed: DriverOptions): Promise<Socket> {
      if (abandoned.signal.aborted) throw noLongerNeeded();
      const socket = await access.socket(parsed);
      if (abandoned.signal.aborted) {
        socket.destroy();
        throw noLongerNeeded();
      }
      sockets.splice(0, Infinity, ...sockets.filter(({ destroyed }) => !destroyed), socket);
      return socket;
    },
  });
  controllers.set(client, abandoned);
  socketsOf.set(client, sockets);
  return client;
}

/** Tells what a client waits for before it connects that it was discarded. */
const controllers = new WeakMap<Client, AbortController>();

/** Makes a client of the driver from these options alone: without them, it reads variables such as PGDEBUG and PGMAX. */
function makeClient(options: object): postgres.Sql {
  const defaults = {
    debug: false,
    fetch_types: false,
    idle_timeout: null,
    keep_alive: 60,
    max: 1,
    max_lifetime: null,
    max_pipeline: 100,
    publications: "alltables",
  };
  const { PGTARGETSESSIONATTRS } = process.env;
  // The driver knows no way to ignore this one, and throws where it is "any".
  delete process.env.PGTARGETSESSIONATTRS;
  try {
    return postgres({ ...defaults, ...options } as object as postgres.Options<Record<string, never>>);
  } finally {
    if (PGTARGETSESSIONATTRS !== undefined) process.env.PGTARGETSESSIONATTRS = PGTARGETSESSIONATTRS;
  }
}

/** The driver's options as it has parsed them. */
interface DriverOptions {
  socket: unknown;
}

/** The open sockets of each client: the driver has no way to release one. */
const socketsOf = new WeakMap<Client, Socket[]>();

/**
 * Makes a socket for the driver, which then connects it. The driver takes the socket of this option for connected if it
 * finds the option there once more right afterwards.
 */
function makeSocket(parsed: DriverOptions): Socket {
  const { socket: option } = parsed;
  parsed.socket = undefined;
  setImmediate(() => parsed.socket = option);
  return new Socket();
}

/** Lets the process end while the client is open, as long as `isIdle`; a client that has just been opened does not. */
export function setIdle(client: Client, isIdle: boolean): void {
  for (const socket of socketsOf.get(client) ?? []) {
    if (isIdle) socket.unref();
    else socket.ref();
  }
}

/** Ends a client at once: statements without an answer reject. Resolves when the driver has let go of it. */
export function discard(client: Client): Promise<void> {
  controllers.get(client)?.abort();
  // The driver connects on with a socket that it has just got, and leaves a timer for it: closing the socket ends both.
  setImmediate(() => {
    for (const socket of socketsOf.get(client) ?? []) if (socket.readyState === "opening") socket.destroy();
  });
  return client.end({ timeout: 0 }).catch(() => {});
}

/** Whether the driver has written the query to a connection. One that it has not, it keeps for the next connection. */
export function isSent(query: PromiseLike<unknown>): boolean {
  return Boolean((query as { state?: unknown }).state);
}

/** Returns the settings that the server has reported to a client of one connection, by name; poolers report their own. */
export function reportedSettings(client: Client): Readonly<Record<string, string | undefined>> {
  return client.parameters as unknown as Record<string, string | undefined>;
}

/** Returns the server process that the driver was told when it connected: behind a pooler, not the one that answered. */
export function connectedProcessOf(rows: Rows<unknown>): number {
  return (rows as unknown as { state: { pid: number } }).state.pid;
}

/** The SQLSTATE of a login that no line of pg_hba.conf allows, as one without TLS where the server wants TLS. */
const NO_HBA_ENTRY = "28000";

/** Makes the error for an unreachable database: one line, without the driver's stack. */
export function unreachableError(settings: ConnectionSettings, error: unknown): DatabaseUnreachable {
  const reason = error instanceof AggregateError ? error.errors[0] : error;
  const given = (reason as Error | undefined)?.message || codeOf(error);
  // The driver says "write CONNECTION_CLOSED 127.0.0.1:5432", or that the user cancelled a statement it never sent.
  const message = given.replace(/^(write CONNECTION_(CLOSED|DESTROYED|ENDED)|57014:) .*/, "the connection was closed")
    .replace(
      /^Client network socket disconnected before secure TLS .*/,
      "it closed the connection instead of using TLS",
    );
  // The server's words are "no encryption", in its own language.
  const wantsTls = codeOf(reason) === NO_HBA_ENTRY && settings.target.tls === false && !settings.target.path;
  const remedy = wantsTls ? ": sslmode=require asks for TLS, if the server wants it" : "";
  return new DatabaseUnreachable(`Cannot reach the database at ${settings.label}: ${message}${remedy}`, {
    cause: error instanceof OpenError ? error.cause ?? error : error,
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
    const text = strings.join("$");
    check(text);
    if (values.some((value) => value instanceof Promise && !("strings" in value))) {
      throw new FireflyError("Cannot run the statement as it interpolates a promise");
    }
    const site = captureCallSite(sql);
    try {
      return await traceStatement(
        () => ({ text: numberValues(strings), hasLiterals: false }),
        () => run((client) => client(strings, ...values as never[])),
      );
    } catch (error) {
      describeFailure(error, { site, text });
      throw error;
    }
  }
  async function unsafe(text: string, params: unknown[] = []): Promise<unknown[]> {
    check(text);
    // Never the simple protocol: it would accept several statements, a COMMIT among them.
    const options = { prepare: params.length > 0, simple: false } as postgres.UnsafeQueryOptions;
    const site = captureCallSite(unsafe);
    try {
      return await traceStatement(
        () => ({ text, hasLiterals: params.length === 0 }),
        () => run((client) => client.unsafe(text, params as never[], options)),
      );
    } catch (error) {
      describeFailure(error, { site, text });
      throw error;
    }
  }
  return Object.assign(sql, { unsafe }) as Sql;
}

let partsClient: postgres.Sql | undefined;

/** The client that parts of statements are made with. A client connects with its first statement, and this one has none. */
function parts(): postgres.Sql {
  return partsClient ??= makeClient({ host: "localhost", user: "parts" });
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
