/**
 * Writes `src/schema/expected.ts`, with which `doctor` compares databases, from a new database on the server at
 * `TEST_DATABASE_URL`, or on the embedded one.
 *
 * @module
 */
import { linesOf } from "../src/schema/drift.ts";
import { readSchemaFunctions, readSchemaParts } from "../src/store/schema.ts";
import { testDatabase } from "../tests/support/database.ts";

const MODULE = new URL("../src/schema/expected.ts", import.meta.url);

/** Writes the text of the module, from a new database. */
export async function schemaModule(): Promise<string> {
  await using db = await testDatabase();
  const functions = await readSchemaFunctions(db.records);
  const lines = linesOf(await readSchemaParts(db.records), { functions, schema: "firefly" });
  return `/** The schema as the migrations make it; written by scripts/describe_schema.ts. */
export const SCHEMA_PARTS: string = \`
${lines.join("\n")}
\`;
`;
}

if (import.meta.main) await Deno.writeTextFile(MODULE, await schemaModule());
