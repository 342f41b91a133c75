import * as fs from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { runCommand } from "./run_command.ts";

/** Packages by name with their versions. */
export type Packages = Readonly<Record<string, string>>;

/** What is installed for the benchmark alone: the other queues, and the Node that they run on. */
export const PACKAGES: Packages = {
  "bullmq": "6.7.0",
  "graphile-worker": "0.18.0",
  "ioredis": "6.0.0",
  "node": "22.23.3",
  "pg": "8.23.1",
  "pg-boss": "12.38.0",
};

/** Packages that are installed. */
export interface Installed {
  /** The directory that holds their `node_modules`. */
  readonly directory: string;
  /** The program. */
  readonly node: string;
}

/** Installs packages into a directory of the user's cache that is called `name`, unless they are there. */
export async function installPackages(
  { name, packages }: { readonly name: string; readonly packages: Packages },
  signal: AbortSignal,
): Promise<Installed> {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const directory = join(cache, "firefly", name);
  const node = join(directory, "node_modules", "node", "bin", "node");
  const wanted = JSON.stringify({ private: true, dependencies: packages }, undefined, 2);
  const stamp = join(directory, "installed.json");
  if (await fs.readFile(stamp, "utf8").catch(() => "") !== wanted) {
    await fs.mkdir(directory, { recursive: true });
    await fs.writeFile(join(directory, "package.json"), wanted);
    await runCommand("npm", ["install", "--no-audit", "--no-fund"], { cwd: directory, signal });
    await runCommand(node, ["--version"], { signal }); // its install script brings the program
    await fs.writeFile(stamp, wanted);
  }
  return { directory, node };
}
