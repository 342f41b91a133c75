import { assert, assertEquals } from "@std/assert";
import { anchorsOf, linksOf, listPages } from "../../scripts/pages.ts";

const ROOT = new URL("../../", import.meta.url);

for (const page of await listPages()) {
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

Deno.test("docs/README.md links to every page", async () => {
  const linked = linksOf(await Deno.readTextFile(new URL("docs/README.md", ROOT))).map((link) => `docs/${link}`);
  const pages = (await listPages()).filter((page) => page.startsWith("docs/") && page !== "docs/README.md");
  assertEquals(pages.filter((page) => !linked.includes(page)), []);
});

Deno.test("each guarantee links to a test that proves it", async () => {
  const page = await Deno.readTextFile(new URL("docs/guarantees.md", ROOT));
  const [, ...sections] = page.split(/^## /m);
  assert(sections.length >= 8, "the page is not what this test looks for");
  const unproved = sections.filter((section) => {
    const [, proof = ""] = section.split(/^Proof: /m);
    return !linksOf(proof).some((link) => /^\.\.\/tests\/.*\.ts$/.test(link));
  });
  assertEquals(unproved, []);
});
