import { execFile } from "node:child_process";
import * as fs from "node:fs/promises";
import { basename, delimiter, dirname, join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";

/** The oldest PostgreSQL, by major version, that Firefly works with. */
export const OLDEST_MAJOR = 15;

const EXE = process.platform === "win32" ? ".exe" : "";
const TEMPORARY = ".tmp-";
const TIMEOUT = 5_000;
const ABANDONED = 3_600_000;

/** A directory with `initdb`, `pg_ctl` and `postgres`, which run here. */
export interface Binaries {
  directory: string;
  major: number;
}

/** Is told what takes a while. */
export type OnProgress = (message: string) => void;

/** Whom root runs the server as, since it refuses to run as root. */
export function serverUser(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  // "nobody"; its number is negative on macOS, so "daemon" there.
  const id = process.platform === "darwin" ? 1 : 65534;
  return { uid: id, gid: id };
}

/** Runs a program of PostgreSQL as the server's user. */
export function runPostgres(
  directory: string,
  program: string,
  args: string[],
): Promise<string> {
  // The server outlives us, and others may run as "nobody" too: it gets none
  // of our secrets, nor any PG* settings.
  const { PATH, LD_LIBRARY_PATH, TZ, SystemRoot, TEMP } = process.env;
  const kept = { PATH, LD_LIBRARY_PATH, TZ, SystemRoot, TEMP, LC_ALL: "C" };
  const set = Object.entries(kept).filter(([, value]) => value !== undefined);
  const env = Object.fromEntries(set);
  const options = { ...serverUser(), cwd: "/", env };
  return run(join(directory, program + EXE), args, options);
}

/** Runs a program. Resolves to its output, rejects with its first error. */
export function run(
  file: string,
  args: string[],
  options: object = {},
): Promise<string> {
  const how = { windowsHide: true, encoding: "utf8", ...options } as const;
  return new Promise((resolve, reject) => {
    execFile(file, args, how, (cause, stdout, stderr) => {
      if (!cause) return resolve(stdout);
      const lines = (stderr || stdout || cause.message).trim().split("\n");
      const error = lines.find((line) => /\b(error|fatal)\b/i.test(line));
      const complaint = (error ?? lines[0]!).replace(/^\d{4}-.*?\] |^\w+: /, "");
      reject(new Error(`${basename(file)}: ${complaint}`, { cause }));
    });
  });
}

/** The major version of some binaries. Rejects if one does not run here. */
export async function readMajor(directory: string): Promise<number> {
  const [version] = await Promise.all(
    ["postgres", "initdb", "pg_ctl"].map((program) => runPostgres(directory, program, ["--version"])),
  );
  return Number(/\(PostgreSQL\) (\d+)/.exec(version!)?.[1]);
}

/** Finds the binaries of an installed PostgreSQL whose version is wanted. */
export async function findInstalled(
  isWanted: (major: number) => boolean,
  directories?: string[],
): Promise<Binaries | undefined> {
  for (const directory of directories ?? await listInstalled()) {
    const major = await readMajor(directory).catch(() => 0);
    if (isWanted(major)) return { directory, major };
  }
}

/**
 * Where PostgreSQL may be: on PATH, else where Debian, Alpine, Fedora,
 * Homebrew, Postgres.app and EDB put it, the newest of each first.
 */
async function listInstalled(): Promise<string[]> {
  const directories = (process.env.PATH ?? "").split(delimiter).filter(Boolean);
  const places = [
    ["/usr/lib/postgresql", "bin"],
    ["/usr/libexec", "."],
    ["/usr", "bin"],
    ["/opt/homebrew/opt", "bin"],
    ["/usr/local/opt", "bin"],
    ["/Applications/Postgres.app/Contents/Versions", "bin"],
    ["C:\\Program Files\\PostgreSQL", "bin"],
  ] as const;
  for (const [place, bin] of places) {
    const names = await fs.readdir(place).catch(() => []);
    const found = names.map((name) => ({
      directory: join(place, name, bin),
      major: Number(/^(?:postgresql@?|pgsql-)?(\d+)$/.exec(name)?.[1]),
    })).filter(({ major }) => major >= OLDEST_MAJOR);
    found.sort((a, b) => b.major - a.major);
    directories.push(...found.map(({ directory }) => directory));
  }
  return directories;
}

/**
 * Makes the directory `path` whole or not at all, however many processes try
 * and whenever one is killed: `build` fills a temporary directory beside it,
 * which a rename puts in its place.
 */
export async function makeDirectory(
  path: string,
  build: (directory: string) => Promise<void>,
): Promise<void> {
  const turn = `${path}${TEMPORARY}turn`;
  if (!await takeTurn(turn, path)) return;
  await removeLeftovers(path);
  const temporary = await fs.mkdtemp(path + TEMPORARY);
  try {
    await build(temporary);
    await fs.rename(temporary, path).catch(async (error) => {
      if (!await exists(path)) throw error; // else another process was first
    });
  } finally {
    await fs.rm(temporary, { recursive: true, force: true });
    await fs.rm(turn, { force: true });
  }
}

/**
 * Waits while another process makes `path`, as six that work at once take four
 * times as long; not for ever, as that one may have been killed. Resolves to
 * false once `path` exists.
 */
async function takeTurn(turn: string, path: string): Promise<boolean> {
  while (!await exists(path)) {
    try {
      await fs.writeFile(turn, "", { flag: "wx" });
      return true;
    } catch {
      if (await ageOf(turn) > TIMEOUT) return true;
    }
    await sleep(20);
  }
  return false;
}

/** Removes what killed processes left beside `path`, once it is an hour old. */
async function removeLeftovers(path: string): Promise<void> {
  for (const name of await fs.readdir(dirname(path))) {
    if (!name.startsWith(basename(path) + TEMPORARY)) continue;
    const leftover = join(dirname(path), name);
    if (await ageOf(leftover) < ABANDONED) continue;
    await fs.rm(leftover, { recursive: true, force: true });
  }
}

/** How many milliseconds ago `path` was made or changed. */
async function ageOf(path: string): Promise<number> {
  const changed = await fs.stat(path).then(({ mtimeMs }) => mtimeMs, () => 0);
  return Math.abs(Date.now() - changed);
}

/** Whether there is a file or a directory `path`. */
export function exists(path: string): Promise<boolean> {
  return fs.access(path).then(() => true, () => false);
}
