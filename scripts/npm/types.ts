import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { installPackages } from "./install.ts";
import { run } from "./run.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** The tools that look at the package, and the one that rolls up its types, installed. */
export async function installTools(): Promise<string> {
  const manifest = await Deno.readTextFile(new URL("./package.json", import.meta.url));
  return await installPackages(JSON.parse(manifest));
}

/**
 * Writes the types of the entries into `dist/` of the package: one file for each, and those that they share. `deno bundle
 * --declaration` fails with more than one entry.
 *
 * @param directory The package, whose `package.json` is written already.
 */
export async function rollUpTypes(
  directory: string,
  { entries, externals }: { entries: Readonly<Record<string, string>>; externals: readonly string[] },
): Promise<void> {
  const tools = await installTools();
  const work = await Deno.makeTempDir({ prefix: "firefly_types_" });
  try {
    const { compilerOptions } = JSON.parse(await Deno.readTextFile(join(ROOT, "deno.json")));
    const options = { ...compilerOptions, ...COMPILER, typeRoots: [join(tools, "node_modules/@types")] };
    const files = Object.fromEntries(Object.entries(entries).map(([name, entry]) => [name, join(ROOT, entry)]));
    const tsconfig = join(work, "tsconfig.json");
    await Deno.writeTextFile(
      tsconfig,
      JSON.stringify({ compilerOptions: options, files: Object.values(files) }),
    );
    const config = {
      cwd: directory,
      entry: files,
      format: "esm",
      platform: "node",
      outDir: join(directory, "dist"),
      clean: false,
      fixedExtension: false,
      hash: false,
      dts: { dtsOnly: true },
      deps: { neverBundle: externals },
      tsconfig,
      logLevel: "error",
    };
    await Deno.writeTextFile(join(work, "tsdown.config.mjs"), `export default ${JSON.stringify(config)};\n`);
    const tsdown = join(tools, "node_modules/tsdown/dist/run.mjs");
    await run(
      Deno.execPath(),
      ["run", "-A", tsdown, "--config", join(work, "tsdown.config.mjs")],
      tools,
    );
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

const COMPILER = {
  target: "esnext",
  module: "nodenext",
  moduleResolution: "nodenext",
  strict: true,
  rewriteRelativeImportExtensions: true,
  declaration: true,
  skipLibCheck: true,
  types: ["node"],
  lib: ["esnext", "esnext.disposable"],
};
