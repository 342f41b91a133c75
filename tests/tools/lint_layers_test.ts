import { assertEquals } from "@std/assert";
import { dirname } from "node:path";
import { ORDER } from "../../scripts/reading_order.ts";

const ROOT = new URL("../../", import.meta.url);

/** The files of a repository, by path. */
type Files = Record<string, string>;

/** The plugin's complaints about a repository of the given files, as `path rule`. */
async function lint(files: Files): Promise<string[]> {
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

/** Repositories with as many cases each as do not need the same path: a process of `deno lint` for each of them. */
const repositories: { files: Files; complaints?: Promise<string[]> }[] = [];

/** Puts the files of a case into a repository; calling the result lints it, and finds the complaints about them. */
function place(files: Files): () => Promise<string[]> {
  const paths = Object.keys(files);
  let repository = repositories.find((other) => paths.every((path) => !(path in other.files)));
  if (repository === undefined) repositories.push(repository = { files: {} });
  Object.assign(repository.files, files);
  return async () => {
    const complaints = await (repository.complaints ??= lint(repository.files));
    return complaints.filter((complaint) => paths.includes(complaint.split(" ")[0]!));
  };
}

const accepted: Record<string, Files> = {
  "an import from a folder above": { "src/task/above.ts": `import "../errors.ts";` },
  "an import from a folder above that is not the root": { "src/store/above.ts": `export * from "../task/task.ts";` },
  "an import from the same folder": { "src/task/beside.ts": `import "./above.ts";` },
  "a built-in module": { "src/task/builtin.ts": `import process from "node:process"; process.cwd();` },
  "SQL in src/store/": { "src/store/sql.ts": "export const rows = (sql) => sql`SELECT 1`;" },
  "SQL in tests and scripts": {
    "tests/sql_test.ts": "sql`SELECT 1`;",
    "scripts/sql.ts": 'client.query("SELECT 1");',
  },
  "prose with the words of SQL": { "src/task/prose.ts": 'export const text = "Select a task, or delete from here";' },
  "transaction control outside src/store/": { "src/database/begin.ts": 'client.unsafe("BEGIN");' },
  "a dependency in its home": {
    "src/database/driver.ts": `import postgres from "postgres"; postgres();`,
    "src/suggest.ts": `export * from "@std/text/closest-string";`,
  },
  "any dependency in tests": { "tests/dependency_test.ts": `import "postgres"; import "npm:hono";` },
  "entry points that only export and start": {
    "mod.ts": `export * from "./src/task/task.ts"; export type { A } from "./src/errors.ts";`,
    "cli.ts": `import { main } from "./src/task/task.ts"; process.exitCode = await main();`,
  },
  "imports between a folder and folders within it": {
    "src/dashboard/layout.ts": `import "./parts/times.ts"; import "./pages/overview.ts";`,
    "src/dashboard/parts/times.ts": `import "../html.ts"; import "../../task/task.ts";`,
    "src/dashboard/pages/overview.ts": `import "../parts/times.ts";`,
  },
  "printing in tests and scripts": { "tests/print_test.ts": "console.log(1);", "scripts/print.ts": "console.log(1);" },
};

for (const [what, files] of Object.entries(accepted)) {
  const complaints = place(files);
  Deno.test(`lint_layers.ts accepts ${what}`, async () => {
    assertEquals(await complaints(), []);
  });
}

const refused: Record<string, [rule: string, path: string, text: string]> = {
  "an import from a folder below": ["reading-order", "src/task/a.ts", `import "../claim/loop.ts";`],
  "an import from a folder below into the root": ["reading-order", "src/a.ts", `import "./task/task.ts";`],
  "a re-export from a folder below": ["reading-order", "src/store/a.ts", `export * from "../firefly/firefly.ts";`],
  "a named re-export from a folder below": ["reading-order", "src/b.ts", `export { a } from "./task/task.ts";`],
  "an import of a type from below": ["reading-order", "src/c.ts", `import type { A } from "./task/task.ts";`],
  "a dynamic import from a folder below": ["reading-order", "src/d.ts", `await import("./task/task.ts");`],
  "an import of mod.ts from src/": ["reading-order", "src/task/b.ts", `import "../../mod.ts";`],
  "an import from a folder that is not listed": ["reading-order", "src/task/c.ts", `import "../helpers/a.ts";`],
  "a folder that is not listed": ["reading-order", "src/helpers/b.ts", "export const a = 1;"],
  "an SQL template": ["sql-in-store", "src/task/d.ts", "await sql`SELECT 1`;"],
  "an SQL template of a member": ["sql-in-store", "src/task/e.ts", "await this.db.sql`SELECT 1`;"],
  "an SQL template of a private member": [
    "sql-in-store",
    "src/task/f.ts",
    "export class A { #sql; a() { return this.#sql`SELECT 1`; } }",
  ],
  "an SQL string": ["sql-in-store", "src/task/g.ts", 'client.unsafe("DELETE FROM firefly.task");'],
  "an SQL string over several lines": ["sql-in-store", "src/task/h.ts", "client.query(`\n  SELECT ${a}\n  FROM b`);"],
  "SQL in cli.ts": ["sql-in-store", "cli.ts", "await sql`SELECT 1`;"],
  "the driver outside driver.ts": ["dependency-home", "src/task/i.ts", `import postgres from "postgres";`],
  "a type of the driver outside driver.ts": [
    "dependency-home",
    "src/database/session.ts",
    `import type a from "postgres";`,
  ],
  "a dependency by its full name": ["dependency-home", "src/task/j.ts", `import "jsr:@std/text@1/closest-string";`],
  "a dependency of src/ in mod.ts": ["dependency-home", "mod.ts", `export * from "@std/text/closest-string";`],
  "a dependency without a home": ["dependency-home", "src/database/pools.ts", `import "npm:lodash@4";`],
  "a function in mod.ts": ["entry-holds-no-logic", "mod.ts", "export function a() {}"],
  "a statement in mod.ts": ["entry-holds-no-logic", "mod.ts", "start();"],
  "a function in cli.ts": ["entry-holds-no-logic", "cli.ts", "function main() {} main();"],
  "an import from a folder below within a folder": [
    "reading-order",
    "src/dashboard/parts/a.ts",
    `import "../../cli/main.ts";`,
  ],
  "a template library outside html.ts": ["dependency-home", "src/dashboard/b.ts", `import { html } from "hono/html";`],
  "a function in dashboard.ts": ["entry-holds-no-logic", "dashboard.ts", "export function a() {}"],
  "printing in src/": ["silent-library", "src/task/k.ts", `console.warn("late");`],
};

for (const [what, [rule, path, text]] of Object.entries(refused)) {
  const complaints = place({ [path]: text });
  Deno.test(`lint_layers.ts refuses ${what}`, async () => {
    assertEquals(await complaints(), [`${path} ${rule}`]);
  });
}

const cycles: Record<string, Files> = {
  "an import of the file itself": { "src/claim/self.ts": `import "./self.ts";` },
  "two files that import each other": {
    "src/claim/one.ts": `import "./two.ts";`,
    "src/claim/two.ts": `export type { A } from "./one.ts";`,
  },
  "three files that import one another, one of them dynamically": {
    "src/claim/first.ts": `import "./second.ts";`,
    "src/claim/second.ts": `import {\n  a,\n} from "./third.ts";`,
    "src/claim/third.ts": `await import("./first.ts");`,
  },
  "a folder and a folder within it": {
    "src/dashboard/page.ts": `import "./parts/form.ts";`,
    "src/dashboard/parts/form.ts": `import "../page.ts";`,
  },
};

for (const [what, files] of Object.entries(cycles)) {
  const complaints = place(files);
  Deno.test(`lint_layers.ts refuses ${what}`, async () => {
    assertEquals(await complaints(), Object.keys(files).sort().map((path) => `${path} no-cycle`));
  });
}

Deno.test("lint_layers.ts accepts an import of a cycle from outside of it", async () => {
  const complaints = place({ "src/claim/outside.ts": `import "./one.ts";` });

  assertEquals(await complaints(), []);
});

Deno.test("ORDER lists just the folders that exist", async () => {
  const folders = [""];
  for await (const { name, isDirectory } of Deno.readDir(new URL("src/", ROOT))) if (isDirectory) folders.push(name);

  assertEquals(Object.keys(ORDER).sort(), folders.sort());
});
