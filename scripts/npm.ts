/**
 * Builds the npm package: the modules of `exports` bundled for Node and Bun, their types, and the documents beside them.
 *
 * ```sh
 * deno task npm                  # builds the package and checks it, and prints the path of its tarball
 * deno task npm --directory DIR  # into a directory that is empty or absent; without it, a temporary one
 * deno task npm --publish        # publishes it to npm; arguments after -- are those of npm publish
 * ```
 *
 * @module
 */
import { parseArgs } from "@std/cli/parse-args";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Config, readConfig } from "./npm/config.ts";
import { fileOf, npmPackages, writeManifest } from "./npm/manifest.ts";
import { NODE_CODE, NODE_FILE, PROGRAM, programCode } from "./npm/node_version.ts";
import { linkToJsr } from "./npm/readme.ts";
import { run } from "./npm/run.ts";
import { installTools, rollUpTypes } from "./npm/types.ts";
import { unlinkUnpublished } from "./pages.ts";
import { copyPackage, listFiles } from "./publish.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const HELP = `Builds the npm package, checks it, and prints the path of its tarball.

Usage: deno task npm [--directory DIR] [--publish [-- ARGUMENTS]]

  --directory  where to build it: an empty or absent directory; by default, a temporary one
  --publish    publish it to npm; what follows -- is passed to \`npm publish\`, as --dry-run or --tag next`;

/** Bundles all entries in one call, so that they share the modules that they have in common. */
async function bundle(dist: string, config: Config): Promise<void> {
  const externals = [...npmPackages(config).keys()].map((name) => `--external=${name}`);
  const entries = Object.values(config.exports);
  await run(
    Deno.execPath(),
    ["bundle", "--quiet", "--outdir", dist, "--code-splitting", ...externals, ...entries],
    ROOT,
  );
  for (const entry of entries) {
    const file = join(dist, fileOf(entry));
    const code = await Deno.readTextFile(file);
    await Deno.writeTextFile(file, `import "./${NODE_FILE}";\n${code}`);
  }
  await Deno.writeTextFile(join(dist, NODE_FILE), NODE_CODE);
  await Deno.writeTextFile(join(dist, PROGRAM), programCode(fileOf(config.exports["./cli"]!)));
  await Deno.chmod(join(dist, PROGRAM), 0o755);
}

async function writeDocuments(directory: string, config: Config): Promise<void> {
  const published = await Deno.makeTempDir({ prefix: "firefly_npm_documents_" });
  try {
    await copyPackage(published);
    const files = [...(await listFiles(published)).keys()];
    for (const page of ["README.md", "CHANGELOG.md"]) {
      const markdown = unlinkUnpublished(page, await Deno.readTextFile(join(ROOT, page)), files);
      await Deno.writeTextFile(join(directory, page), linkToJsr(markdown, config));
    }
    await Deno.copyFile(join(ROOT, "LICENSE"), join(directory, "LICENSE"));
  } finally {
    await Deno.remove(published, { recursive: true });
  }
}

/** Builds the package into a directory, which must be empty. */
export async function buildPackage(directory: string): Promise<void> {
  const config = await readConfig();
  await bundle(join(directory, "dist"), config);
  await writeManifest(directory, config);
  const entries = Object.fromEntries(
    Object.values(config.exports).map((entry) => [fileOf(entry).replace(/\.js$/, ""), entry]),
  );
  await rollUpTypes(directory, { entries, externals: [...npmPackages(config).keys()] });
  await writeDocuments(directory, config);
}

/** Packs the package in a directory, and returns the path of the tarball, which is in `destination`. */
export async function pack(directory: string, destination: string): Promise<string> {
  const printed = await run("npm", ["pack", "--json", "--pack-destination", destination], directory);
  const [{ filename }] = JSON.parse(printed);
  return join(destination, filename);
}

/**
 * Checks a tarball with publint and "Are the types wrong?".
 *
 * @throws {Error} If one of them finds a fault.
 */
export async function checkPackage(tarball: string): Promise<void> {
  const modules = join(await installTools(), "node_modules");
  const deno = ["run", "-A"];
  await run(Deno.execPath(), [...deno, join(modules, "publint/src/cli.js"), "run", tarball, "--strict"], modules);
  const attw = join(modules, "@arethetypeswrong/cli/dist/index.js");
  await run(Deno.execPath(), [...deno, attw, tarball, "--profile", "esm-only", "--format", "ascii"], modules);
}

async function main({ directory, publish, rest }: { directory?: string; publish: boolean; rest: string[] }) {
  const target = directory ?? await Deno.makeTempDir({ prefix: "firefly_npm_" });
  await Deno.mkdir(target, { recursive: true });
  await buildPackage(target);
  const tarball = await pack(target, target);
  await checkPackage(tarball);
  console.log(tarball);
  if (!publish) return;
  const args = ["publish", tarball, ...rest];
  Deno.exitCode = (await new Deno.Command("npm", { args, cwd: target }).spawn().status).code;
}

if (import.meta.main) {
  const end = Deno.args.includes("--") ? Deno.args.indexOf("--") : Deno.args.length;
  const args = parseArgs(Deno.args.slice(0, end), {
    boolean: ["help", "publish"],
    string: ["directory"],
    unknown: (name) => {
      console.error(`Cannot run with ${name}: see --help`);
      Deno.exit(2);
    },
  });
  const { help, publish, directory } = args;
  if (help) console.log(HELP);
  else await main({ ...directory && { directory }, publish, rest: Deno.args.slice(end + 1) });
}
