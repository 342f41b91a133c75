import { join } from "node:path";
import { run } from "./run.ts";

/** How npm installs here: it uses what it has, and runs no scripts of packages. */
export const INSTALL: readonly string[] = [
  "install",
  "--prefer-offline",
  "--ignore-scripts",
  "--no-audit",
  "--no-fund",
];

/** Where tools, runtimes and libraries are kept between runs: in FIREFLY_CACHE, else in the user's cache directory. */
export function cacheDirectory(): string {
  const { FIREFLY_CACHE, XDG_CACHE_HOME, HOME } = Deno.env.toObject();
  return FIREFLY_CACHE ?? join(XDG_CACHE_HOME ?? join(HOME ?? "/tmp", ".cache"), "firefly_everywhere");
}

/** Installs what a `package.json` asks for, unless a run before did; returns the directory, whose files are shared. */
export async function installPackages(manifest: unknown): Promise<string> {
  const text = JSON.stringify(manifest, null, 2);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  const home = join(cacheDirectory(), "installed", digest.toHex().slice(0, 16));
  if (await exists(home)) return home;
  const made = `${home}.${Deno.pid}`;
  await Deno.mkdir(join(made, "node_modules"), { recursive: true });
  await Deno.writeTextFile(join(made, "package.json"), text);
  await run("npm", INSTALL, made);
  await Deno.rename(made, home).catch(async (error) => {
    if (!await exists(home)) throw error;
    await Deno.remove(made, { recursive: true }); // another run was faster
  });
  return home;
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
