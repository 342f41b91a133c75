/**
 * The package as it is published, from a JSR registry of this machine, by a Deno with an empty cache: in an empty
 * directory, without this repository's configuration. `FIREFLY_STD` names a checkout of `github.com/denoland/std`, to run
 * with the real `@std` in place of the stand-ins.
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { LocalRegistry } from "../../scripts/jsr/local_registry.ts";
import { Registry } from "../../scripts/jsr/registry.ts";
import { denoPublish } from "../../scripts/publish.ts";
import { testDatabase } from "../support/database.ts";
import { jsonLines } from "../support/project.ts";

const ROOT = new URL("../../", import.meta.url);
const { version, exports }: { version: string; exports: Record<string, string> } = JSON.parse(
  await Deno.readTextFile(new URL("deno.json", ROOT)),
);
const CLI = "jsr:@firefly/tasks/cli";
/** The entries that export something, as `""` or `"/dashboard"`. */
const ENTRIES = Object.keys(exports).map((name) => name.slice(1)).filter((name) => name !== "/cli");

const TASKS = `
  import { task } from "jsr:@firefly/tasks";
  export const add = task("math.add", (i: number, j: number) => i + j);
`;

/** A program of a stranger, whose types must hold: those of the package reach it. */
const TYPED = `
  import { task, type TaskRecord } from "jsr:@firefly/tasks";
  const add = task("math.add", (i: number, j: number) => i + j);
  export async function sum(): Promise<number> {
    // @ts-expect-error The task takes numbers.
    await add.schedule("1", 3);
    return await add.schedule(1, 3).result();
  }
  export type Sum = TaskRecord<[i: number, j: number], number>;
`;

/** Runs Deno in the stranger's directory; what it downloads is told on stderr. */
async function deno(registry: LocalRegistry, args: string[], env: Record<string, string> = {}) {
  const command = new Deno.Command(Deno.execPath(), {
    args,
    cwd: registry.directory,
    env: { NO_COLOR: "1", ...registry.env, ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
  const { code, stdout, stderr } = await command.output();
  return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
}

/** The same, for what must exit with 0; resolves to what it printed. */
async function succeed(...parameters: Parameters<typeof deno>): Promise<string> {
  const { code, stdout, stderr } = await deno(...parameters);
  assertEquals(code, 0, stderr);
  return stdout;
}

Deno.test("the published package runs from a JSR registry, with nothing cached", async (test) => {
  await using registry = await LocalRegistry.start({ std: Deno.env.get("FIREFLY_STD") });
  await using db = await testDatabase({ migrated: false });
  const cli = (...args: string[]) =>
    succeed(registry, ["run", "-A", CLI, ...args], { FIREFLY_DATABASE_URL: db.url, DATABASE_URL: "" });

  await test.step("cli help", async () => {
    const { code, stdout, stderr } = await deno(registry, ["run", "-A", "--reload", CLI, "help"]);
    assertEquals(code, 0, stderr);
    assertStringIncludes(stderr, `Download ${registry.url}@firefly/tasks/${version}/cli.ts`);
    assertStringIncludes(stdout, "consume      Run tasks");
  });

  await test.step("cli migrate, tasks, schedule, consume and list", async () => {
    await Deno.writeTextFile(join(registry.directory, "tasks.ts"), TASKS);
    await cli("migrate");
    assertStringIncludes(await cli("tasks"), "math.add");
    await cli("schedule", "math.add", "[1, 3]");
    await cli("consume", "--drain");
    const [record] = jsonLines(await cli("list", "--json"));
    assertEquals([record.status, record.returned], ["completed", 4]);
  });

  for (const entry of ENTRIES) {
    await test.step(`import of jsr:@firefly/tasks${entry}`, async () => {
      const program = `console.log(JSON.stringify(Object.keys(await import("jsr:@firefly/tasks${entry}"))))`;
      const names = JSON.parse(await succeed(registry, ["eval", program]));
      assertEquals(names, Object.keys(await import(new URL(exports[`.${entry}`]!, ROOT).href)));
    });
  }

  await test.step("types", async () => {
    await Deno.writeTextFile(join(registry.directory, "typed.ts"), TYPED);
    await succeed(registry, ["check", "typed.ts"]);
  });

  await test.step("documentation", async () => {
    const printed = await succeed(registry, ["doc", "--filter", "task", "jsr:@firefly/tasks"]);
    assertStringIncludes(printed, "maxRetries");
  });
});

/** A package of one module, to be published. */
async function smallPackage(module: string): Promise<string> {
  const directory = await Deno.makeTempDir();
  const config = { name: "@try/one", version: "1.0.0", license: "MIT", exports: "./mod.ts" };
  await Deno.writeTextFile(join(directory, "deno.json"), JSON.stringify(config));
  await Deno.writeTextFile(join(directory, "mod.ts"), module);
  return directory;
}

Deno.test("Registry serves what deno publish uploads, by the sizes and checksums of its manifest", async () => {
  await using registry = await Registry.start();
  const directory = await smallPackage("export const one: number = 1;\n");

  await denoPublish(directory, ["--token", "x", "--no-check"], { JSR_URL: registry.url });

  const meta = await (await fetch(`${registry.url}@try/one/meta.json`)).json();
  assertEquals(Object.keys(meta.versions), ["1.0.0"]);
  const { manifest, exports } = await (await fetch(`${registry.url}@try/one/1.0.0_meta.json`)).json();
  assertEquals(exports, { ".": "./mod.ts" });
  const response = await fetch(`${registry.url}@try/one/1.0.0/mod.ts`);
  const bytes = await response.bytes();
  const checksum = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
  assertEquals(manifest["/mod.ts"], { size: bytes.length, checksum: `sha256-${checksum}` });
  assertEquals(response.headers.get("content-type"), "text/typescript");
  await Deno.remove(directory, { recursive: true });
});

Deno.test("Registry refuses another upload of a version", async () => {
  await using registry = await Registry.start();
  const directory = await smallPackage("export const one: number = 1;\n");
  await denoPublish(directory, ["--token", "x", "--no-check"], { JSR_URL: registry.url });

  const url = `${registry.url}api/scopes/try/packages/one/versions/1.0.0?config=/deno.json`;
  const response = await fetch(url, { method: "POST", body: "" });

  assertEquals([response.status, (await response.json()).code], [409, "versionExists"]);
  await Deno.remove(directory, { recursive: true });
});

Deno.test("Registry serves nothing from outside of its directory", async () => {
  await using registry = await Registry.start();

  const response = await fetch(`${registry.url}..%2f..%2f..%2f..%2fetc%2fpasswd`);

  assertEquals(response.status, 404);
  await response.body?.cancel();
});

Deno.test("denoPublish() refuses slow types, and imports that are not published", async () => {
  await using registry = await Registry.start();
  const slow = await smallPackage("export const one = Math.random();\n");
  const broken = await smallPackage('export { two } from "./two.ts";\n');

  const publish = (directory: string) =>
    denoPublish(directory, ["--token", "x", "--no-check"], { JSR_URL: registry.url });
  await assertRejects(() => publish(slow), Error, "missing-explicit-type");
  await assertRejects(() => publish(broken), Error, "two.ts");

  assert(!(await fetch(`${registry.url}@try/one/meta.json`).then(async (it) => (await it.body?.cancel(), it.ok))));
  for (const directory of [slow, broken]) {
    await Deno.remove(directory, { recursive: true });
  }
});
