import { readFile, stat } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { codeOf } from "./error_codes.ts";
import { type Environment, homeOf } from "./connection_defaults.ts";
import { type ConnectionParameters, refuseSetting } from "./connection_string.ts";

/** How to use TLS, for the driver: `"prefer"` is TLS where the server offers it; an object has options of `node:tls`. */
export type Tls = false | "prefer" | Readonly<Record<string, unknown>>;

const MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
const VERSIONS = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];

/** Values with which a parameter asks for nothing that this package cannot do. Others are refused, never dropped. */
const SUPPORTED: Readonly<Record<string, { values: readonly string[]; instead: string }>> = {
  channel_binding: { values: ["disable", "prefer", "require"], instead: "use disable, prefer or require" },
  gssencmode: { values: ["disable", "prefer"], instead: "remove it, and use sslmode" },
  require_auth: { values: [], instead: "remove it, and use sslmode=verify-full" },
  requirepeer: { values: [], instead: "remove it" },
  scram_client_key: { values: [], instead: "use a password" },
  scram_server_key: { values: [], instead: "use a password" },
  oauth_issuer: { values: [], instead: "use a password" },
  sslcertmode: { values: ["disable", "allow"], instead: "remove it" },
  sslcrl: { values: [], instead: "remove it" },
  sslcrldir: { values: [], instead: "remove it" },
  sslidentity: { values: [], instead: "use sslcert and sslkey with files in PEM format" },
  sslsni: { values: ["1"], instead: "remove it" },
};

/**
 * Refuses parameters whose promise cannot be kept.
 *
 * @throws {TypeError} If there is one.
 */
export function refuseUnsupported(found: ConnectionParameters): void {
  for (const [keyword, { values, instead }] of Object.entries(SUPPORTED)) {
    const value = found.get(keyword);
    if (value === undefined || values.includes(value)) continue;
    throw refuseSetting(`${found.source(keyword)} asks for something that is not supported: ${instead}`);
  }
}

/** Where a connection goes, as far as TLS depends on it. */
export interface Peers {
  /** The names of the hosts, for the certificate; empty where only an address is known. */
  readonly names: readonly string[];
  /** Whether addresses are given beside the names. */
  readonly hasAddresses: boolean;
}

/**
 * Reads what the parameters say about TLS, and the files that they name.
 *
 * @throws {TypeError} If they ask for something that cannot be done, or if a file cannot be read.
 */
export async function tlsOf(
  found: ConnectionParameters,
  { peers, environment, given }: { peers: Peers; environment: Environment; given: unknown },
): Promise<Tls> {
  if (typeof given === "object" && given !== null) return { ...addressOf(peers), ...given };
  const mode = modeOf(found);
  const [min, max] = [versionOf(found, "ssl_min_protocol_version"), versionOf(found, "ssl_max_protocol_version")];
  const isWeak = ["disable", "allow", "prefer"].includes(mode);
  if (isWeak && found.get("sslnegotiation") === "direct") {
    throw refuseSetting(`${found.source("sslnegotiation")} needs sslmode=require, verify-ca or verify-full`);
  }
  const directory = directoryOf(environment);
  if (mode === "disable" || isWeak && !found.get("sslcert")) return mode === "disable" ? false : "prefer";
  const certificate = await clientCertificate(found, directory);
  const versions = { ...(min ? { minVersion: min } : {}), ...(max ? { maxVersion: max } : {}) };
  const own = { ...certificate, ...versions };
  const root = isWeak || found.get("sslmode") === "no-verify" ? undefined : await rootCertificate(found, directory);
  if (mode === "verify-full") return { ...own, ...(root ? { ca: root } : {}), ...identityOf(peers) };
  if (mode === "verify-ca" && !root) {
    throw refuseSetting(`${found.source("sslmode")} is verify-ca: name the file of the authority with sslrootcert`);
  }
  const names = addressOf(peers);
  // As in libpq, "require" verifies the authority if there is a certificate of one.
  if (!root) return { ...own, ...names, rejectUnauthorized: false };
  return { ...own, ...names, ca: root, checkServerIdentity: () => undefined };
}

/**
 * The mode of TLS. Without `sslmode`, certificates ask for TLS: libpq would fall back to a connection without. The driver
 * has no channel binding: where it is required, the verified name of the server protects from the same, another server
 * in between.
 */
