import { didYouMean } from "../suggest.ts";

/**
 * The keywords of libpq, each with the environment variable that fills it where a connection string does not say;
 * `undefined` where there is none.
 */
export const KEYWORDS: Readonly<Record<string, string | undefined>> = {
  application_name: "PGAPPNAME",
  channel_binding: "PGCHANNELBINDING",
  client_encoding: "PGCLIENTENCODING",
  connect_timeout: "PGCONNECT_TIMEOUT",
  dbname: "PGDATABASE",
  fallback_application_name: undefined,
  gssdelegation: "PGGSSDELEGATION",
  gssencmode: "PGGSSENCMODE",
  gsslib: "PGGSSLIB",
  host: "PGHOST",
  hostaddr: "PGHOSTADDR",
  keepalives: undefined,
  keepalives_count: undefined,
  keepalives_idle: undefined,
  keepalives_interval: undefined,
  krbsrvname: "PGKRBSRVNAME",
  load_balance_hosts: "PGLOADBALANCEHOSTS",
  max_protocol_version: "PGMAXPROTOCOLVERSION",
  min_protocol_version: "PGMINPROTOCOLVERSION",
  oauth_client_id: undefined,
  oauth_client_secret: undefined,
  oauth_issuer: undefined,
  oauth_scope: undefined,
  options: "PGOPTIONS",
  passfile: "PGPASSFILE",
  password: "PGPASSWORD",
  port: "PGPORT",
  replication: undefined,
  require_auth: "PGREQUIREAUTH",
  requirepeer: "PGREQUIREPEER",
  requiressl: undefined,
  scram_client_key: undefined,
  scram_server_key: undefined,
  service: "PGSERVICE",
  servicefile: undefined,
  ssl_max_protocol_version: "PGSSLMAXPROTOCOLVERSION",
  ssl_min_protocol_version: "PGSSLMINPROTOCOLVERSION",
  sslcert: "PGSSLCERT",
  sslcertmode: "PGSSLCERTMODE",
  sslcompression: "PGSSLCOMPRESSION",
  sslcrl: "PGSSLCRL",
  sslcrldir: "PGSSLCRLDIR",
  sslkey: "PGSSLKEY",
  sslkeylogfile: undefined,
  sslmode: "PGSSLMODE",
  sslnegotiation: "PGSSLNEGOTIATION",
  sslpassword: undefined,
  sslrootcert: "PGSSLROOTCERT",
  sslsni: "PGSSLSNI",
  target_session_attrs: "PGTARGETSESSIONATTRS",
  tcp_user_timeout: undefined,
  user: "PGUSER",
};

/** ConnectionParameters that other clients put into URLs, and that a PostgreSQL server rejects as unknown settings. */
const FOREIGN = [
  "backoff",
  "connection_limit",
  "debug",
  "fetch_types",
  "idle_timeout",
  "keep_alive",
  "max",
  "max_lifetime",
  "max_pipeline",
  "pgbouncer",
  "pool_timeout",
  "prepare",
  "prepared_statements",
  "publications",
  "schema",
  "socket_timeout",
  "sslaccept",
  "sslidentity",
  "statement_cache_size",
  "supa",
  "uselibpqcompat",
];

/** What a connection string says, each value with where it stands. */
export class ConnectionParameters {
  readonly #values = new Map<string, { value: string; source: string }>();
  /** Settings of the server: parameters that neither libpq nor other clients know. */
  readonly settings: Record<string, string> = {};

  /** Returns a value, if there is one that is not empty. */
  get(keyword: string): string | undefined {
    return this.#values.get(keyword)?.value || undefined;
  }

  /** Returns where a value comes from, for messages: `"sslmode"`, or `PGSSLMODE`. */
  source(keyword: string): string {
    return this.#values.get(keyword)?.source ?? `"${keyword}"`;
  }

  /** Sets a value. The last one wins, as in libpq. */
  set(keyword: string, value: string, source = `"${keyword}"`): void {
    this.#values.set(keyword, { value, source });
  }

  /** Sets a value unless there is one. */
  fill(keyword: string, value: string, source: string): void {
    if (this.get(keyword) === undefined) this.set(keyword, value, source);
  }
}

/** Makes the error for a connection string. The reason must quote nothing of it that could be part of a password. */
export function refuse(reason: string): TypeError {
  return new TypeError(`Cannot use the database URL as ${reason}`);
}

/** Makes the error for one setting, wherever it comes from. The reason begins with its source. */
export function refuseSetting(reason: string): TypeError {
  return new TypeError(`Cannot connect to the database as ${reason}`);
}

const ESCAPES =
  'write "@", "/", "?", "#", ":" and "%" in a user, password or database as %40, %2F, %3F, %23, %3A and %25';

/**
 * Parses a URL or a keyword/value string (`host=db dbname=app`) as libpq does.
 *
 * @throws {TypeError} If it is neither. The message has no part of it.
 */
export function parseConnectionString(text: string): ConnectionParameters {
  const trimmed = text.trim(); // a secret that is mounted as a file ends with a newline
  const [prefix] = /^postgres(?:ql)?:\/\//.exec(trimmed) ?? [];
  if (prefix) return parseUrl(trimmed.slice(prefix.length));
  const [, keyword] = /^([a-z_]+)\s*=/.exec(trimmed) ?? [];
  if (keyword !== undefined && Object.hasOwn(KEYWORDS, keyword)) return parseKeywords(trimmed);
  if (!trimmed) throw refuse("it is empty");
  throw refuse("it is not of the form postgres://user@host:port/database");
}

