import { assert, assertEquals } from "@std/assert";
import { linksOf } from "../../scripts/pages.ts";

const DOCS = new URL("../../docs/", import.meta.url);
const page = await Deno.readTextFile(new URL("frameworks.md", DOCS));

async function examplesBelow(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(new URL(folder, DOCS))) {
    if (isDirectory) files.push(...await examplesBelow(`${folder}${name}/`));
    else files.push(folder + name);
  }
  return files.sort();
}

const examples = await examplesBelow("frameworks/");
const sources = await Promise.all(
  examples.map(async (file) => [file, await Deno.readTextFile(new URL(file, DOCS))] as const),
);

Deno.test("each fragment of docs/frameworks.md is a part of an example", () => {
  const lines = (text: string) => text.trim().split("\n").map((line) => line.trim()).join("\n");
  const fragments = Array.from(page.matchAll(/^```ts ignore\n(.*?)^```/gms), ([, text]) => lines(text!));

  const found = fragments.map((fragment) => sources.some(([, source]) => lines(source).includes(fragment)));

  assert(fragments.length >= 3);
  assertEquals(fragments.filter((_, i) => !found[i]), []);
});

Deno.test("docs/frameworks.md links to every example, or to a folder that it is in", () => {
  const links = linksOf(page);

  const missing = examples.filter((file) =>
    !links.some((link) => link.endsWith("/") ? file.startsWith(link) : file === link)
  );

  // What they have around them says nothing of Firefly.
  assertEquals(missing, ["frameworks/next/next.config.mjs", "frameworks/next/tsconfig.json"]);
});

Deno.test("each example for a framework is run by a program of tests/everywhere/frameworks", async () => {
  const folder = new URL("../everywhere/frameworks/", import.meta.url);
  const programs = await Promise.all(
    Array.from(Deno.readDirSync(folder)).filter(({ isFile }) => isFile)
      .map(({ name }) => Deno.readTextFile(new URL(name, folder))),
  );
  const servers = sources.filter(([, source]) => /stopAtSignal\(|stopServerAtSignal\(/.test(source))
    .map(([file]) => file.slice("frameworks/".length)).filter((file) => file !== "firefly.ts");

  assertEquals(servers, ["express.ts", "fastify.ts", "fresh/main.ts", "hono_bun.ts", "hono_deno.ts", "hono_node.ts"]);
  for (const file of servers) {
    const name = file.replace(/_(?:bun|deno|node)\.ts$/, "_");
    assert(programs.some((program) => program.includes(name)), `no program runs ${file}`);
  }
});
