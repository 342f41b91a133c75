import { assertEquals } from "@std/assert";
import { dirname } from "node:path";
import { ORDER } from "../scripts/reading_order.ts";

const ROOT = new URL("../", import.meta.url);

/** The plugin's complaints about a repository of the given files, as `path rule`. */
async function lint(files: Record<string, string>): Promise<string[]> {
  const directory = await Deno.realPath(await Deno.makeTempDir());
  try {
    const config = { lint: { plugins: ["./scripts/lint_layers.ts"], rules: { tags: [] } } };
    const all = {
      "deno.json": JSON.stringify(config),
      "scripts/lint_layers.ts": await Deno.readTextFile(new URL("scripts/lint_layers.ts", ROOT)),
      "scripts/reading_order.ts": await Deno.readTextFile(new URL("scripts/reading_order.ts", ROOT)),
      ...files,
    };
    for (const [path, text] of Object.entries(all)) {
      await Deno.mkdir(dirname(`${directory}/${path}`), { recursive: true });
      await Deno.writeTextFile(`${directory}/${path}`, text);
    }
    const command = new Deno.Command(Deno.execPath(), { args: ["lint", "--json"], cwd: directory });
    const report = JSON.parse(new TextDecoder().decode((await command.output()).stdout));
    return report.diagnostics.map((found: { filename: string; code: string }) =>
      `${found.filename.replace(/^file:\/\//, "").slice(directory.length + 1)} ${found.code.replace("firefly/", "")}`
    ).sort();
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

const accepted: Record<string, Record<string, string>> = {
  "an import of a file above": { "src/task.ts": `import "./errors.ts";` },
  "an import from a folder of a file above": { "src/store/rows.ts": `export * from "../errors.ts";` },
  "a built-in module": { "src/task.ts": `import process from "node:process"; process.cwd();` },
  "SQL in src/store/": { "src/store/rows.ts": "export const rows = (sql) => sql`SELECT 1`;" },
  "SQL in tests and scripts": {
    "tests/a_test.ts": "sql`SELECT 1`;",
    "scripts/a.ts": 'client.query("SELECT 1");',
  },
  "prose with the words of SQL": { "src/task.ts": 'export const text = "Select a task, or delete from here";' },
  "transaction control outside src/store/": { "src/session.ts": 'client.unsafe("BEGIN");' },
  "a dependency in its home": {
    "src/driver.ts": `import postgres from "postgres"; postgres();`,
    "src/wire/base64.ts": `export * from "@std/encoding/base64";`,
  },
  "any dependency in tests": { "tests/a_test.ts": `import "postgres"; import "npm:hono";` },
  "entry points that only export and start": {
    "mod.ts": `export * from "./src/task.ts"; export type { A } from "./src/errors.ts";`,
    "cli.ts": `import { main } from "./src/task.ts"; process.exitCode = await main();`,
  },
  "printing in tests and scripts": { "tests/a_test.ts": "console.log(1);", "scripts/a.ts": "console.log(1);" },
};

for (const [what, files] of Object.entries(accepted)) {
  Deno.test(`lint_layers.ts accepts ${what}`, async () => {
    assertEquals(await lint(files), []);
  });
}

const refused: Record<string, [rule: string, path: string, text: string]> = {
  "an import of a file below": ["reading-order", "src/errors.ts", `import "./task.ts";`],
  "an import of the file itself": ["reading-order", "src/errors.ts", `import "./errors.ts";`],
  "a re-export of a file below": ["reading-order", "src/store/rows.ts", `export * from "../firefly.ts";`],
  "a named re-export of a file below": ["reading-order", "src/errors.ts", `export { a } from "./task.ts";`],
  "an import of a type from below": ["reading-order", "src/errors.ts", `import type { A } from "./task.ts";`],
  "a dynamic import of a file below": ["reading-order", "src/errors.ts", `await import("./task.ts");`],
  "an import of mod.ts from src/": ["reading-order", "src/task.ts", `import "../mod.ts";`],
  "an import of a file that is not listed": ["reading-order", "src/task.ts", `import "./helpers.ts";`],
  "a file that is not listed": ["reading-order", "src/helpers.ts", "export const a = 1;"],
  "a listed name in another folder": ["reading-order", "src/store/errors.ts", "export const a = 1;"],
  "an SQL template": ["sql-in-store", "src/task.ts", "await sql`SELECT 1`;"],
  "an SQL template of a member": ["sql-in-store", "src/task.ts", "await this.db.sql`SELECT 1`;"],
  "an SQL template of a private member": [
    "sql-in-store",
    "src/task.ts",
    "export class A { #sql; a() { return this.#sql`SELECT 1`; } }",
  ],
  "an SQL string": ["sql-in-store", "src/task.ts", 'client.unsafe("DELETE FROM firefly.task");'],
  "an SQL string over several lines": ["sql-in-store", "src/task.ts", "client.query(`\n  SELECT ${a}\n  FROM b`);"],
  "SQL in cli.ts": ["sql-in-store", "cli.ts", "await sql`SELECT 1`;"],
  "the driver outside driver.ts": ["dependency-home", "src/task.ts", `import postgres from "postgres";`],
  "a type of the driver outside driver.ts": ["dependency-home", "src/session.ts", `import type a from "postgres";`],
  "a dependency by its full name": ["dependency-home", "src/task.ts", `import "jsr:@std/encoding@1/base64";`],
  "a dependency of src/ in mod.ts": ["dependency-home", "mod.ts", `export * from "@std/encoding/base64";`],
  "a dependency without a home": ["dependency-home", "src/database.ts", `import "npm:lodash@4";`],
  "a function in mod.ts": ["entry-holds-no-logic", "mod.ts", "export function a() {}"],
  "a statement in mod.ts": ["entry-holds-no-logic", "mod.ts", "start();"],
  "a function in cli.ts": ["entry-holds-no-logic", "cli.ts", "function main() {} main();"],
  "printing in src/": ["silent-library", "src/task.ts", `console.warn("late");`],
};

for (const [what, [rule, path, text]] of Object.entries(refused)) {
  Deno.test(`lint_layers.ts refuses ${what}`, async () => {
    assertEquals(await lint({ [path]: text }), [`${path} ${rule}`]);
  });
}

Deno.test("ORDER lists only files that exist", async () => {
  const missing: string[] = [];
  for (const file of Object.keys(ORDER)) {
    await Deno.stat(new URL(`src/${file}`, ROOT)).catch(() => missing.push(file));
  }

  assertEquals(missing, []);
});