/** The hosts and ports of a URL: comma-separated, addresses of IPv6 in brackets. */
const HOSTS = /^(?:(\[[^\]]+\]|[^:/?,[]*)(:[^/?,]*)?)(?:,|(?=[/?]|$))/;

function parseUrl(text: string): ConnectionParameters {
  const found = new ConnectionParameters();
  // As in libpq, the first "@" ends the password, unless a "/" comes before it.
  const [, credentials] = /^([^@/]*)@/.exec(text) ?? [];
  let rest = text;
  if (credentials !== undefined) {
    // libpq takes host?user=me@tenant for the user "host?user=me" of the host "tenant", and a password for a host.
    const [, keyword = ""] = /[?&]([a-z_]+)=/.exec(credentials) ?? [];
    if (Object.hasOwn(KEYWORDS, keyword)) throw refuse(`it has an "@" in a parameter: ${ESCAPES}`);
    rest = text.slice(credentials.length + 1);
    const [, user = "", password = ""] = /^([^:]*):?(.*)$/s.exec(credentials)!;
    if (user) found.set("user", decode(user, "user"));
    if (password) found.set("password", decode(password, "password"));
  }
  const hosts: string[] = [];
  const ports: string[] = [];
  for (let more = true; more;) {
    const match = HOSTS.exec(rest);
    if (!match) throw refuse(`its host cannot be told from its password: ${ESCAPES}`);
    hosts.push(match[1]!.replace(/^\[(.*)\]$/, "$1"));
    ports.push(match[2]?.slice(1) ?? "");
    rest = rest.slice(match[0].length);
    more = match[0].endsWith(",");
  }
  const at = rest.indexOf("?");
  const [path, query] = at < 0 ? [rest, ""] : [rest.slice(0, at), rest.slice(at + 1)];
  // What is left of a password in which "/" or "@" is not encoded must not be shown as a host or a database.
  if (hosts.some((host) => host.includes("@")) || path.includes("@")) {
    throw refuse(`it has more than one "@": ${ESCAPES}`);
  }
  if (hosts.some(Boolean)) found.set("host", decode(hosts.join(","), "host"));
  if (ports.some(Boolean)) found.set("port", decode(ports.join(","), "port"));
  if (path.length > 1) found.set("dbname", decode(path.slice(1), "database"));
  for (const pair of query.split("&").filter(Boolean)) parsePair(found, pair);
  return found;
}

function parsePair(found: ConnectionParameters, pair: string): void {
  const [, name, value] = /^([^=]*)=(.*)$/s.exec(pair) ?? [];
  if (name === undefined || value === undefined) throw refuse(`a parameter has no "=": ${ESCAPES}`);
  const keyword = decode(name, "parameter");
  const decoded = decode(value, Object.hasOwn(KEYWORDS, keyword) ? `parameter "${keyword}"` : "parameter");
  if (keyword === "ssl") return setSsl(found, decoded);
  if (Object.hasOwn(KEYWORDS, keyword) || FOREIGN.includes(keyword)) return found.set(keyword, decoded);
  if (value.includes("@") || !/^[a-z_][\w.$]*$/i.test(keyword)) throw refuse(`a parameter is unknown: ${ESCAPES}`);
  // A misspelled "sslmode" must not become a setting that a pooler ignores.
  if (/^(ssl|tls|gss|require|channel)/i.test(keyword)) {
    throw refuse(`there is no parameter "${keyword}"${didYouMean(keyword, Object.keys(KEYWORDS))}`);
  }
  found.settings[keyword] = decoded;
}

/** `ssl` is a parameter of other clients; libpq takes `ssl=true` for `sslmode=require`. */
function setSsl(found: ConnectionParameters, value: string): void {
  const modes: Record<string, string> = { true: "require", "1": "require", false: "disable", "0": "disable" };
  found.set("sslmode", Object.hasOwn(modes, value) ? modes[value]! : value, '"ssl"');
}

/** Decodes `%40` and the like. Unlike in a form, "+" is a plus. */
function decode(text: string, what: string): string {
  if (/%(?![0-9a-f]{2})/i.test(text)) throw refuse(`its ${what} has a "%" that is not encoded: write it as %25`);
  if (text.includes("%00")) throw refuse(`its ${what} has a NUL character`);
  try {
    return decodeURIComponent(text);
  } catch {
    throw refuse(`its ${what} is not UTF-8 once it is decoded: write "%" as %25`);
  }
}

/** Parses `host=db password='with space'`: in quotes and out of them, a backslash stands before a quote or a backslash. */
function parseKeywords(text: string): ConnectionParameters {
  const found = new ConnectionParameters();
  const pair = /\s*([^\s=]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'(?=\s|$)|((?:[^\s'\\]|\\.)(?:[^\s\\]|\\.)*|(?=\s|$)))\s*/sy;
  while (pair.lastIndex < text.length) {
    const [, keyword, quoted, plain = ""] = pair.exec(text) ?? [];
    // No part of it is quoted here, as it may be the second word of a password.
    if (keyword === undefined || !Object.hasOwn(KEYWORDS, keyword)) {
      throw refuse(`it is not of the form "host=… dbname=…": put values with spaces in single quotes`);
    }
    found.set(keyword, (quoted ?? plain).replace(/\\(.)/gs, "$1"));
  }
  return found;
}
