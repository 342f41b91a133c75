import { assert, assertEquals } from "@std/assert";

const ROOT = new URL("../../", import.meta.url);

/** The pages that people read, from the root. */
const pages = ["", "docs/", "docs/reports/"].flatMap((folder) =>
  Array.from(Deno.readDirSync(new URL(folder || ".", ROOT)), ({ name }) => `${folder}${name}`)
).filter((path) => path.endsWith(".md")).sort();

/** The targets of a page's links, without those to other sites. */
function linksOf(markdown: string): string[] {
  const prose = markdown.replace(/^```.*?^```/gms, "");
  return Array.from(prose.matchAll(/\]\(([^)\s]+)\)/g), ([, target]) => target!).filter((target) =>
    !/^\w+:/.test(target)
  );
}

/** The anchors of a page, as GitHub makes them of its headings. */
function anchorsOf(markdown: string): string[] {
  const headings = markdown.replace(/^```.*?^```/gms, "").matchAll(/^#+ (.*)$/gm);
  return Array.from(
    headings,
    ([, text]) => text!.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").trim().replaceAll(" ", "-"),
  );
}

for (const page of pages) {
  Deno.test(`${page} links to what is there`, async () => {
    const markdown = await Deno.readTextFile(new URL(page, ROOT));
    const broken: string[] = [];
    for (const link of linksOf(markdown)) {
      const [path, anchor] = link.split("#");
      const target = path ? new URL(path, new URL(page, ROOT)) : new URL(page, ROOT);
      const found = await Deno.stat(target).then(() => true, () => false);
      if (!found) broken.push(link);
      else if (anchor && !anchorsOf(await Deno.readTextFile(target)).includes(anchor)) broken.push(link);
    }
    assertEquals(broken, []);
  });
}

Deno.test("each promise of README.md links to a test that proves it", async () => {
  const readme = await Deno.readTextFile(new URL("README.md", ROOT));
  const [, section] = /^## The promise\n(.*?)^## /ms.exec(readme)!;
  const rows = section!.split("\n").filter((line) => line.startsWith("| ")).slice(2);
  assert(rows.length >= 8, "the table is not what this test looks for");
  const unproved = rows.filter((row) => !linksOf(row.split("|").at(-2)!).some((link) => /^tests\/.*\.ts$/.test(link)));
  assertEquals(unproved, []);
});
