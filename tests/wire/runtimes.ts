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

/**
 * Runs a module of this project on another runtime, and gives what it printed to stderr.
 *
 * The module is bundled first, as Node and Bun know nothing of the imports in `deno.json`.
 */
export async function runOn(
  runtime: string,
  module: URL,
  env: Record<string, string> = {},
): Promise<{ success: boolean; stderr: string }> {
  const directory = await Deno.makeTempDir({ prefix: "firefly_runtime_" });
  try {
    const bundle = join(directory, "bundle.mjs");
    await run(
      Deno.execPath(),
      ["bundle", "--quiet", "--output", bundle, module.href],
      new URL("../../", import.meta.url),
    );
    const binary = await install(PACKAGES[runtime]!, directory);
    return await run(binary, [bundle], directory, { check: false, env });
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** Installs an npm package that holds one binary, and gives the path of that. */
async function install(specifier: string, directory: string): Promise<string> {
  const config = { nodeModulesDir: "auto", imports: { runtime: specifier } };
  await Deno.writeTextFile(join(directory, "deno.json"), JSON.stringify(config));
  await run(Deno.execPath(), ["install", "--quiet"], directory);
  const name = specifier.replace(/^npm:/, "").replace(/@\d+$/, "");
  const binary = name.startsWith("@oven/") ? "bun" : "node";
  return join(directory, "node_modules", name, "bin", binary);
}

async function run(command: string, args: string[], cwd: string | URL, { check = true, env = {} } = {}) {
  const { success, stderr } = await new Deno.Command(command, { args, cwd, env, stdout: "null", stderr: "piped" })
    .output();
  const text = new TextDecoder().decode(stderr);
  if (check && !success) throw new Error(`${command} ${args.join(" ")} failed: ${text}`);
  return { success, stderr: text };
}
