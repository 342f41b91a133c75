/** A project with the release after this one, made of this one. @module */
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PROJECT } from "./runtimes.ts";

/** The version of the next release. */
export const NEXT = "0.99.0";

/** What the next release adds to the schema: a column and an index of the table that every statement uses. */
const MIGRATION = `{
  version: MIGRATIONS.length + 1,
  name: "next",
  sql: 'ALTER TABLE "firefly".task ADD COLUMN next_column boolean;' +
    'CREATE INDEX next_index ON "firefly".task (next_column) WHERE next_column;',
}`;

/** What differs in the code of the next release, whether it is source or bundled. */
function nextCode(code: string): string {
  return code.replace(/^((?:export const|var) VERSION = )"[^"]+";$/m, `$1"${NEXT}";`).replace(
    /^(?:export const|var) MIGRATIONS\b[^]*?\n\];\n/m,
    (list) => `${list}MIGRATIONS.push(${MIGRATION});\n`,
  );
}

async function rewrite(directory: string): Promise<number> {
  let changes = 0;
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/\.(ts|js)$/.test(entry.name)) continue;
    const file = join(entry.parentPath, entry.name);
    const code = await readFile(file, "utf8");
    const next = nextCode(code);
    if (next === code) continue;
    await rm(file); // it may be linked to that of other projects
    await writeFile(file, next);
    changes++;
  }
  return changes;
}

/**
 * Makes a project with the programs of this one and the next release of the package: another version, one migration more,
 * and the environment variable by which the programs know of a task more. Returns its directory, which is to be removed.
 */
export async function makeNextProject(): Promise<string> {
  const directory = await mkdtemp(join(PROJECT, "next-"));
  await mkdir(join(directory, "node_modules/@firefly"), { recursive: true });
  for (
    const part of ["firefly", "node_modules/@firefly/tasks", "across", "values", "std", "deno.json", "package.json"]
  ) {
    await cp(join(PROJECT, part), join(directory, part), { recursive: true, dereference: true });
  }
  for (const name of await readdir(join(PROJECT, "node_modules"))) {
    if (name === "@firefly") continue;
    await symlink(join(PROJECT, "node_modules", name), join(directory, "node_modules", name));
  }
  for (const form of ["firefly", "node_modules/@firefly/tasks"]) {
    const changes = await rewrite(join(directory, form));
    if (changes !== 2) {
      throw new Error(`Cannot make the next release as ${changes} files of ${form} differ, not 2`);
    }
  }
  return directory;
}
