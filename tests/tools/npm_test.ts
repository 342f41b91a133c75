import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bringRuntimes } from "../../scripts/everywhere/runtimes.ts";
import { buildPackage, checkPackage, pack } from "../../scripts/npm.ts";
import { readConfig } from "../../scripts/npm/config.ts";
import { cacheDirectory, INSTALL } from "../../scripts/npm/install.ts";
import { listImports } from "../../scripts/npm/manifest.ts";
import { NODE_CODE } from "../../scripts/npm/node_version.ts";
import { linkToJsr } from "../../scripts/npm/readme.ts";
import { run } from "../../scripts/npm/run.ts";
import { linksOf } from "../../scripts/pages.ts";
import { copyPackage, listFiles } from "../../scripts/publish.ts";

interface Built {
  directory: string;
  files: string[];
  manifest: {
    version: string;
    bin: Record<string, string>;
    exports: Record<string, string | { types: string; default: string }>;
    sideEffects: string[];
    dependencies: Record<string, string>;
  };
}

let built: Promise<Built> | undefined;

/** The package, which is built once. */
function npmPackage(): Promise<Built> {
  return built ??= (async () => {
    const directory = await Deno.makeTempDir({ prefix: "firefly_npm_test_" });
    globalThis.addEventListener("unload", () => Deno.removeSync(directory, { recursive: true }));
    await buildPackage(directory);
    const files = [...(await listFiles(directory)).keys()];
    return { directory, files, manifest: JSON.parse(await Deno.readTextFile(join(directory, "package.json"))) };
  })();
}

Deno.test("buildPackage() writes modules, types and documents, and nothing else", async () => {
  const { files } = await npmPackage();
  const { exports } = await readConfig();

  const entries = Object.values(exports).map((entry) => entry.replace(/^\.\/(.*)\.ts$/, "$1"));
  const expected = [
    ...["CHANGELOG.md", "LICENSE", "README.md", "package.json", "dist/firefly.js", "dist/node.js"],
    ...entries.flatMap((entry) => [`dist/${entry}.js`, `dist/${entry}.d.ts`]),
  ];
  assertEquals(expected.filter((file) => !files.includes(file)), []);
  const shared = files.filter((file) => !expected.includes(file));
  assertEquals(shared.filter((file) => !/^dist\/[\w.-]+\.(js|d\.ts)$/.test(file)), []);
});

Deno.test("buildPackage() names the types of every export first, and files that exist", async () => {
  const { manifest, files } = await npmPackage();
  const { exports, version } = await readConfig();

  assertEquals(Object.keys(manifest.exports), [...Object.keys(exports), "./package.json"]);
  for (const target of Object.values(manifest.exports)) {
    if (typeof target === "string") continue;
    assertEquals(Object.keys(target), ["types", "default"]);
    for (const file of Object.values(target)) assert(files.includes(file.replace("./", "")), file);
  }
  assertEquals(manifest.version, version);
  for (const file of [...manifest.sideEffects, ...Object.values(manifest.bin)]) {
    assert(files.includes(file.replace("./", "")), file);
  }
});

Deno.test("buildPackage() depends on just what its modules import, in pinned versions, and not on @std", async () => {
  const { directory, manifest } = await npmPackage();

  const imports = (await listImports(join(directory, "dist"))).filter((name) => !name.startsWith("node:"));
  const owners = imports.map((name) => /^(@[^/]+\/)?[^/]+/.exec(name)![0]);
  assertEquals([...new Set(owners)].sort(), Object.keys(manifest.dependencies));
  for (const version of Object.values(manifest.dependencies)) assertMatch(version, /^\d+\.\d+\.\d+$/);
  assertEquals(owners.filter((name) => name.startsWith("@std/")), []);
  assert(owners.includes("postgres") && owners.includes("hono"), `imports only ${imports}`);
});

