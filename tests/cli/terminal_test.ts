import { assert, assertEquals, assertMatch, assertNotMatch, assertStringIncludes } from "@std/assert";
import { testDatabase } from "../support/database.ts";
import { testProject } from "../support/project.ts";
import { hasTerminals, onTerminal } from "../support/terminal.ts";
import { until } from "../support/waiting.ts";

Deno.test({
  name: "list shows an aligned table on a terminal, in colors",
  ignore: !hasTerminals,
  async fn() {
    await using db = await testDatabase();
    await using project = await testProject();
    await db.sql`SELECT firefly.schedule('a'), firefly.schedule('much.longer', queue => 'mail')`;

    const { code, shown } = await onTerminal(project, ["list"], { database: db.url });
    const plain = await onTerminal(project, ["list"], { database: db.url, env: { NO_COLOR: "1" } });

    assertEquals([code, plain.code], [0, 0]);
    assertStringIncludes(shown, "\u001b[33mready");
    assertEquals(plain.shown.includes("\u001b"), false);
    const [header, first, second, ...more] = plain.shown.trimEnd().split("\n");
    assertEquals(more, []);
    assertEquals(header!.split(/ +/), ["ID", "NAME", "QUEUE", "STATUS", "ATTEMPT", "CREATED", "DETAIL"]);
    assertEquals(first!.slice(0, 33), " 2  much.longer  mail     ready  ");
    assertEquals(second!.slice(0, 33), " 1  a            default  ready  ");
  },
});

Deno.test({
  name: "show prints a page on a terminal, without control characters of the record",
  ignore: !hasTerminals,
  async fn() {
    await using db = await testDatabase();
    await using project = await testProject();
    const hostile = "a\n\u001b[2J\u009bb";
    const error = {
      name: hostile,
      message: hostile,
      stack: `${hostile}: ${hostile}\n    at f (\u001b[2J)`,
      attempt: 1,
    };
    await db.sql`
      INSERT INTO firefly.task (func_name, params, errors, tags, progress, progress_note)
      VALUES (${hostile}, firefly.encode(${db.sql.json([hostile, { [hostile]: 1 }])}),
        jsonb_build_array(${db.sql.json(error)}::jsonb || jsonb_build_object('at', now())),
        ${[hostile]}, 0.5, ${hostile})
    `;

    const page = await onTerminal(project, ["show", "1"], { database: db.url, env: { NO_COLOR: "1" } });
    const list = await onTerminal(project, ["list"], { database: db.url, env: { NO_COLOR: "1" } });

    assertNotMatch((page.shown + list.shown).replaceAll("\n", ""), /\p{Cc}/u);
    assertEquals(list.shown.split("\n").length, 3);
    assertEquals(page.shown.split("\n")[0], String.raw`a\n\x1b[2J\x9bb #1  ready`);
    assertStringIncludes(page.shown, "Attempt 1 failed");
  },
});

Deno.test({
  name: "delete asks on a terminal before it deletes several, unless told not to",
  ignore: !hasTerminals,
  async fn() {
    await using db = await testDatabase();
    await using project = await testProject();
    const fill = () => db.sql`SELECT firefly.schedule('a') FROM generate_series(1, 3)`;
    const left = async () => (await db.sql`SELECT FROM firefly.task`).length;

    await fill();
    const no = await onTerminal(project, ["delete", "--all"], { database: db.url, input: "n\n" });
    assertEquals([no.code, await left()], [0, 3]);
    assertStringIncludes(no.shown, "Delete 3 tasks? [y/N]");

    const single = await onTerminal(project, ["delete", "1"], { database: db.url });
    assertEquals(await left(), 2);
    assert(!single.shown.includes("?"), single.shown);

    const yes = await onTerminal(project, ["delete", "--all"], { database: db.url, input: "y\n" });
    assertEquals(await left(), 0);
    assertStringIncludes(yes.shown, "Deleted 2 tasks");

    await fill();
    const told = await onTerminal(project, ["delete", "--all", "--yes"], { database: db.url });
    assertEquals(await left(), 0);
    assert(!told.shown.includes("?"), told.shown);
  },
});

