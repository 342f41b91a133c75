import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import postgres from "postgres";
import { MIGRATIONS } from "../../src/schema/migrations.ts";
import { testDatabase } from "../support/database.ts";
import { jsonLines, testProject } from "../support/project.ts";

const VERSIONS = MIGRATIONS.map(({ version }) => version);

Deno.test("migrate creates the schema once", async () => {
  await using db = await testDatabase({ migrated: false });
  await using project = await testProject({ database: db.url });

  const first = await project.run("migrate");
  const second = await project.run("migrate");

  assertEquals(jsonLines(first.stdout).map(({ version }) => version), VERSIONS);
  assertEquals([first.code, second.code, second.stdout], [0, 0, ""]);
  assertStringIncludes(second.stderr, "is up to date");
});

Deno.test("migrate creates a schema of another name", async () => {
  await using db = await testDatabase({ migrated: false });
  await using project = await testProject({ database: db.url });

  await project.run("migrate", "--schema", "jobs");

  assertEquals((await project.run("list", "--schema", "jobs")).code, 0);
  assertEquals((await project.run("list")).code, 3);
});

Deno.test("migrate --status shows what is missing and changes nothing", async () => {
  await using db = await testDatabase({ migrated: false });
  await using project = await testProject({ database: db.url });

  const before = await project.run("migrate", "--status");
  const [exists] = await db.sql`SELECT to_regnamespace('firefly') IS NOT NULL AS exists`;
  await project.run("migrate");
  const after = await project.run("migrate", "--status");

  assertEquals(exists, { exists: false });
  assertEquals(
    jsonLines(before.stdout).map(({ version, applied }) => [version, applied]),
    VERSIONS.map((v) => [v, null]),
  );
  assertEquals(jsonLines(after.stdout).map(({ applied }) => typeof applied), VERSIONS.map(() => "string"));
});

Deno.test("migrate --dry-run prints SQL that makes the schema, and changes nothing", async () => {
  await using db = await testDatabase({ migrated: false });
  await using project = await testProject({ database: db.url });

  const { code, stdout } = await project.run("migrate", "--dry-run", "--schema", "jobs");
  const [exists] = await db.sql`SELECT to_regnamespace('jobs') IS NOT NULL AS exists`;
  const psql = postgres(db.url, { max: 1, onnotice() {} }); // one connection, since the text has transactions of its own
  await psql.unsafe(stdout);
  await psql.end();
  const [id] = await db.sql`SELECT jobs.schedule('math.add', '[1, 3]') AS id`;

  assertEquals([code, exists, id], [0, { exists: false }, { id: "1" }]);
});

Deno.test("migrate --dry-run prints nothing when nothing is missing", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });

  assertEquals(await project.run("migrate", "--dry-run"), { code: 0, stdout: "", stderr: "Nothing is missing\n" });
});

for (const args of [["list"], ["show", "1"], ["schedule", "math.add", "[1,3]"], ["retry", "--all"], ["consume"]]) {
  Deno.test(`${args[0]} asks for migrate on a database without the schema, with exit code 3`, async () => {
    await using db = await testDatabase({ migrated: false });
    await using project = await testProject({ database: db.url });

    const { code, stdout, stderr } = await project.run(...args);

    assertEquals([code, stdout], [3, ""]);
    assertMatch(stderr, /^[^\n]*run the command (\\)?"migrate[^\n]*\n$/);
  });
}

Deno.test("migrate exits with 3 when the schema needs a newer release", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await db.sql`INSERT INTO firefly.migration (version, name, checksum, oldest) VALUES (9999, 'later', '', 9999)`;

  const { code, stderr } = await project.run("migrate");

  assertEquals(code, 3);
  assertStringIncludes(stderr, "update the package");
});
