import { isIP } from "node:net";
import process from "node:process";
import { refuseUnknownKeys } from "../suggest.ts";
import {
  type Environment,
  fillDefaults,
  findSocketDirectory,
  type Login,
  type PasswordFile,
  passwordFromFile,
  systemUser,
} from "./connection_defaults.ts";
import { ConnectionParameters, parseConnectionString, refuse, refuseSetting } from "./connection_string.ts";
import type { PooledSetup } from "./session_settings.ts";
import { refuseUnsupported, type Tls, tlsOf } from "./tls.ts";

/** How to reach a database, field by field, in place of a URL. What it leaves out, the `PG*` variables say. */
export interface PostgresOptions {
  /** The host; a path is the directory of the server's socket. @default "localhost" */
  host?: string;
  /** The port. @default 5432 */
  port?: number;
  /** The database. @default the user's name */
  database?: string;
  /** The user. @default the operating system's */
  username?: string;
  /**
   * The password, or a function that fetches it: it is called for each new connection. If it throws, rejects, or takes
   * longer than 10 s, the database counts as unreachable.
   *
   * @default that of the password file `~/.pgpass`
   */
  password?: string | (() => string | Promise<string>);
  /**
   * Whether and how to use TLS: true verifies the server's certificate, an object has options of `node:tls`, and the
   * texts are those of libpq's `sslmode`.
   *
   * @default false
   */
  ssl?: boolean | "disable" | "allow" | "prefer" | "require" | "verify-ca" | "verify-full" | object;
  /**
   * Whether statements are prepared once a connection. False says, too, that a transaction pooler stands in between.
   *
   * @default true, unless a pooler is found in between
   */
  prepare?: boolean;
  /** How many connections short statements may share; transactions have their own. @default 4 */
  max?: number;
}

const OPTION_NAMES = ["host", "port", "database", "username", "password", "ssl", "prepare", "max"];
/** What other clients call the same. */
const OTHER_NAMES = {
  user: "username",
  dbname: "database",
  db: "database",
  pass: "password",
  hostname: "host",
  sslmode: "ssl",
  tls: "ssl",
};
const SESSION_ATTRIBUTES = ["any", "read-write", "read-only", "primary", "standby", "prefer-standby"];

/** Where and how to connect, for the driver: complete, so that it reads no environment of its own. */
export interface Target {
  readonly hosts: readonly string[];
  readonly ports: readonly number[];
  /** The socket, in place of hosts and ports. */
  readonly path?: string;
  readonly database: string;
  readonly user: string;
  readonly password: string | (() => string | Promise<string>);
  readonly tls: Tls;
  /** Whether TLS begins without asking the server for it. */
  readonly isDirectTls?: boolean;
  /** Seconds that connecting may take. */
  readonly connectTimeout?: number;
  /** Which of several hosts to take. */
  readonly sessionAttributes?: string;
  /** Settings that each connection starts with. */
  readonly settings: Readonly<Record<string, string>>;
}

