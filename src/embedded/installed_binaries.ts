import * as fs from "node:fs/promises";
import { delimiter, join } from "node:path";
import process from "node:process";
import { runPostgres } from "./run_program.ts";

/** The oldest major version of PostgreSQL that Firefly supports. */
export const OLDEST_MAJOR = 15;

/** A directory with `initdb`, `pg_ctl` and `postgres` that run on this machine. */
export interface Binaries {
  directory: string;
  major: number;
}

/** Reads the major version of the binaries in `directory`. Rejects if one of them does not run here. */
export async function readMajor(directory: string): Promise<number> {
  const [version] = await Promise.all(
    ["postgres", "initdb", "pg_ctl"].map((program) => runPostgres(directory, program, ["--version"])),
  );
  return Number(/\(PostgreSQL\) (\d+)/.exec(version!)?.[1]);
}

/** Finds the binaries of an installed PostgreSQL whose major version is wanted. */
export async function findInstalled(
  isWanted: (major: number) => boolean,
  directories?: string[],
): Promise<Binaries | undefined> {
  for (const directory of directories ?? await listDirectories()) {
    const major = await readMajor(directory).catch(() => 0);
    if (isWanted(major)) return { directory, major };
  }
}

/**
 * Lists the directories where PostgreSQL may be: those on PATH, then where
 * Debian, Alpine, Fedora, Homebrew, Postgres.app and EDB install it, with the
 * newest version of each first.
 */
async function listDirectories(): Promise<string[]> {
  const directories = (process.env.PATH ?? "").split(delimiter).filter(Boolean);
  const parents = [
    ["/usr/lib/postgresql", "bin"],
    ["/usr/libexec", "."],
    ["/usr", "bin"],
    ["/opt/homebrew/opt", "bin"],
    ["/usr/local/opt", "bin"],
    ["/Applications/Postgres.app/Contents/Versions", "bin"],
    ["C:\\Program Files\\PostgreSQL", "bin"],
  ] as const;
  for (const [parent, bin] of parents) {
    const names = await fs.readdir(parent).catch(() => []);
    const found = names.map((name) => ({
      directory: join(parent, name, bin),
      major: Number(/^(?:postgresql@?|pgsql-)?(\d+)$/.exec(name)?.[1]),
    })).filter(({ major }) => major >= OLDEST_MAJOR);
    found.sort((a, b) => b.major - a.major);
    directories.push(...found.map(({ directory }) => directory));
  }
  return directories;
}
