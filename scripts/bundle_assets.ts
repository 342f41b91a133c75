/**
 * Writes the files of `src/dashboard/assets/` into the module `src/dashboard/assets.ts`, each with the hash of its text,
 * since a package that is loaded over https has no directory to read. A folder becomes one file: `dashboard.css/` has
 * the parts of `dashboard.css`, in the order of their names. With `--check` it writes nothing and exits with 1
 * when the module is stale.
 *
 * @module
 */
const DIRECTORY = new URL("../src/dashboard/assets/", import.meta.url);
const MODULE = new URL("../src/dashboard/assets.ts", import.meta.url);

/** The content type of each kind of file. */
const TYPES: Readonly<Record<string, string>> = {
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
};

const HEADER = `// Generated from src/dashboard/assets/ by \`deno task assets\`: edit those files instead.

/** A file of the dashboard that browsers may keep forever, since its name has the hash of its text. */
export interface Asset {
  /** Its path from the base of the dashboard. */
  readonly path: string;
  readonly type: string;
  readonly text: string;
}

/** Returns the path of an asset from the base of the dashboard. */
export function assetPath(name: keyof typeof ASSETS): string {
  return ASSETS[name].path;
}

/** The assets by their names. */
export const ASSETS: Readonly<Record<NAMES, Asset>> = {
`;

/** Returns the text of the module that holds the assets of a directory. */
export async function assetsModule(directory: URL = DIRECTORY): Promise<string> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(directory)) names.push(name);
  names.sort();
  const entries = await Promise.all(names.map(async (name) => {
    const type = TYPES[name.slice(name.lastIndexOf(".") + 1)];
    if (type === undefined) throw new Error(`Cannot bundle "${name}" as its kind has no content type`);
    const text = await readText(new URL(name, directory));
    return [
      `  "${name}": {`,
      `    path: "/assets/${await hashOf(text)}-${name}",`,
      `    type: "${type}",`,
      `    text: \`${text.replaceAll(/[\\`]|\$(?=\{)/g, "\\$&")}\`,`,
      "  },\n",
    ].join("\n");
  }));
  const union = names.map((name) => `"${name}"`).join(" | ");
  return `${HEADER.replace("NAMES", union)}${entries.join("")}};\n`;
}

/** Reads a file, or the files of a folder one after another. */
async function readText(path: URL): Promise<string> {
  if ((await Deno.stat(path)).isFile) {
    // A checkout with CRLF must not change the hashes.
    return (await Deno.readTextFile(path)).replaceAll("\r\n", "\n");
  }
  const names = Array.from(Deno.readDirSync(path), ({ name }) => name).sort();
  return (await Promise.all(names.map((name) => readText(new URL(`${path}/${name}`))))).join("\n");
}

async function hashOf(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return new Uint8Array(digest).subarray(0, 6).toHex();
}

if (import.meta.main) {
  const text = await assetsModule();
  if (!Deno.args.includes("--check")) {
    await Deno.writeTextFile(MODULE, text);
  } else if (text !== await Deno.readTextFile(MODULE)) {
    console.error("src/dashboard/assets.ts is stale: run deno task assets");
    Deno.exit(1);
  }
}
