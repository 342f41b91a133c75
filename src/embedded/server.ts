import { randomBytes } from "node:crypto";
import * as fs from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { EmbeddedServerError } from "../errors.ts";
import type { Binaries, OnProgress } from "./installed_binaries.ts";
import { exists, OLDEST_MAJOR, run, runPostgres } from "./installed_binaries.ts";

const PREFERRED_PORT = 54329;
const START_TIMEOUT = 120_000;
const LOG_SIZE_LIMIT = 16 * 1024 * 1024;
const LOCK_FILE = "postmaster.pid";
const OPTIONS_FILE = "postmaster.opts";

/**
 * What another try may cure: a race for the directory or the port, and children
 * of a killed server that have yet to end.
 */
const PASSING_FAILURE = /lock file|could not bind|shared memory block/i;

/** The main process of a server, as the lock file in its data directory describes it. */
export interface Postmaster {
  pid: number;
  port: number;
  isReady: boolean;
}

/** The server's main process, if it lives. */
export async function findPostmaster(
  dataDirectory: string,
): Promise<Postmaster | undefined> {
  const lock = (await readText(join(dataDirectory, LOCK_FILE)))?.split("\n");
  const pid = Number(lock?.[0]);
  if (!lock?.[1] || !await isPostmaster(pid, lock[1])) return undefined;
  return { pid, port: Number(lock[3]), isReady: lock[7]?.trim() === "ready" };
}

/**
 * Starts the server of `dataDirectory`, unless another process does, and waits
 * until it is ready.
 *
 * @throws {EmbeddedServerError} when it does not start
 */
export async function startPostmaster(
  dataDirectory: string,
  { binaries, onProgress }: { binaries: Binaries; onProgress: OnProgress },
): Promise<Postmaster> {
  const deadline = Date.now() + START_TIMEOUT;
  let failure = "it does not become ready";
  while (Date.now() < deadline) {
    const postmaster = await findPostmaster(dataDirectory);
    if (postmaster?.isReady) return postmaster;
    if (!postmaster) { // else it is starting or stopping
      const failed = await startServer(dataDirectory, binaries.directory);
      if (failed && failed !== failure) {
        failure = failed;
        if (!PASSING_FAILURE.test(failure)) break;
        if (!failure.includes("lock file")) { // else another was first
          onProgress(`Trying again to start PostgreSQL as ${failure}`);
        }
      }
    }
    await sleep(50);
  }
  throw new EmbeddedServerError(
    `Cannot start the embedded PostgreSQL as ${failure}: ` +
      `see ${logFileOf(dataDirectory)}, or set FIREFLY_DATABASE_URL ` +
      `to a PostgreSQL ${OLDEST_MAJOR} or newer`,
  );
}

/** Starts the server once. Resolves to what went wrong, if something did. */
async function startServer(
  dataDirectory: string,
  binaries: string,
): Promise<string | undefined> {
  const logFile = logFileOf(dataDirectory);
  const logged = await rotateLog(logFile);
  const port = await findFreePort(await lastPort(dataDirectory));
  const settings = `-p ${port} -c listen_addresses=127.0.0.1 ` +
    `-c unix_socket_directories=`;
  const start = ["start", "-w", "-s", "-t", String(START_TIMEOUT / 1000)];
  const where = ["-D", dataDirectory, "-l", logFile, "-o", settings];
  try {
    await runPostgres(binaries, "pg_ctl", [...start, ...where]);
    return undefined;
  } catch (error) {
    const log = (await readText(logFile) ?? "").slice(logged);
    const reasons = log.match(/(?<=\] )(FATAL|PANIC|LOG: .*could not).*/g);
    const { bavail } = await fs.statfs(dataDirectory);
    let failure = (error as Error).message;
    if (reasons) failure = [...new Set(reasons)].join(", ");
    else if (bavail === 0) failure = "its disk is full"; // and nothing logged
    if (failure.includes("lock file")) await removeStaleLock(dataDirectory);
    return failure;
  }
}

/** Stops the server, and waits until it has: open transactions roll back. */
export async function stopPostmaster(dataDirectory: string): Promise<void> {
  // With the binaries that it runs from: an upgrade may have brought others.
  const command = await readText(join(dataDirectory, OPTIONS_FILE)) ?? "";
  const postgres = /^(.*?) "/.exec(command)?.[1] ?? "";
  const args = ["stop", "-w", "-s", "-m", "fast", "-D", dataDirectory];
  try {
    await runPostgres(dirname(postgres), "pg_ctl", args);
  } catch (error) {
    // Else another process stopped it first.
    if (await findPostmaster(dataDirectory)) throw error;
  }
}

/**
 * Whether a process is the server of a directory, which is to be named as in
 * the lock file: after a crash its number may soon be another's, above all in a
 * container.
 */
async function isPostmaster(pid: number, directory: string): Promise<boolean> {
  if (process.platform === "win32") {
    const tasks = await run("tasklist", ["/nh", "/fi", `pid eq ${pid}`]);
    return tasks.includes("postgres.exe");
  }
  return (await readCommand(pid)).includes(` -D ${directory} `);
}

/** The command of a process, or "" when there is none or it is a zombie. */
async function readCommand(pid: number): Promise<string> {
  if (await exists("/proc/self/cmdline")) {
    const command = await readText(`/proc/${pid}/cmdline`) ?? "";
    return command.replaceAll("\0", " ");
  }
  return await run("ps", ["-o", "command=", "-p", `${pid}`]).catch((error) => {
    if (typeof error.cause.code === "number") return ""; // there is none
    throw error;
  });
}

/**
 * Removes a lock file whose process is another program or a zombie: PostgreSQL
 * believes in any process of its user that has this number.
 */
async function removeStaleLock(dataDirectory: string): Promise<void> {
  const lockFile = join(dataDirectory, LOCK_FILE);
  const stale = await readText(lockFile);
  if (stale === undefined || await findPostmaster(dataDirectory)) return;
  const aside = `${lockFile}.${randomBytes(6).toString("hex")}`;
  await fs.rename(lockFile, aside).catch(() => {});
  const removed = await readText(aside);
  if (removed !== undefined && removed !== stale) {
    // A server that another process started meanwhile gets its own back.
    await fs.link(aside, lockFile).catch(() => {});
  }
  await fs.rm(aside, { force: true });
}

/** The port of the last time, where those who know it look for the server. */
async function lastPort(dataDirectory: string): Promise<number> {
  const command = await readText(join(dataDirectory, OPTIONS_FILE)) ?? "";
  return Number(/"-p" "(\d+)"/.exec(command)?.[1] ?? PREFERRED_PORT);
}

/** Finds a port of 127.0.0.1 that is free: `preferred`, else any. */
function findFreePort(preferred: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", (error) => {
      if (preferred === 0) reject(error);
      else resolve(findFreePort(0));
    });
    server.listen(preferred, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** Puts a log that has grown large aside. Returns the size of what is left. */
async function rotateLog(logFile: string): Promise<number> {
  const size = await fs.stat(logFile).then(({ size }) => size, () => 0);
  if (size < LOG_SIZE_LIMIT) return size;
  await fs.rename(logFile, `${logFile}.old`);
  return 0;
}

/** Where the server of `dataDirectory` writes what it has to say. */
export function logFileOf(dataDirectory: string): string {
  return join(dataDirectory, "server.log");
}

/** The text of a file, if it exists. */
export async function readText(path: string): Promise<string | undefined> {
  try {
    return await fs.readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
