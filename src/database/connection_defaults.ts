import { readFile, stat } from "node:fs/promises";
import { homedir, userInfo } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { codeOf } from "./error_codes.ts";
import { type ConnectionParameters, KEYWORDS, refuseSetting } from "./connection_string.ts";

/** Where servers of this machine have their sockets: Debian's place, then PostgreSQL's own. */
const SOCKET_DIRECTORIES = ["/var/run/postgresql", "/tmp"];
const SYSTEM_DIRECTORIES = ["/etc/postgresql-common", "/etc/sysconfig/pgsql", "/usr/local/pgsql/etc"];

/** The variables that name a database if no URL is set, in the order in which messages name them. */
export const DATABASE_VARIABLES = ["PGHOST", "PGHOSTADDR", "PGSERVICE", "PGDATABASE"] as const;

/** The environment, as far as connections depend on it. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Fills what a connection string does not say: from its service, else from the `PG*` variables, as libpq does. */
export async function fillDefaults(found: ConnectionParameters, environment: Environment): Promise<void> {
  const { PGREQUIRESSL, PGSERVICE } = environment;
  const service = found.get("service") ?? PGSERVICE;
  if (found.get("requiressl")?.startsWith("1")) found.fill("sslmode", "require", found.source("requiressl"));
  if (service) await readService(found, { service, environment });
  for (const [keyword, variable] of Object.entries(KEYWORDS)) {
    const value = variable && environment[variable];
    if (value) found.fill(keyword, value, variable);
  }
  if (PGREQUIRESSL?.startsWith("1")) found.fill("sslmode", "require", "PGREQUIRESSL");
  if (found.get("sslrootcert") === "system") found.fill("sslmode", "verify-full", found.source("sslrootcert"));
}

/** Reads the section `[service]` of the user's file, else of the system's. */
async function readService(
  found: ConnectionParameters,
  { service, environment }: { service: string; environment: Environment },
): Promise<void> {
  const { PGSERVICEFILE, PGSYSCONFDIR } = environment;
  const given = found.get("servicefile") ?? PGSERVICEFILE;
  const home = homeOf(environment);
  const own = given ?? (home && join(home, ".pg_service.conf"));
  const directories = PGSYSCONFDIR ? [PGSYSCONFDIR] : SYSTEM_DIRECTORIES;
  for (const file of [own, ...directories.map((directory) => join(directory, "pg_service.conf"))]) {
    const text = file ? await readOptional(file) : undefined;
    if (text === undefined && file !== undefined && file === given) {
      throw refuseSetting(`the service file ${file} cannot be read`);
    }
    const section = text === undefined ? undefined : sectionOf(text, service);
    if (!section) continue;
    for (const [key, value] of section) {
      if (value === undefined || key === "service" || !Object.hasOwn(KEYWORDS, key)) {
        throw refuseSetting(`service "${service}" in ${file} has a line that is not keyword=value of libpq`);
      }
      found.fill(key, value, `"${key}" of service "${service}"`);
    }
    return;
  }
  throw refuseSetting(`no service file defines the service "${service}"`);
}

/** The pairs of the first section `[name]`; undefined if there is none. */
function sectionOf(text: string, name: string): [key: string, value: string | undefined][] | undefined {
  const lines = text.split("\n").map((line) => line.trim()).filter((line) => line && !line.startsWith("#"));
  const start = lines.indexOf(`[${name}]`);
  if (start < 0) return undefined;
  const end = lines.findIndex((line, index) => index > start && line.startsWith("["));
  return lines.slice(start + 1, end < 0 ? undefined : end).map((line) => {
    const at = line.indexOf("=");
    return at < 0 ? [line, undefined] : [line.slice(0, at), line.slice(at + 1)];
  });
}

/** Whom to look up in the password file. */
export interface Login {
  /** The host's name, or the directory of its socket. */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
}

/** Which password file to read. */
export interface PasswordFile {
  /** The file. @default `.pgpass` in the home directory */
  readonly passfile: string | undefined;
  readonly environment: Environment;
  /** Receives a warning if the file is ignored. */
  readonly warn: (text: string) => void;
}

/** Returns the password of the first matching line of the password file, as libpq does; undefined if there is none. */
export async function passwordFromFile(
  { host, port, database, user }: Login,
  { passfile, environment, warn }: PasswordFile,
): Promise<string | undefined> {
  const home = homeOf(environment);
  const isWindows = process.platform === "win32";
  const file = passfile ?? (home && join(home, isWindows ? "pgpass.conf" : ".pgpass"));
  if (!file) return undefined;
  const found = await stat(file).catch(() => undefined);
  if (!found) return undefined;
  if (!found.isFile()) return void warn(`The password file ${file} is ignored as it is not a plain file`);
  if (!isWindows && found.mode & 0o077) {
    return void warn(`The password file ${file} is ignored as others may read it: chmod 0600 ${file}`);
  }
  const wanted = [SOCKET_DIRECTORIES.includes(host) ? "localhost" : host, String(port), database, user];
  for (const line of (await readOptional(file) ?? "").split(/\r?\n/)) {
    if (line.startsWith("#")) continue;
    const parts = splitLine(line);
    if (parts.length < 5) continue;
    if (wanted.every((value, index) => parts[index] === "*" || unescape(parts[index]!) === value)) {
      return unescape(parts[4]!);
    }
  }
}

/** Splits a line at its colons, except at those that have a backslash before them. */
function splitLine(line: string): string[] {
  return Array.from(line.matchAll(/((?:[^:\\]|\\.?)*)(?::|$)/gs), ([, field]) => field!);
}

function unescape(field: string): string {
  return field.replace(/\\(.)/gs, "$1");
}

/** Returns the socket directory of this machine that has a socket for `port`, if there is one. */
export async function findSocketDirectory(port: number): Promise<string | undefined> {
  if (process.platform === "win32") return undefined;
  for (const directory of SOCKET_DIRECTORIES) {
    const found = await stat(join(directory, `.s.PGSQL.${port}`)).catch(() => undefined);
    if (found?.isSocket()) return directory;
  }
}

/** The directory of a user's files; undefined if the process may not know it. */
export function homeOf({ HOME, APPDATA }: Environment): string | undefined {
  if (process.platform === "win32") return APPDATA && join(APPDATA, "postgresql");
  if (HOME) return HOME;
  try {
    return homedir();
  } catch {
    return undefined; // a runtime with permissions denies it
  }
}

/** The name of the operating system's user. */
export function systemUser({ USERNAME, USER, LOGNAME }: Environment): string | undefined {
  try {
    return userInfo().username;
  } catch {
    return USERNAME ?? USER ?? LOGNAME;
  }
}

/** Reads a text file; undefined if there is none that can be read. */
export async function readOptional(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (codeOf(error) || (error as Error).name === "NotCapable") return undefined;
    throw error;
  }
}
