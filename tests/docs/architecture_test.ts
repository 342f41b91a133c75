import { assert, assertEquals } from "@std/assert";
import { ORDER } from "../../scripts/reading_order.ts";
import { MIGRATIONS } from "../../src/schema/migrations.ts";

const PAGE = await Deno.readTextFile(new URL("../../docs/architecture.md", import.meta.url));

/** The names in the first cells of the tables of a section. */
function namesOf(section: string): string[] {
  const [, rest] = PAGE.split(`\n## ${section}\n`);
  const [text] = rest!.split("\n## ");
  return Array.from(text!.matchAll(/^\| \[?`([\w/]+)`/gm), ([, name]) => name!);
}

Deno.test("docs/architecture.md has every folder of src/, in the order of imports", () => {
  assertEquals(namesOf("Folders"), Object.keys(ORDER).map((folder) => folder === "" ? "src/" : `${folder}/`));
});

Deno.test("docs/architecture.md has every table of the schema, and no other", () => {
  const tables = MIGRATIONS.flatMap(({ sql }) =>
    Array.from(sql.matchAll(/^CREATE (?:UNLOGGED )?TABLE "firefly"\.(\w+)/gm), ([, table]) => table!)
  );
  assert(tables.length > 10, "where are the tables?");
  assertEquals(namesOf("Tables").sort(), [...tables, "migration"].sort());
});
