import { readFile, stat } from "node:fs/promises";
import { extname, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The codes of Node for what its own support of TypeScript leaves out: enums, `.tsx`, packages of TypeScript. */
const UNSUPPORTED = [
  "ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX",
  "ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING",
  "ERR_UNKNOWN_FILE_EXTENSION",
];
const HINT =
  "Node only removes types from TypeScript. Run it through tsx: npm install tsx, then NODE_OPTIONS=--import=tsx";

/**
 * A sentence that helps where Node cannot run TypeScript that other tools can; undefined for all other errors. Node takes
 * neither enums, namespaces and parameter properties nor `./helper.js` for `helper.ts` and the paths of tsconfig.json.
 */
export async function typescriptHint(error: unknown): Promise<string | undefined> {
  const { code, url, message = "" } = (error ?? {}) as { code?: string; url?: string; message?: string };
  if (code === undefined) return undefined;
  if (UNSUPPORTED.includes(code)) return code === UNSUPPORTED[2] && !/\.tsx\b/.test(message) ? undefined : HINT;
  if (code !== "ERR_MODULE_NOT_FOUND") return undefined;
  return await (url === undefined ? hasPaths() : isTypeScript(url)) ? HINT : undefined;
}

/** Whether there is a TypeScript module where an import names none, or the JavaScript that a compiler would make of it. */
async function isTypeScript(url: string): Promise<boolean> {
  if (!url.startsWith("file:")) return false;
  const path = fileURLToPath(url);
  const base = /\.[cm]?jsx?$/.test(path) ? path.slice(0, -extname(path).length) : path;
  const candidates = [`${base}.ts`, `${base}.mts`, `${base}.tsx`, `${base}/index.ts`];
  const found = await Promise.all(candidates.map((file) => stat(file).then((it) => it.isFile(), () => false)));
  return found.includes(true);
}

/** Whether tsconfig.json gives names of its own to modules. */
async function hasPaths(): Promise<boolean> {
  return await readFile(resolve(process.cwd(), "tsconfig.json"), "utf8").then(
    (text) => /"paths"\s*:/.test(text),
    () => false,
  );
}
