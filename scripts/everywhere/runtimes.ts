import { delimiter, join } from "node:path";
import { INSTALL } from "../npm/install.ts";
import { run } from "../npm/run.ts";

/** A runtime that programs are run on. */
export interface Runtime {
  /** As in the head of a program: `Node 22`. */
  readonly name: string;
  readonly version: string;
  /** The program, and its arguments before a module. */
  readonly command: readonly string[];
}

/** Where the runtimes are. */
export interface Runtimes {
  readonly all: readonly Runtime[];
  /** A directory with `node20`, `node22`, `node24`, `bun` and `deno`. */
  readonly directory: string;
  /** The `PATH` of programs on the runtime: `node` is the runtime itself, or Node 24 for Bun and Deno. */
  pathFor(runtime: Runtime): string;
}

const ARM = Deno.build.arch === "aarch64";
const NODE = `node-${Deno.build.os}-${ARM ? "arm64" : "x64"}`;
const BUN = `@oven/bun-${Deno.build.os}-${ARM ? "aarch64" : "x64"}`;
const LOCK = { node20: `npm:${NODE}@20.20.2`, node22: `npm:${NODE}@22`, node24: `npm:${NODE}@24`, bun: `npm:${BUN}@1` };

/** Installs the runtimes into `cache`, unless they are there: npm has the binaries, without an install script. */
export async function bringRuntimes(cache: string): Promise<Runtimes> {
  const home = join(cache, "runtimes");
  const directory = join(home, "bin");
  await Deno.mkdir(directory, { recursive: true });
  const manifest = JSON.stringify({ private: true, dependencies: LOCK }, null, 2);
  const file = join(home, "package.json");
  if (await Deno.readTextFile(file).catch(() => "") !== manifest) {
    await Deno.writeTextFile(join(home, "package.json.new"), manifest);
    await Deno.rename(join(home, "package.json.new"), file);
    await run("npm", [...INSTALL, "--no-bin-links"], home)
      .catch(async (error) => {
        await Deno.remove(file);
        throw error;
      });
    for (const name of Object.keys(LOCK)) {
      const program = join(home, "node_modules", name, "bin", name === "bun" ? "bun" : "node");
      await link(program, join(directory, name));
      await Deno.mkdir(join(home, name), { recursive: true });
      await link(program, join(home, name, name === "bun" ? "bun" : "node"));
    }
    await link(Deno.execPath(), join(directory, "deno"));
    await Deno.mkdir(join(home, "deno"), { recursive: true });
    await link(Deno.execPath(), join(home, "deno", "deno"));
  }
  const all: Runtime[] = [];
  for (
    const [name, program, args] of [
      ["Deno", "deno", ["run", "-A", "--quiet"]],
      ["Node 22", "node22", []],
      ["Node 24", "node24", []],
      ["Bun", "bun", []],
    ] as const
  ) {
    const path = join(directory, program);
    const [version] = /\d+\.\d+\.\d+/.exec(await run(path, ["--version"], home)) ?? ["unknown"];
    all.push({ name, version, command: [path, ...args] });
  }
  return {
    all,
    directory,
    pathFor({ name }) {
      const own = name.toLowerCase().replace(" ", "");
      const path = [own, "node24"].map((folder) => join(home, folder));
      return [...new Set(path), Deno.env.get("PATH") ?? ""].join(delimiter);
    },
  };
}

async function link(target: string, path: string): Promise<void> {
  await Deno.remove(path).catch(() => {});
  await Deno.symlink(target, path);
}
