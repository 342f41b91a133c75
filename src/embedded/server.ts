import { randomBytes } from "node:crypto";
import * as fs from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { EmbeddedServerError } from "../errors.ts";
import { exists, readText } from "./files.ts";
import { type Binaries, OLDEST_MAJOR } from "./installed_binaries.ts";
import type { OnProgress } from "./progress.ts";
import { run, runPostgres } from "./run_program.ts";

const PREFERRED_PORT = 54329;
const START_TIMEOUT = 120_000; // milliseconds
const LOG_SIZE_LIMIT = 16 * 1024 * 1024; // bytes
const LOCK_FILE = "postmaster.pid";
const OPTIONS_FILE = "postmaster.opts";

/**
 * Failures that a retry may fix: a race for the directory or the port, and
 * child processes of a killed server that have not ended yet.
 */
const TRANSIENT_FAILURE = /lock file|could not bind|shared memory block/i;

/** The main process of a server, as described by the lock file in its data directory. */
export interface Postmaster {
  pid: number;
  port: number;
  isReady: boolean;
}

/** Finds the server's main process, if it is alive. */
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
 * @throws {EmbeddedServerError} If it does not start.
 */
export async function startPostmaster(
  dataDirectory: string,
  { binaries, onProgress }: { binaries: Binaries; onProgress: OnProgress },
): Promise<Postmaster> {
  const deadline = Date.now() + START_TIMEOUT;
  let failure = `it is not ready after ${START_TIMEOUT / 1000} seconds`;
  while (Date.now() < deadline) {
    const postmaster = await findPostmaster(dataDirectory);
    if (postmaster?.isReady) return postmaster;
    if (!postmaster) { // else it is starting or stopping
      const failed = await startServer(dataDirectory, binaries.directory);
      if (failed && failed !== failure) {
        failure = failed;
        if (!TRANSIENT_FAILURE.test(failure)) break;
        if (!failure.includes("lock file")) { // else another process was first
          onProgress(`Starting PostgreSQL again as the first start failed: ${failure}`);
        }
      }
    }
    await sleep(50);
  }
  throw new EmbeddedServerError(
    `Cannot start the embedded PostgreSQL as ${failure}: ` +
      `see ${logFileOf(dataDirectory)}, or set FIREFLY_DATABASE_URL ` +
      `to PostgreSQL ${OLDEST_MAJOR} or newer`,
  );
}

/** Tries to start the server once. Resolves to the reason if it fails. */
async function startServer(
  dataDirectory: string,
  binaries: string,
): Promise<string | undefined> {
  const logFile = logFileOf(dataDirectory);
  const logged = await rotateLog(logFile);
  const port = await findFreePort(await readLastPort(dataDirectory));
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
    else if (bavail === 0) failure = "its disk is full"; // so nothing was logged
    if (failure.includes("lock file")) await removeStaleLock(dataDirectory);
    return failure;
  }
}

/** Stops the server, and waits until it has stopped. Open transactions roll back. */
export async function stopPostmaster(dataDirectory: string): Promise<void> {
  // With the binaries that it runs from: an upgrade may have installed others.
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
 * Whether the process `pid` is the server of `directory`, named as in the lock
 * file. After a crash the system may soon give the pid to another process,
 * above all in a container.
 */
async function isPostmaster(pid: number, directory: string): Promise<boolean> {
  if (process.platform === "win32") {
    const tasks = await run("tasklist", ["/nh", "/fi", `pid eq ${pid}`]);
    return tasks.includes("postgres.exe");
  }
  return (await readCommand(pid)).includes(` -D ${directory} `);
}

/** Reads the command line of a process; "" if there is no such process or it is a zombie. */
async function readCommand(pid: number): Promise<string> {
  if (await exists("/proc/self/cmdline")) {
    const command = await readText(`/proc/${pid}/cmdline`) ?? "";
    return command.replaceAll("\0", " ");
  }
  return await run("ps", ["-o", "command=", "-p", `${pid}`]).catch((error) => {
    if (typeof error.cause.code === "number") return ""; // no such process
    throw error;
  });
}

/**
 * Removes a lock file whose pid now belongs to another program or to a zombie:
 * PostgreSQL takes any process of its user with this pid for the server.
 */
async function removeStaleLock(dataDirectory: string): Promise<void> {
  const lockFile = join(dataDirectory, LOCK_FILE);
  const stale = await readText(lockFile);
  if (stale === undefined || await findPostmaster(dataDirectory)) return;
  const aside = `${lockFile}.${randomBytes(6).toString("hex")}`;
  await fs.rename(lockFile, aside).catch(() => {});
  const removed = await readText(aside);
  if (removed !== undefined && removed !== stale) {
    // Another process started a server meanwhile: put its lock file back.
    await fs.link(aside, lockFile).catch(() => {});
  }
  await fs.rm(aside, { force: true });
}

/** Reads the port of the last start, which clients may have kept; the preferred port if there was none. */
async function readLastPort(dataDirectory: string): Promise<number> {
  const command = await readText(join(dataDirectory, OPTIONS_FILE)) ?? "";
  return Number(/"-p" "(\d+)"/.exec(command)?.[1] ?? PREFERRED_PORT);
}

/** Finds a free port on 127.0.0.1: `preferred`, else any other. */
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

/** Renames a log that has grown too large. Resolves to the size of the current log in bytes. */
async function rotateLog(logFile: string): Promise<number> {
  const size = await fs.stat(logFile).then(({ size }) => size, () => 0);
  if (size < LOG_SIZE_LIMIT) return size;
  await fs.rename(logFile, `${logFile}.old`);
  return 0;
}

/** The log file of the server of `dataDirectory`. */
export function logFileOf(dataDirectory: string): string {
  return join(dataDirectory, "server.log");
}
