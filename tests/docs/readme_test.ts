import { assert, assertEquals } from "@std/assert";
import { linksOf } from "../../scripts/pages.ts";
import { testDatabase } from "../support/database.ts";
import { until } from "../support/waiting.ts";

/** The beginnings of fragments for runners that have `await using` on Node 22, too, or are not for Node. */
const WITH_USING = /^```ts ignore\n\/\/ (deno test|vitest)/;

/** README.md is what newcomers copy from, and what JSR shows. */

const ROOT = new URL("../../", import.meta.url);
const README = await Deno.readTextFile(new URL("README.md", ROOT));
const CONFIG = new URL("deno.json", ROOT).pathname;
const HONO = "npm:hono@4.10.4";

const blocks = Array.from(README.matchAll(/^```ts.*?\n(.*?)^```/gms), ([, text]) => text!);

Deno.test("README.md imports only what a project of one's own has", () => {
  const imported = blocks.flatMap((block) => Array.from(block.matchAll(/from "(.*?)"/g), ([, name]) => name!));
  const known = ["@firefly/tasks", "./tasks.ts", "hono", "zod"];
  assertEquals(imported.filter((name) => !known.includes(name)), []);
});

Deno.test("no program of README.md and docs/ has `await using`, which Node 22 cannot parse", async () => {
  const found: string[] = [];
  for (const folder of ["", "docs/", "docs/reports/"]) {
    for await (const { name } of Deno.readDir(new URL(folder || ".", ROOT))) {
      if (!name.endsWith(".md") || folder === "" && name !== "README.md") continue;
      const page = await Deno.readTextFile(new URL(folder + name, ROOT));
      for (const [block] of page.matchAll(/^```ts.*?^```/gms)) {
        if (/^\s*await using /m.test(block) && !WITH_USING.test(block)) found.push(folder + name);
      }
    }
  }
  assertEquals(found, []);
});

Deno.test("README.md links only to what is published", async () => {
  const { publish } = JSON.parse(await Deno.readTextFile(CONFIG)) as { publish: { include: string[] } };
  const unpublished = linksOf(README).map((link) => link.split("#")[0]!)
    .filter((path) => path && !publish.include.some((one) => one.endsWith("/") ? path.startsWith(one) : path === one));
  assertEquals(unpublished, []);
});

Deno.test("README.md's application answers 202, 422, 404 and results over HTTP", async () => {
  await using db = await testDatabase();
  const directory = await Deno.makeTempDir({ prefix: "firefly_readme_" });
  const program = blocks.find((block) => block.includes("new Hono()"))!.replace('from "hono"', `from "${HONO}"`);
  await Deno.writeTextFile(`${directory}/app.ts`, program);
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "serve",
      "-A",
      "--no-check",
      "--no-lock",
      "--config",
      CONFIG,
      "--host",
      "127.0.0.1",
      "--port",
      "0",
      "app.ts",
    ],
    cwd: directory,
    env: { NO_COLOR: "1", FIREFLY_DATABASE_URL: db.url },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  let said = "";
  const reading = (async () => {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) said += text;
  })();
  try {
    await until(() => /http:\/\/127\.0\.0\.1:\d+/.test(said), 60_000);
    const [origin] = /http:\/\/127\.0\.0\.1:\d+/.exec(said)!;
    const ask = async (path: string, body?: string): Promise<[status: number, json: Record<string, unknown>]> => {
      const response = await fetch(origin + path, body === undefined ? {} : { method: "POST", body });
      const text = await response.text();
      return [response.status, text.startsWith("{") ? JSON.parse(text) : {}];
    };

    const [created, { id }] = await ask("/sums", `{"i":1,"j":3}`);
    const [found, shown] = await ask(`/sums/${id}`);

    assertEquals([created, found, shown.status], [202, 200, "created"], said);
    for (const body of ["{}", "no json", `{"i":"1","j":3}`, "null", ""]) {
      assertEquals((await ask("/sums", body))[0], 422, body);
    }
    for (const path of ["abc", "-1", "1.5", "99999999999999999999"]) {
      assertEquals((await ask(`/sums/${path}`))[0], 422, path);
    }
    for (const path of ["999999", ""]) assertEquals((await ask(`/sums/${path}`))[0], 404, path);
    const [{ count }] = await db.sql`SELECT count(*)::int FROM firefly.task` as unknown as [{ count: number }];
    assertEquals(count, 1);
    assert(!said.includes("Error"), said);
  } finally {
    child.kill("SIGKILL");
    await child.status;
    await reading;
    await Deno.remove(directory, { recursive: true });
  }
});
