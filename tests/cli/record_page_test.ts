import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { jsonLines, testProject } from "../support/project.ts";

/** Inserts a failed task with these errors, the oldest first. */
async function insertFailed({ sql }: TestDatabase, messages: string[]): Promise<void> {
  const errors = messages.map((message, i) => ({
    name: "Error",
    message,
    stack: `Error: ${message}\n    at f (a.ts:1:1)\n    at g (a.ts:2:2)`,
    attempt: i + 1,
    at: new Date(Date.now() - (messages.length - i) * 60_000),
  }));
  await sql`
    INSERT INTO firefly.task (func_name, status, failed, errors, retry_attempts, max_retries)
    VALUES ('a', 'failed', now(), ${sql.json(errors)}, ${messages.length - 1}, ${messages.length - 1})
  `;
}

Deno.test("show folds equal errors, newest first, and shows all of them with --errors", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await insertFailed(db, [...Array(97).fill("refused"), "x", "y", "z"]);

  const extract = (await project.run("show", "1", "--table")).stdout;
  const all = (await project.run("show", "1", "--table", "--errors")).stdout;
  const [json] = jsonLines((await project.run("show", "1")).stdout);

  assertEquals(extract.match(/Attempt \d+ failed/g), ["Attempt 100 failed", "Attempt 99 failed", "Attempt 98 failed"]);
  assertStringIncludes(extract, "1 older kind of errors not shown. All errors in full: firefly show 1 --errors");
  assert(extract.split("\n").length < 40, extract);
  assertEquals(all.match(/Attempt \d+ failed/g)!.slice(0, 2), ["Attempt 100 failed", "Attempt 99 failed"]);
  assertEquals(all.match(/refused$/gm)!.length, 97);
  assertEquals([json.errors.length, json.errors[0].attempt], [100, 1]);
});

Deno.test("show counts equal errors", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await insertFailed(db, ["refused", "refused", "refused"]);

  const { stdout } = await project.run("show", "1", "--table");

  assertMatch(
    stdout,
    /Attempt 3 failed, \S+ \S+, 1m.* ago\n {2}3 times since attempt 1, \S+ \S+, 3m.* ago\n {2}Error: refused\n/,
  );
});

Deno.test("show and list count the attempts of a task that crashed its consumers", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await db.sql`
    INSERT INTO firefly.task (func_name, status, failed, rescues, crash_count, errors)
    VALUES ('poison', 'failed', now(), 5, 5, ${
    db.sql.json([{ name: "ConsumerCrashed", message: "m", at: new Date(), attempt: 5 }])
  })
  `;

  assertMatch((await project.run("show", "1", "--table")).stdout, /^Attempt +5 of 5, 5 consumers crashed$/m);
  assertMatch((await project.run("list", "--table")).stdout, / 5\/5 /);
});

Deno.test("show prints the progress that was reported, to the last digit", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await db.sql`INSERT INTO firefly.task (func_name, progress) VALUES ('a', ${1 / 3}), ('b', ${0.1})`;

  const records = jsonLines((await project.run("list")).stdout);

  assertEquals(records.map(({ progress }) => progress.value), [0.1, 1 / 3]);
});

Deno.test("show --follow --table prints one page after the other in a pipe", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await db.sql`SELECT firefly.schedule('a')`;
  await using showing = project.start("show", "1", "--follow", "--table");
  await showing.printed("ready");

  await db.sql`SELECT firefly.cancel(1)`;

  const { code, stdout } = await showing.ended();
  assertEquals([code, stdout.match(/^a #1 {2}\w+/gm)], [5, ["a #1  ready", "a #1  cancelled"]]);
  assert(!stdout.includes("\u001b"), stdout);
});

Deno.test("migrate counts the migrations of a newer release, and --status lists them", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await db.sql`
    INSERT INTO firefly.migration (version, name, checksum, oldest) SELECT max(version) + 1, 'newer', 'x', 1 FROM firefly.migration
  `;
  const [{ n }] = await db.sql`SELECT count(*)::integer AS n FROM firefly.migration` as unknown as [{ n: number }];

  const { code, stderr } = await project.run("migrate");

  assertEquals([code, stderr], [
    0,
    `Schema "firefly" is up to date: ${n} migrations applied, 1 of them by a newer release\n`,
  ]);
  const states = jsonLines((await project.run("migrate", "--status")).stdout);
  assertEquals([states.length, states.at(-1).name], [n, "newer"]);
});

Deno.test("doctor gives the advice on a name in several queues once, in whole sentences", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await db.sql`SELECT firefly.schedule('math.ad', queue => 'a'), firefly.schedule('math.ad', queue => 'b')`;

  const { stdout } = await project.run("doctor");

  const names = jsonLines(stdout).find(({ check }) => check === "task names");
  assertEquals(names.advice, [
    'Define "math.ad", did you mean "math.add"? If it was renamed, add the old name to aliases',
  ]);
});
