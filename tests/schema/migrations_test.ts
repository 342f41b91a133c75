import { assertEquals, assertRejects } from "@std/assert";
import { migrationsModule, readMigrations } from "../../scripts/bundle_migrations.ts";
import { type Migration, MIGRATIONS } from "../../src/schema/migrations.ts";
import { testDatabase } from "../support/database.ts";

/** A directory with the given files. */
async function directoryOf(files: Record<string, string>): Promise<URL & AsyncDisposable> {
  const path = await Deno.makeTempDir();
  for (const [name, text] of Object.entries(files)) await Deno.writeTextFile(`${path}/${name}`, text);
  return Object.assign(new URL(`file://${path}/`), {
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  });
}

async function imported(module: string): Promise<readonly Migration[]> {
  return (await import(`data:application/typescript,${encodeURIComponent(module)}`)).MIGRATIONS;
}

Deno.test("MIGRATIONS holds what migrations/ holds", async () => {
  const current = await Deno.readTextFile(new URL("../../src/schema/migrations.ts", import.meta.url));

  assertEquals(current, migrationsModule(await readMigrations()), "Run deno task migrations");
});

Deno.test("MIGRATIONS numbers its migrations from 1 without a gap", () => {
  assertEquals(MIGRATIONS.map(({ version }) => version), MIGRATIONS.map((_, index) => index + 1));
});

Deno.test("every table and view has a comment that says what a row means", async () => {
  await using db = await testDatabase();

  const rows = await db.sql`
    SELECT relname FROM pg_class
    WHERE relnamespace = 'firefly'::regnamespace AND relkind IN ('r', 'v') AND obj_description(oid, 'pg_class') IS NULL
  `;

  assertEquals(rows.map(({ relname }) => relname), []);
});

Deno.test("bundle_migrations.ts --check refuses a module that is stale", async () => {
  await using root = await directoryOf({});
  for (const folder of ["migrations", "scripts", "src/schema"]) {
    await Deno.mkdir(new URL(folder, root), { recursive: true });
  }
  const script = new URL("scripts/bundle_migrations.ts", root);
  await Deno.copyFile(new URL("../../scripts/bundle_migrations.ts", import.meta.url), script);
  async function bundle(...args: string[]): Promise<number> {
    const command = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-check", "-A", script.href, ...args],
      stderr: "null",
    });
    return (await command.output()).code;
  }

  await Deno.writeTextFile(new URL("migrations/0001_first.sql", root), "SELECT 1;\n");
  assertEquals(await bundle(), 0);
  assertEquals(await bundle("--check"), 0);
  await Deno.writeTextFile(new URL("migrations/0001_first.sql", root), "SELECT 2;\n");
  assertEquals(await bundle("--check"), 1);
});

Deno.test("migrationsModule() keeps the text of every migration", async () => {
  const sql = "SELECT '\\d', `a`, $1, ${b}, $${c}$$, '\\\\', 'ü\u{1f525}';\n";
  await using directory = await directoryOf({ "0001_odd.sql": sql });

  const migrations = await imported(migrationsModule(await readMigrations(directory)));

  assertEquals(migrations, [{ version: 1, name: "odd", sql }]);
});

Deno.test("migrationsModule() of nothing is a module without migrations", async () => {
  assertEquals(await imported(migrationsModule([])), []);
});

Deno.test("readMigrations() reads directives from the first lines", async () => {
  const first = "-- firefly: no transaction\n-- firefly: oldest 1\nSELECT 1;\n";
  const second = "SELECT 2;\n-- firefly: no transaction\n";
  await using directory = await directoryOf({ "0001_a.sql": first, "0002_b.sql": second });

  assertEquals(await readMigrations(directory), [
    { version: 1, name: "a", oldest: 1, transaction: false, sql: first },
    { version: 2, name: "b", sql: second },
  ]);
});

Deno.test("readMigrations() passes over README.md", async () => {
  await using directory = await directoryOf({ "0001_a.sql": "SELECT 1;\n", "README.md": "# Migrations\n" });

  assertEquals((await readMigrations(directory)).map(({ name }) => name), ["a"]);
});

Deno.test("readMigrations() reads CRLF as LF", async () => {
  await using directory = await directoryOf({ "0001_a.sql": "SELECT 1;\r\nSELECT 2;\r\n" });

  assertEquals((await readMigrations(directory))[0]?.sql, "SELECT 1;\nSELECT 2;\n");
});

const refused: Record<string, [files: string[], text: string]> = {
  "a gap": [["0001_a.sql", "0003_b.sql"], ""],
  "a number given twice": [["0001_a.sql", "0001_b.sql"], ""],
  "a first migration that is not 1": [["0000_a.sql"], ""],
  "an upper-case name": [["0001_A.sql"], ""],
  "a file that is no migration": [["0001_a.sql", "notes.txt"], ""],
  "another page than the README": [["0001_a.sql", "NOTES.md"], ""],
  "an unknown directive": [["0001_a.sql"], "-- firefly: transactionless\n"],
};

for (const [what, [files, text]] of Object.entries(refused)) {
  Deno.test(`readMigrations() refuses ${what}`, async () => {
    await using directory = await directoryOf(Object.fromEntries(files.map((file) => [file, text])));

    await assertRejects(() => readMigrations(directory), Error, "Cannot bundle migrations");
  });
}
