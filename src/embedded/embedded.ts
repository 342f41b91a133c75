import { randomBytes } from "node:crypto";
import * as fs from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { EmbeddedServerError } from "../errors.ts";
import type { Binaries, OnProgress } from "./installed_binaries.ts";
import { exists, makeDirectory, OLDEST_MAJOR } from "./installed_binaries.ts";
import { runPostgres, serverUser } from "./installed_binaries.ts";
import { type BinarySource, findBinaries } from "./npm_binaries.ts";
import { findPostmaster, logFileOf, readText } from "./server.ts";
import { startPostmaster, stopPostmaster } from "./server.ts";

const PASSWORD_FILE = "firefly.password";

/** Settings of {@linkcode startEmbedded}, {@linkcode stopEmbedded} and {@linkcode embeddedStatus}. */
export interface EmbeddedOptions {
  /**
   * The directory of the server and its data.
   *
   * @default `FIREFLY_HOME`, else `/var/lib/firefly` for root and `~/.firefly` for everybody else
   */
  home?: string;
  /** Is told what takes a while: fetching the binaries, creating the data directory, starting. */
  onProgress?: OnProgress;
  /** Where the binaries come from, for tests. */
  binaries?: BinarySource;
}

/** The running embedded server. */
export interface EmbeddedServer {
  /** Opens the server's database, as its superuser: it contains the password. */
  url: string;
  /** The major version of PostgreSQL, such as `"18"`. */
  version: string;
  /** Where the data are. */
  dataDirectory: string;
  /** The number of the server's main process. */
  pid: number;
}

/** What {@linkcode embeddedStatus} found. */
export interface EmbeddedStatus {
  /** Whether the server runs and accepts connections. */
  running: boolean;
  /** Opens the server's database, when it runs: it contains the password. */
  url?: string;
  /** The number of the server's main process, when it runs. */
  pid?: number;
  /** The port on 127.0.0.1, when it runs. */
  port?: number;
  /** The major version of PostgreSQL, when there is a data directory. */
  version?: string;
  /** The directory of the server, its data and its binaries. */
  home: string;
  /** Where the data are, or would be. */
  dataDirectory: string;
  /** What the server had to say. */
  logFile: string;
}

interface Directories {
  home: string;
  dataDirectory: string;
}

/**
 * Starts the embedded PostgreSQL, or finds it running: any number of processes
 * may call this at once, and share one server. It listens on 127.0.0.1 alone,
 * and outlives them until {@linkcode stopEmbedded}.
 *
 * @throws {EmbeddedServerError} when no binaries are found for this machine, or
 * the server does not start
 */
export async function startEmbedded(
  options: EmbeddedOptions = {},
): Promise<EmbeddedServer> {
  const { home, dataDirectory } = resolveOptions(options);
  const { onProgress = () => {}, binaries: source } = options;
  try {
    let postmaster = await findPostmaster(dataDirectory);
    if (!postmaster?.isReady) {
      await prepareHome(home);
      const version = await readVersion(dataDirectory);
      const binaries = await findBinaries(source ?? { directory: home }, {
        major: version === undefined ? undefined : Number(version),
        onProgress,
      });
      const setup = { binaries, onProgress };
      if (version === undefined) await createData(dataDirectory, setup);
      await checkData(dataDirectory);
      if (await readVersion(dataDirectory) !== String(binaries.major)) {
        return await startEmbedded(options); // made by another process, with its own binaries
      }
      postmaster = await startPostmaster(dataDirectory, setup);
    }
    return {
      url: await readUrl(dataDirectory, postmaster.port),
      version: await readVersion(dataDirectory) ?? "",
      dataDirectory,
      pid: postmaster.pid,
    };
  } catch (error) {
    throw explain(error as Error, "start");
  }
}

/**
 * Stops the embedded PostgreSQL: transactions that are open roll back.
 *
 * @return false when none was running
 * @throws {EmbeddedServerError} when it does not stop
 */
export async function stopEmbedded(
  options: EmbeddedOptions = {},
): Promise<boolean> {
  const { dataDirectory } = resolveOptions(options);
  try {
    if (!await findPostmaster(dataDirectory)) return false;
    await stopPostmaster(dataDirectory);
    return true;
  } catch (error) {
    throw explain(error as Error, "stop");
  }
}

/**
 * Looks whether the embedded PostgreSQL runs; never starts or creates anything.
 *
 * @throws {EmbeddedServerError} when its data directory is another user's
 */
