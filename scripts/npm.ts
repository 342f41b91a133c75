/**
 * Builds the npm package: the modules of `exports` bundled for Node and Bun, their types, and the documents beside them.
 *
 * ```sh
 * deno task npm          # builds the package into a new directory, and packs it: prints the tarball's path
 * deno task npm DIR      # builds it into DIR, which must be empty or absent
 * ```
 *
 * @module
 */
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

/** The oldest Node: from it on, Node takes `.ts` files without a flag. */
const NODE = ">=22.18";
const DOCUMENTS = ["README.md", "LICENSE", "CHANGELOG.md"];

interface Config {
  name: string;
  version: string;
  license: string;
  exports: Record<string, string>;
  imports: Record<string, string>;
}

async function readConfig(): Promise<Config> {
  return JSON.parse(await Deno.readTextFile(join(ROOT, "deno.json")));
}

/** Runs a program in a directory, and returns its standard output. */
export async function run(program: string, args: string[], cwd: string): Promise<string> {
  const command = new Deno.Command(program, {
    args,
    cwd,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
  const { success, stdout, stderr } = await command.output();
  const text = new TextDecoder().decode(stdout);
  if (success) return text;
  throw new Error(`Cannot run ${basename(program)} ${args.join(" ")}:\n${text}${new TextDecoder().decode(stderr)}`);
}

/** The packages of npm that `deno.json` pins, by the names that the sources import. */
function npmPackages({ imports }: Config): Map<string, string> {
  const packages = Object.entries(imports).flatMap(([name, target]) => {
    const [, version] = /^npm:.*@([^@]+)$/.exec(target) ?? [];
    return version === undefined ? [] : [[name, version] as const];
  });
  return new Map(packages);
}

/** Bundles all entries in one call, so that they share the modules that they have in common. */
async function bundle(directory: string, config: Config): Promise<void> {
  const externals = [...npmPackages(config).keys()].map((name) => `--external=${name}`);
  const entries = Object.values(config.exports);
  const args = ["bundle", "--quiet", "--outdir", directory, "--code-splitting", ...externals, ...entries];
  await run(Deno.execPath(), args, ROOT);
  const missing: string[] = [];
  for (const entry of entries) {
    const file = fileOf(entry);
    await Deno.stat(join(directory, file)).catch(() => missing.push(file));
  }
  if (missing.length > 0) throw new Error(`Cannot build the package as the bundle lacks ${missing.join(", ")}`);
}

/** The bundled file of an entry. */
function fileOf(entry: string): string {
  return basename(entry).replace(/\.ts$/, ".js");
}

/** The packages that the bundled files import, with their pinned versions. */
async function readDependencies(directory: string, config: Config): Promise<Record<string, string>> {
  const packages = npmPackages(config);
  const found = new Set<string>();
  for await (const { name } of Deno.readDir(directory)) {
    const code = await Deno.readTextFile(join(directory, name));
    for (
      const [, specifier] of code.matchAll(
        /^(?:import|export)\b[^"'`]*?"([^"./][^"]*)";$|\bimport\("([^"./][^"]*)"\)/gm,
      )
    ) {
      const owner = [...packages.keys()].find((name) => specifier === name || specifier?.startsWith(`${name}/`));
      if (owner !== undefined) found.add(owner);
    }
  }
  return Object.fromEntries([...found].sort().map((name) => [name, packages.get(name)!]));
}

async function writePackage(directory: string, config: Config): Promise<void> {
  const { name, version, license } = config;
  const exports = Object.entries(config.exports).map(([key, entry]) => {
    const file = `./dist/${fileOf(entry)}`;
    return [key, { types: file.replace(/\.js$/, ".d.ts"), default: file }] as const;
  });
  const content = {
    name,
    version,
    description: "A task queue on Postgres",
    license,
    type: "module",
    engines: { node: NODE },
    bin: { firefly: "./dist/cli.js" },
    exports: { ...Object.fromEntries(exports), "./package.json": "./package.json" },
    files: ["dist", "CHANGELOG.md"],
    sideEffects: ["./dist/cli.js"],
    dependencies: await readDependencies(join(directory, "dist"), config),
  };
  await Deno.writeTextFile(join(directory, "package.json"), JSON.stringify(content, null, 2) + "\n");
}

/** Builds the package into the directory, which must be empty. */
export async function buildPackage(directory: string): Promise<void> {
  const config = await readConfig();
  const dist = join(directory, "dist");
  await bundle(dist, config);
  const cli = join(dist, fileOf(config.exports["./cli"]!));
  await Deno.writeTextFile(cli, `#!/usr/bin/env node\n${await Deno.readTextFile(cli)}`);
  await writePackage(directory, config);
  for (const document of DOCUMENTS) await Deno.copyFile(join(ROOT, document), join(directory, document));
}

/** Packs the package in a directory, and returns the path of the tarball, which is in `destination`. */
export async function pack(directory: string, destination: string): Promise<string> {
  const printed = await run("npm", ["pack", "--json", "--pack-destination", destination], directory);
  const [{ filename }] = JSON.parse(printed);
  return join(destination, filename);
}

if (import.meta.main) {
  const directory = Deno.args[0] ?? await Deno.makeTempDir({ prefix: "firefly_npm_" });
  await Deno.mkdir(directory, { recursive: true });
  await buildPackage(directory);
  console.log(await pack(directory, directory));
}
