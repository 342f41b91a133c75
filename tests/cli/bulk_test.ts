import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { jsonLines, testProject } from "../support/project.ts";
import { hasTerminals, onTerminal } from "../support/terminal.ts";

/** Three failed tasks, and one that waits. */
async function fill({ sql }: TestDatabase): Promise<void> {
  await sql`
    INSERT INTO firefly.task (func_name, status, failed) SELECT 'mail.send', 'failed', now() FROM generate_series(1, 3)
  `;
  await sql`SELECT firefly.schedule('mail.send')`;
}

async function counts({ sql }: TestDatabase): Promise<Record<string, number>> {
  const rows = await sql`SELECT status, count(*)::integer AS n FROM firefly.task GROUP BY status`;
  return Object.fromEntries(rows.map(({ status, n }) => [status, n]));
}

for (
  const [command, key, count] of [["retry", "retried", 3], ["cancel", "cancelled", 1], [
    "delete",
    "deleted",
    4,
  ]] as const
) {
  Deno.test(`${command} with a filter changes nothing without --yes where it cannot ask`, async () => {
    await using db = await testDatabase();
    await using project = await testProject({ database: db.url });
    await fill(db);

    for (const selection of [["--all"], ["--queue", "default"]]) {
      const { code, stdout, stderr } = await project.run(command, ...selection);
      assertEquals([code, stdout], [2, ""]);
      assertStringIncludes(stderr, `whether to ${command} ${count} task${count === 1 ? "" : "s"}: add --yes`);
    }
    assertEquals(await counts(db), { created: 1, failed: 3 });
    const { code, stdout } = await project.run(command, "--all", "--yes");
    assertEquals([code, jsonLines(stdout)], [0, [{ [key]: count }]]);
  });

  Deno.test(`${command} --dry-run counts and names the tasks, and changes nothing`, async () => {
    await using db = await testDatabase();
    await using project = await testProject({ database: db.url });
    await fill(db);

    const { code, stdout } = await project.run(command, "--all", "--dry-run");
    const text = await project.run(command, "--all", "--dry-run", "--table");

    const [{ newest, ...shown }] = jsonLines(stdout);
    assertEquals([code, shown, newest.length], [0, { [key]: count, dry_run: true }, count]);
    assertStringIncludes(text.stdout, `Would ${command} ${count} task`);
    assertEquals(text.stdout.trimEnd().split("\n").length, 2 + count);
    assertEquals(await counts(db), { created: 1, failed: 3 });
  });
}

Deno.test("bulk commands do not ask about tasks that are named by ids, or if there are none", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await fill(db);

  assertEquals((await project.run("retry", "1", "2")).code, 0);
  assertEquals((await project.run("retry", "--queue", "other")).stdout, '{"retried":0}\n');
  assertEquals(await counts(db), { created: 3, failed: 1 });
});

Deno.test("bulk commands select by arguments, error and time", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await db.sql`
    INSERT INTO firefly.task (func_name, status, failed, params, errors)
    SELECT 'a', 'failed', now() - make_interval(mins => minutes), firefly.encode(params::jsonb),
      jsonb_build_array(jsonb_build_object('name', 'Error', 'message', message, 'at', now(), 'attempt', 1))
    FROM (VALUES (5, '[{"id": 7, "x": 1}]', 'Refused'), (60, '[7]', 'gone')) AS given (minutes, params, message)
  `;
  const ids = async (...args: string[]) => jsonLines((await project.run("list", ...args)).stdout).map(({ id }) => id);

  assertEquals(await ids("--params", '{"id": 7}'), [1]);
  assertEquals(await ids("--params", "7"), [2]);
  assertEquals(await ids("--params", "[7]"), [2]);
  assertEquals(await ids("--error", "refused"), [1]);
  assertEquals(await ids("--ended-since", "10m"), [1]);
  assertEquals(await ids("--ended-until", "10m"), [2]);
  assertEquals(await ids("--ended-since", new Date(Date.now() - 600_000).toISOString()), [1]);
  assertEquals(await ids("--created-since", "1m"), [2, 1]);
  assertEquals(await ids("--created-until", "1m"), []);
  assertEquals((await project.run("list", "--count", "--error", "gone")).stdout, '{"count":1}\n');
  const groups = jsonLines((await project.run("list", "--group", "error")).stdout);
  assertEquals(groups.map(({ error, count }) => [error, count]), [["Error: gone", 1], ["Error: Refused", 1]]);
});

Deno.test("pause and resume refuse a queue that does not exist, and suggest one that does", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await db.sql`SELECT firefly.schedule('a', queue => 'mail')`;

  const paused = await project.run("pause", "mail", "mial");
  const resumed = await project.run("resume", "mial");
  const [none] = await db.sql`SELECT count(*)::integer AS n FROM firefly.queue WHERE paused`;
  const forced = await project.run("pause", "mial", "--yes");

  assertEquals([paused.code, paused.stdout, none!.n], [4, "", 0]);
  assertStringIncludes(paused.stderr, 'There is no queue "mial", did you mean "mail"? Add --yes');
  assertEquals([resumed.code, resumed.stdout], [4, ""]);
  assertEquals([forced.code, jsonLines(forced.stdout)[0].changed], [0, true]);
});

const ASKED = "Delete 4 tasks? [y/N]";
const answers: Record<string, [keys: string, code: number, left: number]> = {
  "Ctrl-C": ["\x03", 130, 4],
  "Ctrl-D": ["\x04", 0, 4],
  "no": ["n\n", 0, 4],
  "Enter": ["\n", 0, 4],
  "yes": ["y\n", 0, 0],
};

for (const [name, [keys, code, left]] of Object.entries(answers)) {
  Deno.test({
    name: `delete takes ${name} as an answer, and leaves the terminal as it was`,
    ignore: !hasTerminals,
    async fn() {
      await using db = await testDatabase();
      await using project = await testProject();
      await fill(db);

      const ended = await onTerminal(project, ["delete", "--all"], { database: db.url, input: keys, prompt: ASKED });

      assertEquals([ended.code, ended.isSane], [code, true], ended.shown);
      assertEquals((await db.sql`SELECT FROM firefly.task`).length, left);
    },
  });
}

Deno.test({
  name: "pause asks on a terminal about a queue that does not exist",
  ignore: !hasTerminals,
  async fn() {
    await using db = await testDatabase();
    await using project = await testProject();
    const pause = (keys: string) =>
      onTerminal(project, ["pause", "mail"], {
        database: db.url,
        input: keys,
        prompt: "[y/N]",
        env: { NO_COLOR: "1" },
      });

    assertEquals([(await pause("n\n")).code, (await db.sql`SELECT FROM firefly.queue`).length], [4, 0]);
    const yes = await pause("y\n");
    assert(yes.shown.endsWith("Queue mail is paused\n"), yes.shown);
  },
});

Deno.test("--table prints a table of any width where stdout is no terminal", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await using narrow = await testProject({ database: db.url, env: { COLUMNS: "60" } });
  await db.sql`SELECT firefly.schedule('a.very_long_name_of_a_task', queue => 'a.very_long_name_of_a_queue')`;

  for (const command of [["list"], ["queues"], ["doctor"], ["show", "1"], ["cron", "list"], ["migrate", "--status"]]) {
    const { stdout } = await project.run(...command, "--table");
    assert(!stdout.includes('{"'), stdout);
  }
  assertStringIncludes(
    (await project.run("list", "--table")).stdout,
    "a.very_long_name_of_a_task  a.very_long_name_of_a_queue",
  );
  for (const line of (await narrow.run("list", "--table")).stdout.split("\n")) assert(line.length <= 60, line);
});
