import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { linksOf, pathOf, unlinkUnpublished } from "../../scripts/pages.ts";
import { copyPackage, dryRun, listFiles } from "../../scripts/publish.ts";
import { VERSION } from "../../src/version.ts";

interface Package {
  directory: string;
  files: string[];
  config: Record<string, unknown> & { exports: Record<string, string> };
  [Symbol.asyncDispose](): Promise<void>;
}

/** A copy of the package as it is published. */
async function packageCopy(): Promise<Package> {
  const directory = await Deno.makeTempDir();
  await copyPackage(directory);
  return {
    directory,
    files: [...(await listFiles(directory)).keys()],
    config: JSON.parse(await Deno.readTextFile(`${directory}/deno.json`)),
    [Symbol.asyncDispose]: () => Deno.remove(directory, { recursive: true }),
  };
}

Deno.test("copyPackage() leaves links and tasks out of deno.json", async () => {
  await using copy = await packageCopy();

  const kept = ["name", "version", "license", "exports", "imports", "compilerOptions"];
  assertEquals(Object.keys(copy.config), kept);
});

Deno.test("copyPackage() publishes the version that VERSION says", async () => {
  await using copy = await packageCopy();

  assertEquals(copy.config.version, VERSION);
});

Deno.test("copyPackage() keeps the real @std", async () => {
  await using copy = await packageCopy();

  for (const [name, target] of Object.entries(copy.config.imports as Record<string, string>)) {
    if (name.startsWith("@std/")) assertStringIncludes(target, `jsr:${name}@^1.`);
  }
});

Deno.test("copyPackage() copies sources and documents, and nothing else", async () => {
  await using copy = await packageCopy();

  const top = new Set(copy.files.map((file) => file.split("/")[0]));
  assertEquals([...top].sort(), [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "STYLE.md",
    "adapters.ts",
    "cli.ts",
    "dashboard.ts",
    "deno.json",
    "docs",
    "import.ts",
    "main.ts",
    "metrics.ts",
    "mod.ts",
    "src",
    "testing.ts",
  ]);
  assertEquals(copy.files.filter((file) => /(^|\/)\.|_test\.ts$/.test(file)), []);
});

Deno.test("copyPackage() publishes every page of docs/, and only links to what is published", async () => {
  await using copy = await packageCopy();

  const pages = copy.files.filter((file) => file.endsWith(".md"));
  assert(pages.filter((page) => page.startsWith("docs/")).length > 20, "where is docs/?");
  const broken: string[] = [];
  let links = 0;
  for (const page of pages) {
    for (const link of linksOf(await Deno.readTextFile(`${copy.directory}/${page}`))) {
      links++;
      const path = pathOf(page, link.split("#")[0] || page.split("/").at(-1)!);
      const found = await Deno.stat(`${copy.directory}/${path}`).then(() => true, () => false);
      if (!found) broken.push(`${page}: ${link}`);
    }
  }
  assert(links > 100, "where are the links?");
  assertEquals(broken, []);
});

Deno.test("unlinkUnpublished() keeps links to published files, other sites and anchors, and code", () => {
  const markdown = [
    "[a](b.md#c), [site](https://example.org/x), [here](#there), [src](../src/), [test](../tests/a_test.ts),",
    "[`tests/a_test.ts`](../tests/a_test.ts) and ![Rates](r.svg)",
    "```md",
    "[test](../tests/a_test.ts)",
    "```",
    "",
  ].join("\n");

  assertEquals(
    unlinkUnpublished("docs/page.md", markdown, ["docs/b.md", "docs/page.md", "src/a.ts"]),
    [
      "[a](b.md#c), [site](https://example.org/x), [here](#there), [src](../src/), test (`tests/a_test.ts`),",
      "`tests/a_test.ts` and Rates (`docs/r.svg`)",
      "```md",
      "[test](../tests/a_test.ts)",
      "```",
      "",
    ].join("\n"),
  );
});

Deno.test("copyPackage() copies every entry of exports", async () => {
  await using copy = await packageCopy();

  for (const path of Object.values(copy.config.exports)) assert(copy.files.includes(path.replace("./", "")), path);
});

Deno.test("dryRun() refuses a package without one of its modules", async () => {
  await using copy = await packageCopy();
  await Deno.remove(`${copy.directory}/src/errors.ts`);

  await assertRejects(() => dryRun(copy.directory, { linked: true }), Error, "src/errors.ts");
});

Deno.test("deno task doc lints every entry of exports", async () => {
  await using copy = await packageCopy();
  const { tasks } = JSON.parse(await Deno.readTextFile(new URL("../../deno.json", import.meta.url)));

  const entries = Object.values(copy.config.exports).map((path) => path.replace("./", ""));
  assertEquals(tasks.doc.command, `deno doc --lint ${entries.join(" ")}`);
});