export async function embeddedStatus(
  options: EmbeddedOptions = {},
): Promise<EmbeddedStatus> {
  const { home, dataDirectory } = resolveOptions(options);
  const logFile = logFileOf(dataDirectory);
  const status = { running: false, home, dataDirectory, logFile };
  try {
    const version = await readVersion(dataDirectory);
    if (version === undefined) return status;
    const postmaster = await findPostmaster(dataDirectory);
    if (!postmaster?.isReady) return { ...status, version };
    const { pid, port } = postmaster;
    const url = await readUrl(dataDirectory, port);
    return { ...status, running: true, url, pid, port, version };
  } catch (error) {
    throw explain(error as Error, "look at");
  }
}

/** The default of {@linkcode EmbeddedOptions.home}. */
export function defaultHome(): string {
  return process.env.FIREFLY_HOME ||
    (serverUser() ? "/var/lib/firefly" : join(homedir(), ".firefly"));
}

function resolveOptions(options: EmbeddedOptions): Directories {
  const home = resolve(options.home ?? defaultHome());
  return { home, dataDirectory: join(home, "data") };
}

/** Makes `home`, and checks that the server's user gets there. */
async function prepareHome(home: string): Promise<void> {
  const created = await fs.mkdir(home, { recursive: true, mode: 0o755 });
  if (!serverUser()) return;
  if (created) await fs.chmod(home, 0o755); // whatever the umask
  for (let path = home; path !== dirname(path); path = dirname(path)) {
    if ((await fs.stat(path)).mode & 0o001) continue;
    throw new EmbeddedServerError(
      `Cannot start the embedded PostgreSQL as it runs as "nobody", who ` +
        `cannot enter ${path}: set FIREFLY_HOME to a directory that ` +
        `everybody can enter`,
    );
  }
}

/**
 * Makes a data directory, with a password of its own. It is there whole or not
 * at all, as the password is the last file to come.
 */
async function createData(
  dataDirectory: string,
  { binaries, onProgress }: { binaries: Binaries; onProgress: OnProgress },
): Promise<void> {
  await makeDirectory(dataDirectory, async (directory) => {
    onProgress(`Creating a PostgreSQL ${binaries.major} database in ${dataDirectory}`);
    const passwordFile = `${directory}.password`;
    const password = randomBytes(24).toString("base64url");
    try {
      await fs.writeFile(passwordFile, password, { mode: 0o600, flag: "wx" });
      const user = serverUser();
      if (user) await fs.chown(directory, user.uid, user.gid);
      if (user) await fs.chown(passwordFile, user.uid, user.gid);
      await runPostgres(binaries.directory, "initdb", [
        `--pgdata=${directory}`,
        `--pwfile=${passwordFile}`,
        "--username=firefly",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        ...localeArguments(binaries.major),
      ]);
      const settings = "\nmax_connections = 200\n";
      await fs.appendFile(join(directory, "postgresql.conf"), settings);
      await fs.rename(passwordFile, join(directory, PASSWORD_FILE));
    } finally {
      await fs.rm(passwordFile, { force: true });
    }
  });
}

/** The locale that is the same on every machine. */
function localeArguments(major: number): string[] {
  if (major < 17) return ["--locale=C"];
  const builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"];
  return ["--locale=C", ...builtin];
}

/** Refuses a directory that is not ours, or that has lost files. */
async function checkData(dataDirectory: string): Promise<void> {
  if (await exists(join(dataDirectory, PASSWORD_FILE))) return;
  throw new EmbeddedServerError(
    `Cannot start the embedded PostgreSQL as ${dataDirectory} has no ` +
      `${PASSWORD_FILE}: restore the file, or move the directory away to ` +
      `begin with an empty one`,
  );
}

async function readUrl(dataDirectory: string, port: number): Promise<string> {
  const password = await fs.readFile(
    join(dataDirectory, PASSWORD_FILE),
    "utf8",
  );
  return `postgres://firefly:${password.trim()}@127.0.0.1:${port}/postgres`;
}

async function readVersion(dataDirectory: string): Promise<string | undefined> {
  return (await readText(join(dataDirectory, "PG_VERSION")))?.trim();
}

function explain(error: Error, action: string): EmbeddedServerError {
  if (error instanceof EmbeddedServerError) return error;
  return new EmbeddedServerError(
    `Cannot ${action} the embedded PostgreSQL as ${error.message}: ` +
      `set FIREFLY_HOME to a directory of your own, or FIREFLY_DATABASE_URL ` +
      `to a PostgreSQL ${OLDEST_MAJOR} or newer`,
    { cause: error },
  );
}
