import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { jsonLines, testProject } from "../support/project.ts";
import { withoutTriggers } from "../support/records.ts";

/** Records that ended so many days ago, with their ids. */
async function ended(db: TestDatabase, rows: [status: "completed" | "failed", days: number, name?: string][]) {
  for (const [status, days, name = "a"] of rows) {
    await db.sql`
      INSERT INTO firefly.task (func_name, status, created, completed, failed)
      SELECT ${name}, ${status}, at, CASE WHEN ${status} = 'completed' THEN at END, CASE WHEN ${status} = 'failed' THEN at END
      FROM (SELECT now() - make_interval(secs => ${days * 86_400}) AS at) AS ended
    `;
  }
}

async function left(db: TestDatabase): Promise<number[]> {
  return (await db.sql`SELECT id FROM firefly.task ORDER BY id`).map(({ id }) => Number(id));
}

Deno.test("prune counts with --dry-run, and then deletes as many", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await ended(db, [["completed", 8], ["completed", 6], ["failed", 29], ["failed", 31]]);

  const dry = await project.run("prune", "--dry-run");
  assertEquals([dry.code, jsonLines(dry.stdout), await left(db)], [0, [{ pruned: 2, dry_run: true }], [1, 2, 3, 4]]);
  const real = await project.run("prune");
  assertEquals([real.code, jsonLines(real.stdout), real.stderr], [0, [{ pruned: 2, dry_run: false }], ""]);
  assertEquals(await left(db), [2, 3]);
});

Deno.test("prune lets its flags override the configuration, but not the retention of a task", async () => {
  await using db = await testDatabase();
  const config =
    `export default { defaults: { retention: { completed: "1d", failed: "2d" } }, queues: { audit: {} } };`;
  await using project = await testProject({ database: db.url, files: { "firefly.config.ts": config } });
  await db.sql`INSERT INTO firefly.definition (func_name, retain_completed) VALUES ('kept', 'Infinity')`;
  await ended(db, [["completed", 1.5], ["completed", 0.5], ["failed", 2.5], ["failed", 1], ["completed", 99, "kept"]]);

  assertEquals(jsonLines((await project.run("prune", "--dry-run")).stdout)[0].pruned, 2);
  assertEquals(jsonLines((await project.run("prune", "--dry-run", "--completed", "1h")).stdout)[0].pruned, 3);
  assertEquals(jsonLines((await project.run("prune", "--completed", "9d", "--failed", "12h")).stdout)[0].pruned, 2);
  assertEquals(await left(db), [1, 2, 5]);
});

Deno.test("prune refuses an invalid duration", async () => {
  await using project = await testProject();

  const { code, stderr } = await project.run("prune", "--completed", "1 week");

  assertEquals(code, 2);
  assertStringIncludes(stderr, '"--completed" must be a number of seconds, or a number with a unit');
});

Deno.test("queues marks numbers that are estimates, once there are many records", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await ended(db, [["failed", 1]]);
  // Some 110 MB: a record of 1.9 kB has a page of its own.
  await withoutTriggers(db, (sql) =>
    sql`
      INSERT INTO firefly.task (func_name, status, completed, params)
      SELECT 'a', 'completed', now(), repeat('x', 1900) FROM generate_series(1, 14000)
    `);

  const { stdout } = await project.run("queues", "--table");
  const [{ counts }] = jsonLines((await project.run("queues")).stdout);

  assertEquals(counts.failed, 1);
  assert(counts.completed > 13_000 && counts.completed < 15_000, String(counts.completed));
  assertEquals(counts.estimated, ["unplaced", "completed", "cancelled"]);
  assertStringIncludes(stdout, `~${counts.completed}`);
});

Deno.test("pause and resume print what they changed, and queues shows it", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await db.sql`SELECT firefly.schedule('a', queue => 'mail')`;
  const run = async (...args: string[]) => jsonLines((await project.run(...args)).stdout);

  assertEquals(await run("pause", "mail", "web", "mail", "--yes"), [
    { queue: "mail", paused: true, changed: true },
    { queue: "web", paused: true, changed: true },
  ]);
  assertEquals(await run("pause", "mail"), [{ queue: "mail", paused: true, changed: false }]);
  assertEquals((await run("queues")).map(({ name, paused }) => [name, paused]), [["mail", true], ["web", true]]);
  assertEquals(await run("pause", "mail", "--reason", "night"), [{ queue: "mail", paused: true, changed: false }]);
  const [{ paused_since, paused_by, paused_reason }] = await run("queues");
  assertEquals([Date.parse(paused_since) > 0, typeof paused_by, paused_reason], [true, "string", "night"]);
  assertEquals(await run("resume", "mail"), [{ queue: "mail", paused: false, changed: true }]);

  const [{ oldest_due, ...mail }] = await run("queues");
  assertEquals([typeof oldest_due, mail], ["number", {
    name: "mail",
    paused: false,
    paused_since: null,
    paused_by: null,
    paused_reason: null,
    consumers: 0,
    counts: {
      created: 1,
      ready: 1,
      delayed: 0,
      dependent: 0,
      suspended: 0,
      retrying: 0,
      limited: 0,
      unknown: 0,
      unplaced: 0,
      running: 0,
      completed: 0,
      failed: 0,
      cancelled: 0,
    },
    retain_completed: 604_800,
    retain_failed: 2_592_000,
  }]);
});

for (const command of ["pause", "resume"]) {
  Deno.test(`${command} needs the names of queues`, async () => {
    await using project = await testProject();

    const [none, wrong] = [await project.run(command), await project.run(command, "mail", "Mail")];

    assertEquals([none.code, wrong.code], [2, 2]);
    assertStringIncludes(none.stderr, `an argument is missing, usage: firefly ${command} <queue…>`);
    assertStringIncludes(wrong.stderr, 'a queue\'s name must be lower-case letters, digits, "_", "." and "-"');
  });
}

Deno.test("show --follow prints the record after each change, until it has ended", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await db.sql`SELECT firefly.schedule('a')`;
  await using showing = project.start("show", "1", "--follow");
  await showing.printed('"created"');

  await db.sql`UPDATE firefly.task SET status = 'completed', completed = now(), returned = 'NDI=' WHERE id = 1`;

  const { code, stdout } = await showing.ended();
  assertEquals([code, jsonLines(stdout).map(({ status, returned }) => [status, returned])], [0, [
    ["created", null],
    ["completed", 42],
  ]]);
});

Deno.test("show --follow exits with 5 for a task that failed, and with 4 for one that is deleted", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await ended(db, [["failed", 1]]);
  await db.sql`SELECT firefly.schedule('a')`;

  assertEquals((await project.run("show", "1", "--follow")).code, 5);
  await using showing = project.start("show", "2", "--follow");
  await showing.printed('"created"');
  await db.sql`DELETE FROM firefly.task WHERE id = 2`;
  assertEquals((await showing.ended()).code, 4);
});
