import { execFile } from "node:child_process";
import { basename, join } from "node:path";
import process from "node:process";

const EXE = process.platform === "win32" ? ".exe" : "";

/** The user that runs the server if this process is root's: PostgreSQL refuses to run as root. */
export function serverUser(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  // "nobody"; on macOS its id is negative, so "daemon" there.
  const id = process.platform === "darwin" ? 1 : 65534;
  return { uid: id, gid: id };
}

/** Runs a PostgreSQL program as {@linkcode serverUser}, and resolves to its output. */
export function runPostgres(
  directory: string,
  program: string,
  args: string[],
): Promise<string> {
  // The server outlives this process, and other processes may run as "nobody"
  // too: pass it no secrets of our environment, and no PG* settings.
  const { PATH, LD_LIBRARY_PATH, TZ, SystemRoot, TEMP } = process.env;
  const kept = { PATH, LD_LIBRARY_PATH, TZ, SystemRoot, TEMP, LC_ALL: "C" };
  const set = Object.entries(kept).filter(([, value]) => value !== undefined);
  const env = Object.fromEntries(set);
  const options = { ...serverUser(), cwd: "/", env };
  return run(join(directory, program + EXE), args, options);
}

/** Runs a program. Resolves to its output, rejects with the first error that it printed. */
export function run(
  file: string,
  args: string[],
  options: object = {},
): Promise<string> {
  const allOptions = { windowsHide: true, encoding: "utf8", ...options } as const;
  return new Promise((resolve, reject) => {
    execFile(file, args, allOptions, (cause, stdout, stderr) => {
      if (!cause) return resolve(stdout);
      const lines = (stderr || stdout || cause.message).trim().split("\n");
      const error = lines.find((line) => /\b(error|fatal)\b/i.test(line));
      const message = (error ?? lines[0]!).replace(/^\d{4}-.*?\] |^\w+: /, "");
      reject(new Error(`${basename(file)}: ${message}`, { cause }));
    });
  });
}
