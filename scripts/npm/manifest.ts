import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Config } from "./config.ts";
import { NODE_FILE, OLDEST_NODE, PROGRAM } from "./node_version.ts";
import { run } from "./run.ts";

/** The bundled file of an entry: `./mod.ts` is in `mod.js`. */
export function fileOf(entry: string): string {
  return basename(entry).replace(/\.ts$/, ".js");
}

/** The packages of npm that `deno.json` pins, with their versions, by the names that the sources import. */
export function npmPackages({ imports }: Config): Map<string, string> {
  const packages = Object.entries(imports).flatMap(([name, target]) => {
    const [, version] = /^npm:.*@([^@]+)$/.exec(target) ?? [];
    return version === undefined ? [] : [[name, version] as const];
  });
  return new Map(packages);
}

/** Writes the `package.json` of a package whose modules are in `dist/` already. */
export async function writeManifest(directory: string, config: Config): Promise<void> {
  const { name, version, license } = config;
  const exports = Object.entries(config.exports).map(([key, entry]) => {
    const file = `./dist/${fileOf(entry)}`;
    return [key, { types: file.replace(/\.js$/, ".d.ts"), default: file }] as const;
  });
  const content = {
    name,
    version,
    description: "A Postgres task queue: tasks are plain TypeScript functions, and your database is the queue",
    keywords: ["background", "cron", "jobs", "postgres", "postgresql", "queue", "scheduler", "tasks", "worker"],
    homepage: `https://jsr.io/${name}`,
    license,
    type: "module",
    engines: { node: `>=${OLDEST_NODE}` },
    bin: { firefly: `./dist/${PROGRAM}` },
    exports: { ...Object.fromEntries(exports), "./package.json": "./package.json" },
    // A bundler leaves out modules that only run: these do nothing else.
    sideEffects: [NODE_FILE, PROGRAM, fileOf(config.exports["./cli"]!)].map((file) => `./dist/${file}`),
    files: ["dist", "CHANGELOG.md"],
    publishConfig: { access: "public" },
    dependencies: await readDependencies(join(directory, "dist"), npmPackages(config)),
  };
  await Deno.writeTextFile(join(directory, "package.json"), JSON.stringify(content, null, 2) + "\n");
}

/** The packages that the bundled modules import, with their pinned versions. */
async function readDependencies(
  dist: string,
  packages: ReadonlyMap<string, string>,
): Promise<Record<string, string>> {
  const imported = (await listImports(dist)).filter((specifier) => !specifier.startsWith("node:"));
  const owners = imported.map((specifier) => {
    const owner = [...packages.keys()].find((name) => specifier === name || specifier.startsWith(`${name}/`));
    if (owner === undefined) throw new Error(`Cannot build the package as its modules import ${specifier}`);
    return owner;
  });
  return Object.fromEntries([...new Set(owners)].sort().map((name) => [name, packages.get(name)!]));
}

/** What the modules of a directory import that is not beside them: `postgres`, `node:path`. */
export async function listImports(dist: string): Promise<string[]> {
  const work = await Deno.makeTempDir({ prefix: "firefly_imports_" });
  try {
    const files = [];
    for await (const { name } of Deno.readDir(dist)) if (name.endsWith(".js")) files.push(join(dist, name));
    const all = join(work, "all.js");
    await Deno.writeTextFile(all, files.map((file) => `import "${pathToFileURL(file).href}";\n`).join(""));
    const printed = await run(Deno.execPath(), ["info", "--json", "--no-lock", "--no-remote", "--no-npm", all], work);
    const { modules } = JSON.parse(printed) as { modules: { dependencies?: { specifier: string }[] }[] };
    const specifiers = modules.flatMap(({ dependencies = [] }) => dependencies.map(({ specifier }) => specifier));
    return [...new Set(specifiers)].filter((specifier) => !/^(\.|file:)/.test(specifier)).sort();
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}
