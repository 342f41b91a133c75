/**
 * Reads the documentation: which pages there are, and where they link to.
 *
 * @module
 */
const ROOT = new URL("../", import.meta.url);
const CODE_BLOCK = /^```.*?^```/gms;
const LINK = /\]\(([^)\s]+)\)/g;

/** The pages that people read: those of the root, of `docs/` and of `.github/`, as sorted paths from the root. */
export async function listPages(): Promise<string[]> {
  const pages: string[] = [];
  async function walk(folder: string, deep: boolean): Promise<void> {
    for await (const { name, isDirectory } of Deno.readDir(new URL(folder, ROOT))) {
      if (isDirectory) {
        if (deep) await walk(`${folder}${name}/`, true);
      } else if (name.endsWith(".md")) pages.push(folder + name);
    }
  }
  await walk("", false);
  await walk("docs/", true);
  await walk(".github/", true);
  return pages.sort();
}

/** The targets of a page's links and images, without those to other sites. */
export function linksOf(markdown: string): string[] {
  const prose = markdown.replace(CODE_BLOCK, "");
  return Array.from(prose.matchAll(LINK), ([, target]) => target!).filter(isRelative);
}

/** The anchors of a page, as GitHub makes them of its headings. */
export function anchorsOf(markdown: string): string[] {
  const headings = markdown.replace(CODE_BLOCK, "").matchAll(/^#+ (.*)$/gm);
  return Array.from(
    headings,
    ([, text]) => text!.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").trim().replaceAll(" ", "-"),
  );
}

/**
 * The page without links to what is not among `files`: in their place stands the text, and the path from the root where
 * the text does not name the file.
 *
 * @param page The path of the page from the root.
 */
export function unlinkUnpublished(page: string, markdown: string, files: readonly string[]): string {
  const known = (path: string) => files.includes(path) || files.some((file) => file.startsWith(`${path}/`));
  const parts = markdown.split(/(^```.*?^```)/ms);
  return parts.map((part, index) => {
    if (index % 2 === 1) return part; // a block of code
    return part.replace(/!?\[([^\]]*)\]\(([^)\s]+)\)/g, (link, text: string, target: string) => {
      if (!isRelative(target) || target.startsWith("#")) return link;
      const path = pathOf(page, target);
      if (known(path)) return link;
      return path.endsWith(text.replaceAll("`", "")) ? `\`${path}\`` : `${text} (\`${path}\`)`;
    });
  }).join("");
}

/** The path from the root of what a page links to, without an anchor. */
export function pathOf(page: string, target: string): string {
  return new URL(target, new URL(page, "file:///")).pathname.slice(1).replace(/\/$/, "");
}

function isRelative(target: string): boolean {
  return !/^\w+:/.test(target);
}