/** How to connect to the database that was chosen. */
export interface ConnectionSettings {
  /** The URL as it was given, if there is one. */
  readonly url?: string;
  /** Options in its place, and those that concern pools. */
  readonly options: PostgresOptions;
  /** Where and how to connect. */
  readonly target: Target;
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

/**
 * Reads a URL, a keyword/value string or options as libpq does: `PG*` variables, a service and the password file say what
 * is left out. Without an argument, they say all of it.
 *
 * @throws {TypeError} If it cannot be used. The message has no part of a password.
 */
export async function resolveConnection(
  given: string | PostgresOptions = {},
  { embedded = false, environment = embedded ? {} : process.env, warn = () => {} }: {
    embedded?: boolean;
    environment?: Environment;
    warn?: (text: string) => void;
  } = {},
): Promise<ConnectionSettings> {
  const options = typeof given === "object" ? given : {};
  const found = typeof given === "object" ? fromOptions(given) : parseConnectionString(given);
  const isLocal = Object.keys(options).length > 0; // whose default is "localhost", and not a socket as that of URLs
  await fillDefaults(found, environment);
  refuseUnsupported(found);
  const { names, hosts, ports, path } = await placesOf(found, { isLocal });
  const user = found.get("user") ?? systemUser(environment);
  if (!user) throw refuseSetting("no user is named");
  const database = found.get("dbname") ?? user;
  const peers = { names, hasAddresses: found.get("hostaddr") !== undefined };
  const tls = await tlsOf(found, { peers, environment, given: options.ssl });
  const stored = found.get("password");
  const look = { passfile: found.get("passfile"), environment, warn };
  const logins = (path ? names.slice(0, 1) : names).map((name, index) => {
    return { host: name || hosts[index]!, port: ports[index]!, database, user };
  });
  const password = typeof options.password === "function"
    ? options.password
    : stored ?? await commonPassword(logins, look);
  const timeout = integerOf(found, "connect_timeout") ?? 0;
  const attributes = found.get("target_session_attrs");
  if (attributes && !SESSION_ATTRIBUTES.includes(attributes)) {
    throw refuseSetting(`${found.source("target_session_attrs")} must be one of ${SESSION_ATTRIBUTES.join(", ")}`);
  }
  // Of several hosts, connect to the one that takes writes; "read-write" would accept a standby.
  const wanted = attributes ?? (hosts.length > 1 ? "primary" : undefined);
  const isUnprepared = options.prepare === false || found.get("prepare") === "false" ||
    found.get("pgbouncer") === "true";
  return {
    ...(typeof given === "string" ? { url: given } : {}),
    options,
    target: {
      hosts,
      ports,
      ...(path ? { path } : {}),
      database,
      user,
      password: password ?? "",
      tls: path ? false : tls, // as in libpq: a socket has none
      ...(found.get("sslnegotiation") === "direct" ? { isDirectTls: true } : {}),
      ...(timeout > 0 ? { connectTimeout: Math.max(2, timeout) } : {}),
      ...(wanted ? { sessionAttributes: wanted } : {}),
      settings: settingsOf(found),
    },
    embedded,
    pooled: isUnprepared,
    label: printable(`${labelOf(path ? names[0]! : names[0] || hosts[0]!)}:${ports[0]}/${database}`),
  };
}

/**
 * Checks options that stand in place of a URL.
 *
 * @throws {TypeError | RangeError} If one is unknown or wrong. The message has no part of the password.
 */
export function checkPostgresOptions(options: PostgresOptions, action: string): void {
  for (const [other, name] of Object.entries(OTHER_NAMES)) {
    if (other in options) {
      throw new TypeError(`Cannot ${action} as there is no option "${other}", did you mean "${name}"?`);
    }
  }
  refuseUnknownKeys(options, OPTION_NAMES, action);
  for (const name of ["host", "database", "username"] as const) {
    if (options[name] === undefined || typeof options[name] === "string") continue;
    throw new TypeError(`Cannot ${action} as "${name}" must be a text`);
  }
  const { port, max, password } = options;
  if (port !== undefined && !isPort(port)) {
    throw new RangeError(`Cannot ${action} as "port" must be an integer from 1 to 65535: current value is ${port}`);
  }
  if (max !== undefined && !(Number.isInteger(max) && max > 0)) {
    throw new RangeError(`Cannot ${action} as "max" must be a positive integer: current value is ${max}`);
  }
  if (password !== undefined && typeof password !== "string" && typeof password !== "function") {
    throw new TypeError(`Cannot ${action} as "password" must be a text, or a function that returns one`);
  }
}

function fromOptions(options: PostgresOptions): ConnectionParameters {
  checkPostgresOptions(options, "use the database");
  const { host, port, database, username, password, ssl } = options;
  const found = new ConnectionParameters();
  const fields = { host, port, dbname: database, user: username };
  for (const [keyword, value] of Object.entries(fields)) if (value) found.set(keyword, String(value));
  if (typeof password === "string") found.set("password", password);
  if (typeof ssl === "boolean") found.set("sslmode", ssl ? "verify-full" : "disable", '"ssl"');
  if (typeof ssl === "string") found.set("sslmode", ssl, '"ssl"');
  return found;
}

/** The places to connect to. `names` are those that certificates and password files have. */
interface Places {
  readonly names: readonly string[];
  readonly hosts: readonly string[];
  readonly ports: readonly number[];
  readonly path?: string;
}

async function placesOf(found: ConnectionParameters, { isLocal }: { isLocal: boolean }): Promise<Places> {
  const addresses = found.get("hostaddr")?.split(",");
  if (addresses?.some((address) => address && !isIP(address))) {
    throw refuseSetting(`${found.source("hostaddr")} is not an address`);
  }
  const names = found.get("host")?.split(",") ?? addresses?.map(() => "") ?? [""];
  if (addresses && addresses.length !== names.length) {
    throw refuseSetting(`${found.source("hostaddr")} must have as many addresses as there are hosts`);
  }
  const given = (found.get("port") ?? "").split(",").map((port) => port.trim() || "5432");
  if (given.length !== names.length && given.length !== 1) {
    throw refuseSetting(`${found.source("port")} must have one port, or as many as there are hosts`);
  }
  const ports = names.map((_, index) => portOf(given[index] ?? given[0]!));
  const defaults = isLocal || isTlsWanted(found) ? undefined : await findSocketDirectory(ports[0]!);
  const filled = names.map((name, index) => name || addresses?.[index] ? name : defaults ?? "localhost");
  const sockets = addresses ? [] : filled.filter((name) => /^[/@]|^[a-z]:\\/i.test(name));
  if (sockets.length === 0) return { names: filled, hosts: filled.map((name, i) => addresses?.[i] || name), ports };
  if (filled.length > 1) throw refuseSetting("a socket cannot be one of several hosts");
  if (sockets[0]!.startsWith("@")) throw refuseSetting("abstract sockets are not supported: use one with a path");
  return {
    names: filled,
    hosts: ["localhost"],
    ports,
    path: `${sockets[0]!.replace(/(.)\/+$/, "$1")}/.s.PGSQL.${ports[0]}`,
  };
}

/** Whether it asks for TLS, which a socket does not have. */
function isTlsWanted(found: ConnectionParameters): boolean {
  return /^(require|verify|no-verify)/.test(found.get("sslmode") ?? "");
}

function portOf(text: string): number {
  if (/^\d{1,5}$/.test(text) && isPort(Number(text))) return Number(text);
  // It may be the first part of a password in which "/" is not encoded.
  throw refuse('its port is no number from 1 to 65535: write "/", "@" and ":" in a password as %2F, %40 and %3A');
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}

function integerOf(found: ConnectionParameters, keyword: string): number | undefined {
  const text = found.get(keyword)?.trim();
  if (text === undefined) return undefined;
  if (!/^[+-]?\d{1,9}$/.test(text)) throw refuseSetting(`${found.source(keyword)} must be a number of seconds`);
  return Number(text);
}

/** Looks up the password of each host. The driver knows one only. */
async function commonPassword(
  logins: readonly Login[],
  look: PasswordFile,
): Promise<string | undefined> {
  const passwords = new Set<string | undefined>();
  for (const login of logins) passwords.add(await passwordFromFile(login, look));
  if (passwords.size > 1) {
    throw refuseSetting("the password file has different passwords for its hosts, which is not supported");
  }
  return [...passwords][0];
}

/** `application_name` may be given in three places; the rest are parameters that only the server knows. */
function settingsOf(found: ConnectionParameters): Record<string, string> {
  const options = found.get("options");
  const name = found.get("application_name") ?? found.get("fallback_application_name") ?? "firefly";
  return { ...found.settings, ...(options ? { options } : {}), application_name: name };
}

function labelOf(host: string): string {
  return isIP(host) === 6 ? `[${host}]` : host;
}

/** Replaces characters that would break a line or color a terminal. */
function printable(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, "�");
}