function modeOf(found: ConnectionParameters): string {
  const given = found.get("sslmode");
  if (found.get("channel_binding") === "require") {
    if (given === "disable" || given === "allow") {
      throw refuseSetting(`${found.source("channel_binding")} is require, which sslmode=${given} excludes`);
    }
    return "verify-full";
  }
  const isStrict = found.get("sslaccept") === "strict"; // Prisma's
  if (isStrict && (given === undefined || given === "require")) return "verify-full";
  if (given === undefined) {
    if (found.get("sslrootcert")) return "verify-ca";
    return found.get("sslcert") || found.get("sslnegotiation") === "direct" ? "require" : "disable";
  }
  if (given === "no-verify") return "require"; // node-postgres's
  if (!MODES.includes(given)) throw refuseSetting(`${found.source("sslmode")} must be one of ${MODES.join(", ")}`);
  if (found.get("sslrootcert") === "system" && given !== "verify-full") {
    throw refuseSetting(`${found.source("sslrootcert")} is "system", which needs sslmode=verify-full`);
  }
  return given;
}

function versionOf(found: ConnectionParameters, keyword: string): string | undefined {
  const given = found.get(keyword);
  const version = VERSIONS.find((version) => version.toLowerCase() === given?.toLowerCase());
  if (given && !version) throw refuseSetting(`${found.source(keyword)} must be one of ${VERSIONS.join(", ")}`);
  // The runtimes speak 1.2 and newer anyway.
  return version === "TLSv1" || version === "TLSv1.1" ? undefined : version;
}

/**
 * What the certificate must name. Of an address, the driver tells `node:tls` nothing, which then takes a certificate for
 * "localhost".
 */
function identityOf({ names, hasAddresses }: Peers): object {
  const [name = "", ...more] = names;
  if (more.length > 0) {
    if (!hasAddresses && !names.some((each) => isIP(each))) return {};
    throw refuseSetting(
      "sslmode=verify-full cannot verify several hosts that are given as addresses: give their names",
    );
  }
  if (!name) throw refuseSetting("sslmode=verify-full needs the name of the host: give host as well as hostaddr");
  return addressOf({ names, hasAddresses });
}

/** What `node:tls` takes for the name of a single host that is an address, or that has one beside it. */
function addressOf({ names: [name = "", ...more], hasAddresses }: Peers): object {
  if (more.length > 0 || !name) return {};
  if (isIP(name)) return { host: name };
  return hasAddresses ? { servername: name } : {};
}

/** Where libpq looks for files that no parameter names. */
function directoryOf(environment: Environment): string | undefined {
  const home = homeOf(environment);
  return home && process.platform !== "win32" ? join(home, ".postgresql") : home;
}

async function rootCertificate(
  found: ConnectionParameters,
  directory: string | undefined,
): Promise<string | undefined> {
  const given = found.get("sslrootcert");
  if (given === "system") return undefined;
  if (given) return await readGiven(found, "sslrootcert", given);
  if (!directory) return undefined;
  if (await exists(join(directory, "root.crl"))) {
    throw refuseSetting(`${join(directory, "root.crl")} has revoked certificates, which is not supported`);
  }
  return await exists(join(directory, "root.crt")) ? await readFile(join(directory, "root.crt"), "utf8") : undefined;
}

async function clientCertificate(found: ConnectionParameters, directory: string | undefined): Promise<object> {
  if (found.get("sslcertmode") === "disable") return {};
  const given = found.get("sslcert");
  const file = given ?? (directory && join(directory, "postgresql.crt"));
  if (!file || !given && !await exists(file)) {
    if (found.get("sslkey")) throw refuseSetting(`${found.source("sslkey")} needs sslcert as well`);
    return {};
  }
  const keyFile = found.get("sslkey") ?? (directory && join(directory, "postgresql.key"));
  if (!keyFile) throw refuseSetting(`${found.source("sslcert")} needs sslkey as well`);
  const cert = await readGiven(found, "sslcert", file);
  const key = await readGiven(found, "sslkey", keyFile);
  await checkKeyFile(keyFile);
  const passphrase = found.get("sslpassword");
  return { cert, key, ...(passphrase ? { passphrase } : {}) };
}

/** A key that others can read is no proof of who one is. Of a file of root, the group may: it may be mounted so. */
async function checkKeyFile(file: string): Promise<void> {
  if (process.platform === "win32") return;
  const { mode, uid } = await stat(file);
  if (!(mode & (uid === 0 ? 0o037 : 0o077))) return;
  throw refuseSetting(`others may read the key ${file}: chmod 0600 ${file}`);
}

async function readGiven(found: ConnectionParameters, keyword: string, file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw refuseSetting(
      `the file of ${found.source(keyword)} cannot be read (${codeOf(error) || (error as Error).name}): ${file}`,
    );
  }
}

async function exists(file: string): Promise<boolean> {
  return await stat(file).then((found) => found.isFile(), () => false);
}
