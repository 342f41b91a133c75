/**
 * Publishes the package to JSR from a copy without `links`, which must not be published: `deno.json` without what only
 * the repository needs, and the files that its `publish.include` names.
 *
 * ```sh
 * deno task publish:check               # dry run where only the npm registry can be reached
 * deno task publish:check --jsr         # dry run against the real @std
 * deno run -A scripts/publish.ts --publish
 * ```
 *
 * The first resolves `jsr:@std/…` through the links, from a second configuration beside the copy's own; that aside it is
 * `deno publish --dry-run` itself. It checks name, version, license and exports, the types, slow types, that no module
 * imports what is not published, and the exact list of files. Only a machine that reaches JSR checks that the versions of
 * `@std` exist and have the types that `scripts/std` says (`--jsr`), and that the version is not taken (`--publish`).
 * The documentation is linted by `deno task doc`.
 *
 * @module
 */
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { unlinkUnpublished } from "./pages.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

/** Name of the configuration with links, which is not published. */
const LINKED = "deno.linked.json";

/** What of the documentation is not published: figures of reports, which would be a quarter of the package. */
const FIGURE = /\.svg$/;

/** What of `deno.json` the published package keeps. */
const KEPT = ["name", "version", "license", "exports", "imports", "compilerOptions"];

interface Config extends Record<string, unknown> {
  links: string[];
  publish: { include: string[] };
}

async function readConfig(): Promise<Config> {
  return JSON.parse(await Deno.readTextFile(join(ROOT, "deno.json")));
}

async function writeConfig(path: string, config: unknown): Promise<void> {
  await Deno.writeTextFile(path, JSON.stringify(config, null, 2) + "\n");
}

async function copy(from: string, to: string): Promise<void> {
  if ((await Deno.stat(from)).isFile) return await Deno.copyFile(from, to);
  await Deno.mkdir(to);
  for await (const { name } of Deno.readDir(from)) {
    if (!FIGURE.test(name)) await copy(join(from, name), join(to, name));
  }
}

/**
 * Copies what is published into the directory, which must be empty. Links of pages to what is not published, such as
 * tests, become text: elsewhere than in the repository they would lead nowhere.
 */
export async function copyPackage(directory: string): Promise<void> {
  const config = await readConfig();
  await writeConfig(join(directory, "deno.json"), Object.fromEntries(KEPT.map((key) => [key, config[key]])));
  for (const path of config.publish.include) await copy(join(ROOT, path), join(directory, path));
  const files = [...(await listFiles(directory)).keys()];
  for (const page of files.filter((file) => file.endsWith(".md"))) {
    const markdown = await Deno.readTextFile(join(directory, page));
    await Deno.writeTextFile(join(directory, page), unlinkUnpublished(page, markdown, files));
  }
}

/** Every file below the directory with its size in bytes, sorted by path. */
export async function listFiles(directory: string): Promise<Map<string, number>> {
  const files: [string, number][] = [];
  async function walk(folder: string): Promise<void> {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      const path = join(folder, name);
      if (isDirectory) await walk(path);
      else files.push([relative(directory, path).replaceAll("\\", "/"), (await Deno.stat(path)).size]);
    }
  }
  await walk(directory);
  return new Map(files.sort(([a], [b]) => a < b ? -1 : 1));
}

/** Writes the configuration that differs from the published one in its links alone. */
async function writeLinkedConfig(directory: string): Promise<void> {
  const { links } = await readConfig();
  const config = JSON.parse(await Deno.readTextFile(join(directory, "deno.json")));
  await writeConfig(join(directory, LINKED), {
    ...config,
    links: links.map((link) => join(ROOT, link)),
  });
}

/**
 * Runs `deno publish` in the directory, and returns what it printed.
 *
 * @throws {Error} If it fails, with what it printed.
 */
export async function denoPublish(
  directory: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<string> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["publish", ...args],
    cwd: directory,
    env: { NO_COLOR: "1", ...env },
    stdout: "piped",
    stderr: "piped",
  });
  const { success, stdout, stderr } = await command.output();
  const text = new TextDecoder().decode(stderr) + new TextDecoder().decode(stdout);
  if (!success) throw new Error(`Cannot publish ${directory}:\n${text}`);
  return text;
}

/**
 * Runs `deno publish --dry-run` in the copy of the package.
 *
 * @throws {Error} If it fails, or if it would publish other files than the copy holds.
 */
export async function dryRun(directory: string, { linked }: { linked: boolean }): Promise<void> {
  const files = [...(await listFiles(directory)).keys()];
  if (linked) {
    await writeLinkedConfig(directory);
    files.push(LINKED); // the configuration in use is always on the list
  }
  const printed = await denoPublish(directory, ["--dry-run", ...(linked ? ["--config", LINKED] : [])]);
  const root = await Deno.realPath(directory);
  const published = Array.from(
    printed.matchAll(/^ +file:\/\/(.+) \([\d.]+K?M?B\)$/gm),
    ([, path]) => relative(root, path!),
  );
  const differing = files.filter((file) => !published.includes(file))
    .concat(published.filter((file) => !files.includes(file)));
  if (differing.length > 0) throw new Error(`Cannot publish the package as these files are in doubt: ${differing}`);
}

if (import.meta.main) {
  const directory = await Deno.makeTempDir({ prefix: "firefly_publish_" });
  try {
    await copyPackage(directory);
    const files = await listFiles(directory);
    for (const [path, size] of files) console.log(`${String(size).padStart(8)}  ${path}`);
    const total = files.values().reduce((sum, size) => sum + size, 0);
    console.log(`${String(total).padStart(8)}  bytes in ${files.size} files`);
    if (Deno.args.includes("--publish")) {
      const { code } = await new Deno.Command(Deno.execPath(), { args: ["publish"], cwd: directory }).spawn().status;
      Deno.exitCode = code;
    } else {
      const linked = !Deno.args.includes("--jsr");
      await dryRun(directory, { linked });
      console.log(linked ? "Dry run passed, with @std from scripts/std" : "Dry run passed, with @std from JSR");
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}
