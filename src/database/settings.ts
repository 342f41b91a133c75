import process from "node:process";
import type { PooledSetup } from "./session_settings.ts";

/** How to reach a database, field by field, in place of a URL. */
export interface PostgresOptions {
  /** The host. @default "localhost" */
  host?: string;
  /** The port. @default 5432 */
  port?: number;
  /** The database. @default the user's name */
  database?: string;
  /** The user. @default the operating system's */
  username?: string;
  /** The password, or a function that fetches it. */
  password?: string | (() => string | Promise<string>);
  /** Whether and how to use TLS. @default false */
  ssl?: boolean | "require" | "allow" | "prefer" | "verify-full" | object;
  /**
   * Whether statements are prepared once a connection. False says, too, that a transaction pooler stands in between.
   *
   * @default true, unless a pooler is found in between
   */
  prepare?: boolean;
  /** How many connections short statements may share; transactions have their own. @default 4 */
  max?: number;
}

/** How to connect to the database that was chosen. */
export interface ConnectionSettings {
  /** The URL, if there is one. */
  readonly url?: string;
  /** Options in addition to the URL, or in its place. */
  readonly options: PostgresOptions;
  /** Whether this is Firefly's own server. */
  readonly embedded: boolean;
  /** Whether there is a pooler in between, which may run each transaction on another connection of the server. */
  readonly pooled?: boolean;
  /** What connections need in addition, as the server was found to have it; see `Database.open`. */
  readonly found?: {
    /** More parameters that connections for Firefly's own statements start with. */
    readonly parameters?: Readonly<Record<string, string>>;
    /** The statements that set what a pooler keeps connections from starting with. */
    readonly setup?: PooledSetup;
  };
  /** The address without credentials, for messages: `127.0.0.1:5432/app`. */
  readonly label: string;
}

/** Parameters that other clients put into URLs, and that a PostgreSQL server rejects as unknown settings. */
const FOREIGN_PARAMETERS = [
  "channel_binding",
  "connection_limit",
  "fallback_application_name",
  "gssdelegation",
  "gssencmode",
  "gsslib",
  "hostaddr",
  "keepalives",
  "keepalives_count",
  "keepalives_idle",
  "keepalives_interval",
  "krbsrvname",
  "load_balance_hosts",
  "max_protocol_version",
  "min_protocol_version",
  "passfile",
  "pgbouncer",
  "pool_timeout",
  "prepared_statements",
  "replication",
  "require_auth",
  "requirepeer",
  "requiressl",
  "schema",
  "service",
  "servicefile",
  "socket_timeout",
  "ssl_max_protocol_version",
  "ssl_min_protocol_version",
  "sslaccept",
  "sslcert",
  "sslcertmode",
  "sslcompression",
  "sslcrl",
  "sslcrldir",
  "sslidentity",
  "sslkey",
  "sslkeylogfile",
  "sslpassword",
  "sslrootcert",
  "sslsni",
  "statement_cache_size",
  "supa",
  "tcp_user_timeout",
  "uselibpqcompat",
];

/**
 * Decides on the database: the given one, else `FIREFLY_DATABASE_URL`, `DATABASE_URL`, or `PGHOST` and the other
 * `PG*` variables, else the server that `startServer` starts.
 *
 * @throws {TypeError} If it is not a database URL.
 */
export async function resolveConnection(given: string | PostgresOptions): Promise<ConnectionSettings>;
export async function resolveConnection(
  given: string | PostgresOptions | undefined,
  startServer: StartServer,
): Promise<ConnectionSettings>;
export async function resolveConnection(
  given: string | PostgresOptions | undefined,
  startServer?: StartServer,
): Promise<ConnectionSettings> {
  if (typeof given === "object") {
    return { options: given, embedded: false, pooled: given.prepare === false, label: labelOf(given) };
  }
  const url = given ?? (process.env.FIREFLY_DATABASE_URL || process.env.DATABASE_URL);
  if (url) return settingsOf(url, false);
  if (process.env.PGHOST) return { options: {}, embedded: false, label: labelOf({}) };
  const server = await startServer!();
  return settingsOf(server.url, true);
}

/** Starts the server that is used where no database is configured. */
type StartServer = () => Promise<{ readonly url: string }>;

function settingsOf(text: string, embedded: boolean): ConnectionSettings {
  const firstHost = text.replace(/^(postgres(?:ql)?:\/\/(?:[^@/]*@)?)([^/?,]*),[^/?]*/, "$1$2"); // URL knows one host only
  if (!/^postgres(ql)?:\/\//.test(text) || !URL.canParse(firstHost)) {
    throw new TypeError(`Cannot use the database URL as it is not of the form postgres://user@host:port/database`);
  }
  const { hostname, port, pathname } = new URL(firstHost);
  return {
    url: withoutForeignParameters(text),
    options: {},
    embedded,
    pooled: /[?&]pgbouncer=true(&|$)/.test(text),
    label: `${hostname || "localhost"}:${port || 5432}${pathname}`,
  };
}

/** Removes the parameters of a URL that only other clients know. */
export function withoutForeignParameters(url: string): string {
  const [base, query] = url.split("?", 2);
  if (query === undefined) return url;
  const pairs = query.split("&");
  const kept = pairs.filter((pair) => !FOREIGN_PARAMETERS.includes(pair.split("=", 1)[0]!));
  // In libpq this means: verify, with the system's roots. The driver understands it, but also sends it to the server.
  if (pairs.includes("sslrootcert=system")) kept.push("sslmode=verify-full");
  return kept.length ? `${base}?${kept.join("&")}` : base!;
}

function labelOf(options: PostgresOptions): string {
  const { PGHOST, PGPORT, PGDATABASE, PGUSER } = process.env;
  const database = options.database ?? PGDATABASE ?? options.username ?? PGUSER ?? "";
  return `${options.host ?? PGHOST ?? "localhost"}:${options.port ?? PGPORT ?? 5432}/${database}`;
}
