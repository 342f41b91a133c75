import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { startConsumer } from "../support/claiming.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { jsonLines, scheduleIn, testProject } from "../support/project.ts";
import { rolesDatabase } from "../support/roles.ts";
import { hasTerminals, onTerminal } from "../support/terminal.ts";

/** What consumers would have counted: two queues, forty names, an error, and a queue that nobody serves. */
async function fillStatistics(db: TestDatabase): Promise<void> {
  await db.sql`
    INSERT INTO firefly.queue_minute (minute, queue, completed, failed, retried, wait, due, waiting, running, places, oldest)
    VALUES
      (date_trunc('minute', now()), 'default', 600, 3, 7, '{0,0,0,0,90,10}', 4, 2, 3, 10, 12.4),
      (date_trunc('minute', now()) - interval '30 minutes', 'default', 1000, 0, 0, '{100}', NULL, NULL, NULL, NULL, NULL),
      (date_trunc('minute', now()), 'mail', 60, 0, 0, '{}', 70000, 0, 0, 0, 7200)
  `;
  await db.sql`
    INSERT INTO firefly.task_minute (minute, queue, func_name, completed, run)
    SELECT date_trunc('minute', now()), 'default', 'report.number_' || n, n, '{0,0,0,0,0,0,0,0,5}'
    FROM generate_series(1, 40) AS n
  `;
  await db.sql`
    INSERT INTO firefly.error_group (fingerprint, queue, func_name, name, message, first, last, attempts, last_task_id)
    VALUES (7, 'default', 'mail.send', 'SmtpError', ${
    "connection refused \u001b[2J by " + "x".repeat(200)
  }, now(), now(), 12, 99)
  `;
}

Deno.test("stats prints what queues and tasks did since a time, with percentiles, and repeats it with --watch", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await fillStatistics(db);

  const [recent, all, wrong, unknown] = await Promise.all([
    project.run("stats", "--since", "10m", "-q", "default"),
    project.run("stats"),
    project.run("stats", "--since", "5s"),
    project.run("stats", "--queue", "defualt"),
  ]);

  const [queue, ...tasks] = jsonLines(recent.stdout);
  const { per_second: rate, wait, ...counts } = queue;
  assertEquals(counts, {
    queue: "default",
    completed: 600,
    failed: 3,
    retried: 7,
    snoozed: 0,
    due: 4,
    waiting: 2,
    suspended: 0,
    running: 3,
    places: 10,
    oldest: 12.4,
  });
  assertEquals([rate, wait.p50 > 0.0056 && wait.p50 < 0.01, wait.p95 > 0.01], [603 / 600, true, true]);
  assertEquals([tasks.length, tasks[0].func_name, tasks[0].completed], [40, "report.number_40", 40]);
  assertEquals(jsonLines(all.stdout).slice(0, 2).map(({ queue, completed }) => [queue, completed]), [
    ["default", 1600],
    [
      "mail",
      60,
    ],
  ]);
  assertEquals([wrong.code, unknown.code], [2, 4]);
  assertStringIncludes(unknown.stderr, 'There is no queue "defualt"');

  await using watching = project.start("stats", "--watch", "--interval", "100ms", "--queue", "mail");
  await watching.printed(`"completed":60`);
  await db.sql`UPDATE firefly.queue_minute SET completed = 61 WHERE queue = 'mail'`;
  await watching.printed(`"completed":61`);
  watching.kill("SIGTERM");
  assertEquals((await watching.ended()).code, 0);
});

for (const [columns, rows] of [[80, 24], [120, 40]] as const) {
  Deno.test({
    name: `top and stats --watch fill a terminal of ${columns} columns and ${rows} lines, and give it back on q`,
    ignore: !hasTerminals,
    async fn() {
      await using db = await testDatabase();
      await using project = await testProject({ database: db.url });
      await fillStatistics(db);
      await startConsumer(db, { queues: ["a", "b"] });
      await scheduleIn(db, "nap", [60_000]);
      await using consumer = project.start(
        "consume",
        "-c",
        "3",
        "--name",
        "mail-2",
        "--shutdown-timeout",
        "0s",
        "--verbose",
      );
      await consumer.said(`"started"`);
      const show = (command: string[], prompt: string) =>
        onTerminal(project, command, { database: db.url, columns, rows, input: "q", prompt, env: { NO_COLOR: "1" } });

      const [top, stats] = await Promise.all([
        show(["top"], "SmtpError"),
        show(["stats", "--watch", "--interval", "200ms"], "report.number_40"),
      ]);

      for (const { code, shown, isSane } of [top, stats]) {
        assertEquals([code, isSane], [0, true]);
        const [before, frame] = shown.split("\u001b[?1049h\u001b[?25l");
        const [page, after] = frame!.split("\u001b[?25h\u001b[?1049l");
        assertEquals([before, after], ["", ""]);
        const lines = page!.split("\u001b[H")[1]!.replaceAll("\u001b[K", "").replaceAll("\u001b[J", "").split("\r")
          .join("").split("\n");
        assert(lines.length <= rows, `${lines.length} lines`);
        for (const line of lines) assert(line.length <= columns && !line.includes("\u001b"), line);
      }
      assertMatch(top.shown, /2 consumers {2}1 of 13 running/);
      assertMatch(top.shown, /mail +70000 +0 +2h/);
      assertMatch(top.shown, /mail-2 +.*1 of 3/);
      assertMatch(top.shown, / +\d+ s +1 {2}nap +mail-2/);
    },
  });
}

Deno.test("top prints one snapshot where there is no terminal, as JSON or as text", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url, env: { COLUMNS: "80" } });
  await fillStatistics(db);
  const id = await startConsumer(db);

  const [json, text] = await Promise.all([project.run("top"), project.run("top", "--table")]);

  const [{ queues, consumers, errors }] = jsonLines(json.stdout);
  assertEquals(queues.map(({ queue }: { queue: string }) => queue), ["default", "mail"]);
  assertEquals(consumers.map((consumer: { id: string }) => consumer.id), [id]);
  assertEquals(
    errors.map((error: { attempts: number; last_task_id: number }) => [error.attempts, error.last_task_id]),
    [[12, 99]],
  );
  for (const line of text.stdout.split("\n")) assert(line.length <= 80, line);
  assertStringIncludes(text.stdout, String.raw`connection refused \x1b[2J`);
});

Deno.test("top and stats work for a viewer, without the messages of errors", async () => {
  await using roles = await rolesDatabase();
  const { db, schema } = roles;
  await db.sql.unsafe(`
    INSERT INTO ${schema}.error_group (fingerprint, queue, func_name, name, message, first, last, attempts, last_task_id)
    VALUES (7, 'mail', 'mail.send', 'SmtpError', 'to jo@example.org', now(), now(), 12, 99)
  `);
  await using project = await testProject({ database: roles.urlOf("viewer") });

  const [top, stats] = await Promise.all(["top", "stats"].map((name) => project.run(name, "--schema", schema)));

  assertEquals([top!.code, stats!.code], [0, 0], top!.stderr + stats!.stderr);
  const [{ errors }] = jsonLines(top!.stdout);
  assertEquals(errors.map(({ name, message }: Record<string, unknown>) => [name, message]), [["SmtpError", null]]);
});