Deno.test("buildPackage() leaves no path of this machine in a file", async () => {
  const { directory, files } = await npmPackage();
  const root = fileURLToPath(new URL("../../", import.meta.url));

  for (const file of files) {
    const text = await Deno.readTextFile(join(directory, file));
    assert(!text.includes(root), file);
    assert(!/file:\/\/\/\w|sourceMappingURL/.test(text), file);
  }
});

Deno.test("buildPackage() writes a README whose links lead to published files, and to other sites", async () => {
  const { directory } = await npmPackage();
  const { name, version } = await readConfig();
  const published = await Deno.makeTempDir();
  await copyPackage(published);
  const known = [...(await listFiles(published)).keys()];
  await Deno.remove(published, { recursive: true });

  const readme = await Deno.readTextFile(join(directory, "README.md"));
  assertEquals(linksOf(readme).filter((link) => !link.startsWith("#")), []);
  const links = Array.from(readme.matchAll(/\]\(https:\/\/jsr\.io\/([^)#]+)/g), ([, path]) => path!);
  assert(links.length > 10, "where are the links?");
  const broken = links.filter((link) => !known.includes(link.replace(`${name}/${version}/`, "")));
  assertEquals(broken, []);
});

Deno.test("linkToJsr() keeps links to other sites and anchors, and code", async () => {
  const config = { ...await readConfig(), version: "1.2.3" };
  const markdown = "[a](docs/a.md#b), [site](https://example.org), [here](#there)\n```md\n[a](docs/a.md)\n```\n";

  assertEquals(
    linkToJsr(markdown, config),
    "[a](https://jsr.io/@firefly/tasks/1.2.3/docs/a.md#b), [site](https://example.org), [here](#there)\n" +
      "```md\n[a](docs/a.md)\n```\n",
  );
});

for (
  const [versions, refused] of [
    [{ node: "20.20.2" }, true],
    [{ node: "22.17.9" }, true],
    [{ node: "22.18.0" }, false],
    [{ node: "23.0.0" }, false],
    [{ node: "24.1.0" }, false],
    [{ node: "20.0.0", bun: "1.3.0" }, false],
    [{ node: "20.0.0", deno: "2.9.0" }, false],
  ] as const
) {
  Deno.test(`dist/node.js ${refused ? "refuses" : "accepts"} ${JSON.stringify(versions)}`, async () => {
    const fake = `const process = ${JSON.stringify({ versions })};`;
    const code = NODE_CODE.replace('import process from "node:process";', fake);
    const load = () => import(`data:text/javascript,${encodeURIComponent(code)}`);

    if (!refused) return void await load();
    await assertRejects(load, Error, `Cannot run Firefly on Node ${versions.node}: it needs Node 22.18 or newer`);
  });
}

Deno.test("checkPackage() passes, and refuses a package without types", async () => {
  const { directory } = await npmPackage();
  const work = await Deno.makeTempDir();
  try {
    await checkPackage(await pack(directory, work));
    await run("cp", ["-r", directory, join(work, "broken")], work);
    await Deno.remove(join(work, "broken/dist/dashboard.d.ts"));

    await assertRejects(async () => await checkPackage(await pack(join(work, "broken"), work)), Error, "dashboard");
  } finally {
    await Deno.remove(work, { recursive: true });
  }
});

Deno.test("npx firefly runs the packed program, and says which Node it needs on an old one", async () => {
  const { directory, manifest } = await npmPackage();
  const runtimes = await bringRuntimes(cacheDirectory());
  const project = await Deno.makeTempDir();
  try {
    const tarball = await pack(directory, project);
    await Deno.writeTextFile(join(project, "package.json"), `{ "private": true }`);
    await run("npm", [...INSTALL, tarball], project);
    const program = join(project, "node_modules/.bin/firefly");

    assertEquals(
      await run(join(runtimes.directory, "node24"), [program, "--version"], project),
      `${manifest.version}\n`,
    );
    const old = await assertRejects(
      () => run(join(runtimes.directory, "node20"), [program, "--version"], project),
      Error,
    );
    assertStringIncludes(old.message, "\nCannot run Firefly on Node 20.");
  } finally {
    await Deno.remove(project, { recursive: true });
  }
});
