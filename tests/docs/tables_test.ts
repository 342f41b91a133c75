import { assertEquals } from "@std/assert";
import { SCHEMA_PARTS } from "../../src/schema/expected.ts";

const ROOT = new URL("../../", import.meta.url);
const PAGE = Deno.readTextFileSync(new URL("docs/tables.md", ROOT)).replaceAll("\r\n", "\n");

/** The rows of the page's tables, each as its cells. */
const rows = [...PAGE.matchAll(/^\| (`.*) \|$/gm)].map(([, row]) => row!.split(" | ").map((cell) => cell.trim()));
const [tables, views] = [rows.filter((cells) => cells.length === 5), rows.filter((cells) => cells.length === 2)];

/** The tables or views of the schema. */
function relationsOf(kind: "table" | "view"): string[] {
  return Array.from(SCHEMA_PARTS.matchAll(new RegExp(`^table (\\w+): ${kind}`, "gm")), ([, name]) => name!).sort();
}

function namesOf(rows: string[][]): string[] {
  return rows.map(([name]) => name!.replaceAll("`", "")).sort();
}

Deno.test("docs/tables.md has every table and view, and draws every table", () => {
  assertEquals(namesOf(tables), relationsOf("table"));
  assertEquals(namesOf(views), relationsOf("view"));
  assertEquals(Array.from(PAGE.matchAll(/^ {2}(\w+) \{$/gm), ([, name]) => name!).sort(), relationsOf("table"));
});

Deno.test("docs/tables.md draws columns that there are", () => {
  const drawn = Array.from(PAGE.matchAll(/^ {2}(\w+) \{\n(.*?)^ {2}\}$/gms)).flatMap(([, table, columns]) =>
    Array.from(columns!.matchAll(/^ {4}\w+ (\w+)/gm), ([, column]) => `column ${table}.${column}: `)
  );
  const missing = drawn.filter((column) => !SCHEMA_PARTS.includes(`\n${column}`));
  assertEquals([missing, drawn.length > 40], [[], true]);
});

Deno.test("docs/tables.md names functions of src/store/ that are in the file it names", async () => {
  const cells = tables.flatMap(([, , ...cells]) => cells).join("; ");
  const missing: string[] = [];
  let found = 0;
  for (const [, names, file] of cells.matchAll(/((?:`\w+`(?:,|) )+)[^`();,]*\((\w+\.ts)\)/g)) {
    const source = await Deno.readTextFile(new URL(`src/store/${file}`, ROOT));
    for (const [, name] of names!.matchAll(/`(\w+)`/g)) {
      found++;
      if (!source.includes(`export async function ${name}(`)) missing.push(`${name} (${file})`);
    }
  }
  assertEquals([missing, found > 40], [[], true]);
});

Deno.test("docs/tables.md names functions and triggers of the schema that there are", () => {
  const cells = tables.flatMap(([, , ...cells]) => cells).join("; ");
  const functions = Array.from(cells.matchAll(/`(\w+)\(\)`/g), ([, name]) => `function ${name}(`);
  const triggers = Array.from(cells.matchAll(/`((?:place|release)_?\w*)`/g), ([, name]) => `trigger task.${name}: `);
  const parts = [...functions, ...triggers];
  assertEquals([parts.filter((part) => !SCHEMA_PARTS.includes(`\n${part}`)), parts.length > 25], [[], true]);
});