Deno.test({
  name: "consume logs readable lines on a terminal, and JSON with --json",
  ignore: !hasTerminals,
  async fn() {
    await using db = await testDatabase();
    await using project = await testProject();
    const fill = () =>
      db.sql`SELECT firefly.schedule('math.add', '[1,3]'), firefly.schedule('fail', ${db.sql.json(["x\u001b[2J\ny"])})`;

    await fill();
    const pretty = await onTerminal(project, ["consume", "--drain"], { database: db.url, env: { NO_COLOR: "1" } });
    await fill();
    const json = await onTerminal(project, ["consume", "--drain", "--json"], { database: db.url });

    const lines = pretty.shown.trimEnd().split("\n");
    assertEquals(lines.length, 4);
    assertMatch(
      lines[0]!,
      /^\d\d:\d\d:\d\d {2}ready {6}consuming default, up to 10 at a time; \S+, schema firefly; 4 tasks: math\.add, /,
    );
    assert(lines.some((line) => /^\S+ {2}completed {2}math\.add #1 {2}in \d+ (ms|µs)$/.test(line)), pretty.shown);
    assert(lines.some((line) => /^\S+ {2}failed {5}fail #2 {2}TypeError: x\\x1b\[2J\\ny$/.test(line)), pretty.shown);
    for (const line of json.shown.trimEnd().split("\n")) JSON.parse(line);
  },
});

Deno.test({
  name: "schedule, migrate, retry, tasks and delete print readable text on a terminal",
  ignore: !hasTerminals,
  async fn() {
    await using db = await testDatabase();
    await using project = await testProject();
    const say = async (...args: string[]) =>
      (await onTerminal(project, args, { database: db.url, env: { NO_COLOR: "1" } })).shown;

    assertEquals(await say("schedule", "math.add", "[1,3]"), "Scheduled math.add as task 1 in queue default\n");
    assertMatch(await say("migrate", "--status"), /^VERSION {2}NAME +APPLIED\n +1 {2}wire +\d{4}-/);
    assertEquals(await say("retry", "--all"), "Retried 0 tasks\nTask 1 was left: it waits, `firefly run` starts it\n");
    assertMatch(await say("tasks"), /^NAME +QUEUE +RETRIES +RETRY DELAY +TIMEOUT +ALIASES +DEFINED AT\nfail /);
    assertEquals(await say("delete", "1"), "Deleted 1 task\n");
  },
});

Deno.test({
  name: "explain shows sentences on a terminal",
  ignore: !hasTerminals,
  async fn() {
    await using db = await testDatabase();
    await using project = await testProject();
    await db.sql`SELECT firefly.schedule('a', queue => 'mail'), firefly.pause('mail')`;

    const { code, shown } = await onTerminal(project, ["explain", "1"], { database: db.url, env: { NO_COLOR: "1" } });

    assertEquals([code, shown.split("\n").slice(0, 4)], [0, [
      "Task 1  created",
      "",
      'Its queue "mail" is paused',
      "  Resume the queue: firefly resume mail",
    ]]);
  },
});

Deno.test({
  name: "prune shows a bar on a terminal, and erases it before the count",
  ignore: !hasTerminals,
  async fn() {
    await using db = await testDatabase();
    await using project = await testProject();
    await db.sql`
      INSERT INTO firefly.task (func_name, status, created, completed)
      SELECT 'a', 'completed', now() - interval '8 days', now() - interval '8 days' FROM generate_series(1, 1500)
    `;

    const { code, shown } = await onTerminal(project, ["prune"], { database: db.url, env: { NO_COLOR: "1" } });

    assertEquals(code, 0);
    assertMatch(shown, /█{20}░{10} {2}66% 1000 tasks/);
    assert(shown.endsWith("\r\u001b[2KPruned 1500 tasks\n"), JSON.stringify(shown));
  },
});

Deno.test({
  name: "show --follow redraws the page in place on a terminal",
  ignore: !hasTerminals,
  async fn() {
    await using db = await testDatabase();
    await using project = await testProject();
    await db.sql`SELECT firefly.schedule('a')`;
    const showing = onTerminal(project, ["show", "1", "--follow"], { database: db.url, env: { NO_COLOR: "1" } });
    await until(async () => (await db.sql`SELECT FROM firefly.result_waiter`).length === 1);

    await db.sql`SELECT firefly.cancel(1)`;

    const { code, shown } = await showing;
    assertEquals(code, 5);
    const [first, second, ...more] = shown.replaceAll("\u001b", "^").split(/\^\[\d+A\^\[0J/);
    assertEquals(more, []);
    assertMatch(first!, /^a #1 {2}ready\n/);
    assertMatch(second!, /^a #1 {2}cancelled\n/);
    assertStringIncludes(shown, `\u001b[${first!.trimEnd().split("\n").length}A`);
  },
});

Deno.test({
  name: "queues shows a table on a terminal",
  ignore: !hasTerminals,
  async fn() {
    await using db = await testDatabase();
    await using project = await testProject();
    const show = async (...args: string[]) =>
      (await onTerminal(project, args, { database: db.url, env: { NO_COLOR: "1" } })).shown.trimEnd();

    assertEquals(await show("queues"), "There are no queues yet");
    assertEquals(await show("pause", "mail", "--yes"), "Queue mail is paused");
    assertEquals(await show("pause", "mail"), "Queue mail was already paused");
    await db.sql`SELECT firefly.schedule('a', queue => 'web', not_before => now() - interval '2 hours')`;
    const [header, mail, web] = (await show("queues")).split("\n");
    assertEquals(
      header!.split(/ +/).join(" "),
      "QUEUE STATE CONSUMERS READY RUNNING COMPLETED FAILED OLDEST KEPT",
    );
    assertEquals(
      mail!.split(/ +/).join(" ").replace(/paused \d+ s/, "paused 1 s"),
      "mail paused 1 s 0 0 0 0 0 7d / 30d",
    );
    assertEquals(web!.split(/ +/).join(" "), "web 0 1 0 0 0 2h 7d / 30d");
    assertEquals(await show("resume", "mail", "web"), "Queue mail is resumed\nQueue web was not paused");
  },
});

Deno.test({
  name: "cancel shows a running count on a terminal",
  ignore: !hasTerminals,
  async fn() {
    await using db = await testDatabase();
    await using project = await testProject();
    await db.sql`SELECT firefly.schedule('a') FROM generate_series(1, 1200)`;

    const { code, shown } = await onTerminal(project, ["cancel", "--all", "--yes"], {
      database: db.url,
      env: { NO_COLOR: "1" },
    });

    assertEquals(code, 0);
    assertStringIncludes(shown, "\u001b[2KCancelled 1000 tasks");
    assert(shown.endsWith("\r\u001b[2KCancelled 1200 tasks\n"), JSON.stringify(shown));
  },
});
