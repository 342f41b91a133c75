/**
 * Writes `migrations/NNNN_name.sql` into the module `src/schema/migrations.ts`, since a package that is loaded over https
 * has no directory to list. With `--check` it writes nothing and exits with 1 when the module is stale.
 *
 * A migration may begin with the directives `-- firefly: no transaction`, for statements that cannot run inside one, and
 * `-- firefly: oldest 7`, if a package that does not know migration 7 must not work with the schema from then on.
 *
 * @module
 */
import type { Migration } from "../src/schema/migrations.ts";

const DIRECTORY = new URL("../migrations/", import.meta.url);
const MODULE = new URL("../src/schema/migrations.ts", import.meta.url);

const README = "README.md";
const FILE_NAME = /^(\d{4})_([a-z][a-z0-9_]*)\.sql$/;

const HEADER = `// Generated from migrations/*.sql by \`deno task migrations\`: edit those instead.

/** One step of the schema, from \`migrations/\`. */
export interface Migration {
  /** Its number, from 1. */
  readonly version: number;
  /** What it is called. */
  readonly name: string;
  /** The oldest migration that a package must know to work with the schema from here on. */
  readonly oldest?: number;
  /** False when its statements run outside a transaction, each on its own. */
  readonly transaction?: false;
  /** Its statements, for the schema \`firefly\`. */
  readonly sql: string;
}

/** Every migration, in the order in which they are applied. */
export const MIGRATIONS: readonly Migration[] = [`;

/**
 * Reads the migrations of a directory, which may have a README.md beside them.
 *
 * @throws {Error} If the name, number or directive of a file is wrong.
 */
export async function readMigrations(directory: URL = DIRECTORY): Promise<Migration[]> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(directory)) if (name !== README) names.push(name);
  names.sort();
  return await Promise.all(names.map(async (fileName, index) => {
    const [, digits, name] = FILE_NAME.exec(fileName) ?? [];
    if (name === undefined || Number(digits) !== index + 1) {
      const number = String(index + 1).padStart(4, "0");
      throw new Error(`Cannot bundle migrations as "${number}_some_name.sql" must come next: found "${fileName}"`);
    }
    // A checkout with CRLF must not change the checksums.
    const sql = (await Deno.readTextFile(new URL(fileName, directory))).replaceAll("\r\n", "\n");
    return { version: index + 1, name, ...directivesOf(sql, fileName), sql };
  }));
}

function directivesOf(sql: string, fileName: string): Pick<Migration, "oldest" | "transaction"> {
  const lines = /^(?:-- firefly: .*\n)*/.exec(sql)![0].split("\n").slice(0, -1);
  return Object.assign(
    {},
    ...lines.map((line) => {
      const oldest = /^-- firefly: oldest (\d+)$/.exec(line)?.[1];
      if (oldest !== undefined) return { oldest: Number(oldest) };
      if (line === "-- firefly: no transaction") return { transaction: false };
      throw new Error(`Cannot bundle migrations as "${fileName}" has an unknown directive: "${line}"`);
    }),
  );
}

/** Writes the text of the module that holds the migrations. */
export function migrationsModule(migrations: readonly Migration[]): string {
  const entries = migrations.map(({ version, name, oldest, transaction, sql }) =>
    [
      "  {",
      `    version: ${version},`,
      `    name: "${name}",`,
      ...(oldest === undefined ? [] : [`    oldest: ${oldest},`]),
      ...(transaction === undefined ? [] : [`    transaction: ${transaction},`]),
      `    sql: \`${sql.replaceAll(/[\\`]|\$(?=\{)/g, "\\$&")}\`,`,
      "  },\n",
    ].join("\n")
  );
  return entries.length === 0 ? `${HEADER}];\n` : `${HEADER}\n${entries.join("")}];\n`;
}

if (import.meta.main) {
  const text = migrationsModule(await readMigrations());
  if (!Deno.args.includes("--check")) {
    await Deno.writeTextFile(MODULE, text);
  } else if (text !== await Deno.readTextFile(MODULE)) {
    console.error("src/schema/migrations.ts is stale: run deno task migrations");
    Deno.exit(1);
  }
}
