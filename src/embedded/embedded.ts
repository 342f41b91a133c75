import { randomBytes } from "node:crypto";
import * as fs from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { EmbeddedServerError } from "../errors.ts";
import { exists, readText } from "./files.ts";
import { type Binaries, OLDEST_MAJOR } from "./installed_binaries.ts";
import { makeDirectory } from "./make_directory.ts";
import { type BinarySource, findBinaries } from "./npm_binaries.ts";
import type { OnProgress } from "./progress.ts";
import { runPostgres, serverUser } from "./run_program.ts";
import { findPostmaster, logFileOf, startPostmaster, stopPostmaster } from "./server.ts";

const PASSWORD_FILE = "firefly.password";

/** Options of {@linkcode startEmbedded}, {@linkcode stopEmbedded} and {@linkcode embeddedStatus}. */
export interface EmbeddedOptions {
  /**
   * The directory of the server's binaries and data.
   *
   * @default `FIREFLY_HOME`, else `/var/lib/firefly` for root and `~/.firefly` for other users
   */
  home?: string;
  /** Receives progress messages: fetching the binaries, creating the data directory, starting again. */
  onProgress?: OnProgress;
  /** Where the binaries come from. For tests. */
  binaries?: BinarySource;
}

/** The running embedded server. */
export interface EmbeddedServer {
  /** The URL of the server's database, as its superuser. It contains the password. */
  url: string;
  /** The major version of PostgreSQL, such as `"18"`. */
  version: string;
  /** The data directory. */
  dataDirectory: string;
  /** The process id of the server's main process. */
  pid: number;
}

/** The state of the embedded server, as {@linkcode embeddedStatus} found it. */
export interface EmbeddedStatus {
  /** Whether the server runs and accepts connections. */
  running: boolean;
  /** The URL of the server's database, if it runs. It contains the password. */
  url?: string;
  /** The process id of the server's main process, if it runs. */
  pid?: number;
  /** The port on 127.0.0.1, if it runs. */
  port?: number;
  /** The major version of PostgreSQL, if there is a data directory. */
  version?: string;
  /** The directory of the server's binaries and data. */
  home: string;
  /** The data directory, which may not exist yet. */
  dataDirectory: string;
  /** The server's log file, which may not exist yet. */
  logFile: string;
}

interface Directories {
  home: string;
  dataDirectory: string;
}

/**
 * Starts the embedded PostgreSQL unless it is running. Any number of processes
 * may call this at once; they share one server. It listens on 127.0.0.1 only,
 * and keeps running after they exit, until {@linkcode stopEmbedded}.
 *
 * @throws {EmbeddedServerError} If there are no binaries for this machine, or
 * the server does not start.
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
        return await startEmbedded(options); // another process made it, with binaries of another version
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
    throw toServerError(error as Error, "start");
  }
}

/**
 * Stops the embedded PostgreSQL. Open transactions roll back.
 *
 * @return False if it was not running.
 * @throws {EmbeddedServerError} If it does not stop.
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
    throw toServerError(error as Error, "stop");
  }
}

/**
 * Reads the state of the embedded PostgreSQL. Starts and creates nothing.
 *
 * @throws {EmbeddedServerError} If its data directory belongs to another user.
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
    throw toServerError(error as Error, "inspect");
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

/** Makes `home`, and checks that the server's user can enter it. */
async function prepareHome(home: string): Promise<void> {
  const created = await fs.mkdir(home, { recursive: true, mode: 0o755 });
  if (!serverUser()) return;
  if (created) await fs.chmod(home, 0o755); // whatever the umask
  for (let path = home; path !== dirname(path); path = dirname(path)) {
    if ((await fs.stat(path)).mode & 0o001) continue;
    throw new EmbeddedServerError(
      `Cannot start the embedded PostgreSQL as its user "nobody" ` +
        `cannot enter ${path}: set FIREFLY_HOME to a directory that ` +
        `all users can enter`,
    );
  }
}

/**
 * Makes a data directory with a new password, completely or not at all. The
 * password is the last file to be put in.
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
      // Otherwise a table of the user's would be made in the schema of Firefly, which has the name of the role.
      const settings = "\nmax_connections = 200\nsearch_path = 'public'\n";
      await fs.appendFile(join(directory, "postgresql.conf"), settings);
      await fs.rename(passwordFile, join(directory, PASSWORD_FILE));
    } finally {
      await fs.rm(passwordFile, { force: true });
    }
  });
}

/** Arguments of initdb for a locale that behaves the same on every machine. */
function localeArguments(major: number): string[] {
  if (major < 17) return ["--locale=C"];
  const builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"];
  return ["--locale=C", ...builtin];
}

/** Refuses a data directory that Firefly did not make, or that lacks the password file. */
async function checkData(dataDirectory: string): Promise<void> {
  if (await exists(join(dataDirectory, PASSWORD_FILE))) return;
  throw new EmbeddedServerError(
    `Cannot start the embedded PostgreSQL as ${dataDirectory} has no ` +
      `${PASSWORD_FILE}: restore the file, or move the directory away to ` +
      `start with an empty database`,
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

function toServerError(error: Error, action: string): EmbeddedServerError {
  if (error instanceof EmbeddedServerError) return error;
  return new EmbeddedServerError(
    `Cannot ${action} the embedded PostgreSQL as ${error.message}: ` +
      `set FIREFLY_HOME to a directory of your own, or FIREFLY_DATABASE_URL ` +
      `to PostgreSQL ${OLDEST_MAJOR} or newer`,
    { cause: error },
  );
}
