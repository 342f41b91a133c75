import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
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
    "LICENSE",
    "README.md",
    "cli.ts",
    "deno.json",
    "mod.ts",
    "src",
  ]);
  assertEquals(copy.files.filter((file) => /(^|\/)\.|_test\.ts$/.test(file)), []);
});

Deno.test("copyPackage() copies every entry of exports", async () => {
  await using copy = await packageCopy();

  for (const path of Object.values(copy.config.exports)) assert(copy.files.includes(path.replace("../", "")), path);
});

Deno.test("dryRun() refuses a package without one of its modules", async () => {
  await using copy = await packageCopy();
  await Deno.remove(`${copy.directory}/src/errors.ts`);

  await assertRejects(() => dryRun(copy.directory, { linked: true }), Error, "src/errors.ts");
});

Deno.test("deno task doc lints every entry of exports", async () => {
  await using copy = await packageCopy();
  const { tasks } = JSON.parse(await Deno.readTextFile(new URL("../../deno.json", import.meta.url)));

  const entries = Object.values(copy.config.exports).map((path) => path.replace("../", ""));
  assertEquals(tasks.doc.command, `deno doc --lint ${entries.join(" ")}`);
});
