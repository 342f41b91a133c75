import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import postgres from "postgres";
import { defaultHome, stopEmbedded } from "../../src/embedded/embedded.ts";
import { jsonLines, type Project, testProject } from "../support/project.ts";

/** A project with an embedded server of its own, which has the binaries of the default one. */
async function embeddedProject(): Promise<Project & { home: string }> {
  const home = await Deno.makeTempDir({ prefix: "firefly_home_" });
  await Deno.chmod(home, 0o755);
  try {
    for await (const { name } of Deno.readDir(defaultHome())) {
      if (name.startsWith("postgresql-")) await Deno.symlink(`${defaultHome()}/${name}`, `${home}/${name}`);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error; // they are fetched
  }
  const project = await testProject({ env: { FIREFLY_HOME: home, FIREFLY_DATABASE_URL: "", FIREFLY_EMBEDDED: "1" } });
  return {
    ...project,
    home,
    async [Symbol.asyncDispose]() {
      await stopEmbedded({ home });
      await Deno.remove(home, { recursive: true });
      await project[Symbol.asyncDispose]();
    },
  };
}

Deno.test("db starts, inspects and stops the embedded server", async () => {
  await using project = await embeddedProject();

  const before = await project.run("db", "status");
  const started = await project.run("db", "start");
  const running = await project.run("db", "status");
  const url = await project.run("db", "url");
  const stopped = await project.run("db", "stop");
  const after = await project.run("db", "stop");

  assertEquals([before.code, jsonLines(before.stdout)[0].running], [3, false]);
  assertEquals(started.code, 0);
  assertStringIncludes(started.stderr, `Creating a PostgreSQL`);
  const [status] = jsonLines(running.stdout);
  assertEquals([running.code, status.running, status.home], [0, true, project.home]);
  assertMatch(url.stdout, new RegExp(`^postgres://firefly:[\\w-]+@127\\.0\\.0\\.1:${status.port}/postgres\n$`));
  assertEquals(running.stdout.includes(new URL(url.stdout.trim()).password), false);
  assertEquals([jsonLines(stopped.stdout), jsonLines(after.stdout)], [[{ stopped: true }], [{ stopped: false }]]);
});

Deno.test("consume and schedule migrate the embedded server automatically, and print their progress", async () => {
  await using project = await embeddedProject();

  const pending = await project.run("migrate", "--status");
  const scheduled = await project.run("schedule", "math.add", "[1,3]");
  const consumed = await project.run("consume", "--drain");
  const record = await project.run("show", String(jsonLines(scheduled.stdout)[0].id));

  assertEquals(jsonLines(pending.stdout)[0].applied, null);
  assertStringIncludes(pending.stderr, "Using the embedded PostgreSQL");
  assertStringIncludes(consumed.stderr, "Using the embedded PostgreSQL");
  assertStringIncludes(pending.stderr, "Creating a PostgreSQL");
  assertStringIncludes(scheduled.stderr, "Applying migration 1");
  assertEquals([scheduled.code, consumed.code, jsonLines(record.stdout)[0].returned], [0, 0, 4]);
});

Deno.test("db url starts the embedded server", async () => {
  await using project = await embeddedProject();

  const { stdout } = await project.run("db", "url", "--quiet", "--embedded");

  const sql = postgres(stdout.trim(), { max: 1 });
  const [row] = await sql`SELECT 1 AS one`;
  await sql.end();
  assertEquals(row, { one: 1 });
});

Deno.test("db url prints the URL of the configured database", async () => {
  await using project = await testProject({ database: "postgres://a:b@host/c" });

  assertEquals(await project.run("db", "url"), { code: 0, stdout: "postgres://a:b@host/c\n", stderr: "" });
  assertEquals(jsonLines((await project.run("db", "url", "--json")).stdout), [{ url: "postgres://a:b@host/c" }]);
});

Deno.test("db status says that another database is configured", async () => {
  await using project = await testProject({ env: { FIREFLY_HOME: "/nonexistent/firefly" } });

  const { code, stderr } = await project.run("db", "status");

  assertEquals(code, 3);
  assertStringIncludes(stderr, "Another database is configured");
});

Deno.test("db exits with 3 when the embedded server cannot start", async () => {
  await using project = await testProject({
    env: { FIREFLY_HOME: "/dev/null/firefly", FIREFLY_DATABASE_URL: "", FIREFLY_EMBEDDED: "1" },
  });

  const { code, stdout, stderr } = await project.run("db", "start");

  assertEquals([code, stdout], [3, ""]);
  assertMatch(stderr, /^error: Cannot start the embedded PostgreSQL as .*\n$/);
});

Deno.test("db refuses unknown actions with exit code 2", async () => {
  await using project = await testProject();

  const { code, stderr } = await project.run("db", "stat");

  assertEquals(code, 2);
  assert(/did you mean "sta(rt|tus)"/.test(stderr), stderr);
});
