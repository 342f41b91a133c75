import { join } from "node:path";

/** The packages of other runtimes for this machine: npm has the binaries, without an install script. */
const PACKAGES: Record<string, string> = {
  "Node 22": `npm:node-${nodePlatform()}@22`,
  "Node 24": `npm:node-${nodePlatform()}@24`,
  "Bun": `npm:@oven/bun-${bunPlatform()}@1`,
};

/** The other runtimes by name. */
export const RUNTIMES: readonly string[] = Object.keys(PACKAGES);

function nodePlatform(): string {
  return `${Deno.build.os}-${Deno.build.arch === "aarch64" ? "arm64" : "x64"}`;
}

function bunPlatform(): string {
  return `${Deno.build.os}-${Deno.build.arch === "aarch64" ? "aarch64" : "x64"}`;
}

/** What a program finds beside it: packages of npm by name and version, and a module that is loaded before it. */
export interface Surroundings {
  readonly packages?: Readonly<Record<string, string>>;
  readonly preload?: string;
}

/**
 * Runs a module of this project on another runtime, and gives what it printed to stderr.
 *
 * The module is bundled first, as Node and Bun know nothing of the imports in `deno.json`.
 */
export async function runOn(
  runtime: string,
  module: URL,
  env: Record<string, string> = {},
  { packages = {}, preload }: Surroundings = {},
): Promise<{ success: boolean; stderr: string }> {
  const directory = await Deno.makeTempDir({ prefix: "firefly_runtime_" });
  try {
    const bundle = join(directory, "bundle.mjs");
    await run(
      Deno.execPath(),
      ["bundle", "--quiet", "--output", bundle, module.href],
      new URL("../../", import.meta.url),
    );
    const binary = await installRuntime(runtime, directory, packages);
    const args = preload === undefined ? [] : [runtime === "Bun" ? "--preload" : "--import", "./preload.mjs"];
    if (preload !== undefined) await Deno.writeTextFile(join(directory, "preload.mjs"), preload);
    return await run(binary, [...args, bundle], directory, { check: false, env });
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** Installs a runtime into a directory, and packages of npm beside it; gives the path of its binary. */
export async function installRuntime(
  runtime: string,
  directory: string,
  packages: Readonly<Record<string, string>> = {},
): Promise<string> {
  const specifier = PACKAGES[runtime]!;
  const others = Object.entries(packages).map(([name, version]) => [name, `npm:${name}@${version}`]);
  const config = { nodeModulesDir: "auto", imports: { runtime: specifier, ...Object.fromEntries(others) } };
  await Deno.writeTextFile(join(directory, "deno.json"), JSON.stringify(config));
  await run(Deno.execPath(), ["install", "--quiet"], directory);
  const name = specifier.replace(/^npm:/, "").replace(/@\d+$/, "");
  const binary = name.startsWith("@oven/") ? "bun" : "node";
  return join(directory, "node_modules", name, "bin", binary);
}

/**
 * Builds the package for Node and Bun into `dist` of a directory: the modules for users and the command line, which share
 * the modules that they have in common. Gives the path of `dist`.
 */
export async function buildDist(directory: string): Promise<string> {
  const dist = join(directory, "dist");
  const entries = ["mod.ts", "cli.ts", "src/cli/main.ts"];
  const root = new URL("../../", import.meta.url);
  await run(Deno.execPath(), ["bundle", "--quiet", "--code-splitting", "--outdir", dist, ...entries], root);
  await Deno.writeTextFile(join(dist, "main.js"), 'export * from "./src/cli/main.js";\n');
  await Deno.writeTextFile(join(dist, "package.json"), '{ "type": "module" }\n');
  return dist;
}

async function run(command: string, args: string[], cwd: string | URL, { check = true, env = {} } = {}) {
  const { success, stderr } = await new Deno.Command(command, { args, cwd, env, stdout: "null", stderr: "piped" })
    .output();
  const text = new TextDecoder().decode(stderr);
  if (check && !success) throw new Error(`${command} ${args.join(" ")} failed: ${text}`);
  return { success, stderr: text };
}
