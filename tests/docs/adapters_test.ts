import { assertEquals, assertStringIncludes } from "@std/assert";

const ROOT = new URL("../../", import.meta.url);
const EXAMPLES = new URL("tests/everywhere/adapters/examples/", ROOT);
const page = await Deno.readTextFile(new URL("docs/adapters.md", ROOT));

/** The npm packages behind the names in the table. */
const PACKAGES: Record<string, string> = {
  "pg": "pg",
  "postgres.js": "postgres",
  "Drizzle": "drizzle-orm",
  "Kysely": "kysely",
  "Knex": "knex",
  "TypeORM": "typeorm",
  "MikroORM": "@mikro-orm/postgresql",
  "Sequelize": "sequelize",
  "Prisma": "prisma",
};

Deno.test("docs/adapters.md shows the examples that deno task everywhere runs with the real libraries", async () => {
  let found = 0;
  for (const { name } of Deno.readDirSync(EXAMPLES)) {
    if (!name.endsWith(".ts")) continue;
    found++;
    assertStringIncludes(page, "```ts ignore\n" + await Deno.readTextFile(new URL(name, EXAMPLES)) + "```\n", name);
  }
  assertEquals(found, Object.keys(PACKAGES).length);
});

Deno.test("docs/adapters.md names the versions that deno task everywhere installs", async () => {
  const manifest = await Deno.readTextFile(new URL("tests/everywhere/adapters/package.json", ROOT));
  const { dependencies } = JSON.parse(manifest);
  const rows = Array.from(
    page.matchAll(/^\| \[(\S+)\]\(#\S+\) +\| (\S+) +\|/gm),
    ([, name, version]) => [name, version],
  );
  assertEquals(rows, Object.entries(PACKAGES).map(([name, packageName]) => [name, dependencies[packageName]]));
});
