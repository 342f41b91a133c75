import { basename, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { INSTALL, installPackages } from "../npm/install.ts";
import { run } from "../npm/run.ts";
import { copyPackage } from "../publish.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const PROGRAMS = join(ROOT, "tests/everywhere");
/** What programs import as `../values/…`. */
const VALUES = join(ROOT, "tests/wire/values");
const LOCKFILES = ["package-lock.json", "node_modules/.package-lock.json"];

/** Where projects are made. */
export interface Workshop {
  /** The projects of this run. */
  readonly directory: string;
  /** The package that the tarball was made of. */
  readonly built: string;
  readonly tarball: string;
}

/**
 * Makes a project from clean: the tarball and the libraries of a `package.json`, the programs of the areas, and a
 * `deno.json` by which Deno takes Firefly's sources as JSR would serve them, and the libraries from `node_modules`.
 */
export async function makeProject(
  name: string,
  { workshop, manifest, areas }: { workshop: Workshop; manifest: string; areas: readonly string[] },
): Promise<string> {
  const directory = join(workshop.directory, name);
  await Deno.mkdir(directory);
  const content = JSON.parse(await Deno.readTextFile(manifest));
  const libraries = await installPackages(content);
  // Links cost no time. But npm writes its lockfiles in place: linked ones would name this run's tarball in all others.
  await run("cp", ["-al", join(libraries, "node_modules"), directory], ROOT);
  for (const lockfile of LOCKFILES) {
    await Deno.remove(join(directory, lockfile)).catch(() => {});
    await Deno.copyFile(join(libraries, lockfile), join(directory, lockfile));
  }
  const dependencies = { ...content.dependencies, "@firefly/tasks": `file:${workshop.tarball}` };
  await Deno.writeTextFile(join(directory, "package.json"), JSON.stringify({ ...content, dependencies }, null, 2));
  await run("npm", INSTALL, directory);
  await run("diff", ["-rq", workshop.built, join(directory, "node_modules/@firefly/tasks")], ROOT);
  await writeDenoProject(directory);
  await Deno.copyFile(join(PROGRAMS, "check.ts"), join(directory, "check.ts"));
  await run("cp", ["-r", VALUES, directory], ROOT);
  for (const area of areas) {
    await run("cp", ["-r", join(PROGRAMS, area), directory], ROOT);
    // Deno would take the folder for a project of its own.
    await Deno.remove(join(directory, area, "package.json")).catch(() => {});
  }
  return directory;
}

/** Gives Deno the published sources, with the import map made absolute, and the libraries from `node_modules`. */
async function writeDenoProject(directory: string): Promise<void> {
  const sources = join(directory, "firefly");
  await Deno.mkdir(sources);
  await copyPackage(sources);
  const { name, exports } = JSON.parse(await Deno.readTextFile(join(sources, "deno.json")));
  await Deno.remove(join(sources, "deno.json")); // its imports would be a second import map
  const imports: Record<string, string> = {};
  for (const [key, file] of Object.entries<string>(exports)) {
    imports[join(name, key)] = `./firefly/${basename(file)}`;
  }
  Object.assign(imports, await bundleLinks(directory));
  const config = { imports, nodeModulesDir: "manual", lock: false };
  await Deno.writeTextFile(join(directory, "deno.json"), JSON.stringify(config, null, 2));
}

/** Bundles what `links` of `deno.json` stand in for, and returns the imports of the bundles. */
async function bundleLinks(directory: string): Promise<Record<string, string>> {
  const { links } = JSON.parse(await Deno.readTextFile(join(ROOT, "deno.json"))) as { links: string[] };
  const modules = (await Promise.all(links.map(linkedModules))).flat();
  const files = modules.map(([, file]) => file);
  await run(Deno.execPath(), ["bundle", "--quiet", "--outdir", join(directory, "std"), ...files], ROOT);
  const folder = join("scripts", "std"); // which all of them have in common
  return Object.fromEntries(
    modules.map(([name, file]) => [name, `./std/${relative(folder, file).replace(/\.ts$/, ".js")}`]),
  );
}

/** The modules of a linked package: their specifiers, and their files from the root. */
async function linkedModules(folder: string): Promise<[string, string][]> {
  const { name, exports } = JSON.parse(await Deno.readTextFile(join(ROOT, folder, "deno.json")));
  const files = typeof exports === "string" ? { ".": exports } : exports as Record<string, string>;
  return Object.entries(files).map(([key, file]) => [join(name, key), join(folder, file)]);
}
