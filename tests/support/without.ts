import { join } from "node:path";

/** A protection, and the change to the source that takes it away. */
export interface Removal {
  /** The file, from the root of the repository. */
  readonly file: string;
  /** What stands there, just once. */
  readonly find: string;
  /** What stands there instead. */
  readonly replace: string;
}

/** A copy of Firefly from which protections were taken. */
export interface Unprotected extends AsyncDisposable {
  /** The copy's root: `startCli` takes it as `root`. */
  readonly root: string;
}

const ROOT = new URL("../../", import.meta.url).pathname;
const PARTS = ["deno.json", "deno.lock", "mod.ts", "cli.ts", "src", "scripts/std", "scripts/lint_layers.ts"];

/**
 * Copies Firefly without some of its protections, for a control run: the very code that protects is what is taken away,
 * so nothing in the product knows of it.
 *
 * @throws {Error} If the code to take away is not there any more, or more than once.
 */
export async function without(...removals: readonly Removal[]): Promise<Unprotected> {
  const root = await Deno.realPath(await Deno.makeTempDir({ prefix: "firefly_without_" }));
  const copy = { root, [Symbol.asyncDispose]: () => Deno.remove(root, { recursive: true }) };
  try {
    for (const part of PARTS) await copyInto(join(ROOT, part), join(root, part));
    for (const { file, find, replace } of removals) {
      const path = join(root, file);
      const parts = (await Deno.readTextFile(path)).split(find);
      if (parts.length !== 2) {
        throw new Error(`Cannot take a protection away as ${file} has its code ${parts.length - 1} times: ${find}`);
      }
      await Deno.writeTextFile(path, parts.join(replace));
    }
    return copy;
  } catch (error) {
    await copy[Symbol.asyncDispose]();
    throw error;
  }
}

async function copyInto(from: string, to: string): Promise<void> {
  if ((await Deno.stat(from)).isDirectory) {
    for await (const { name } of Deno.readDir(from)) await copyInto(join(from, name), join(to, name));
    return;
  }
  await Deno.mkdir(join(to, ".."), { recursive: true });
  await Deno.copyFile(from, to);
}
