import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { commandLine, jsonLines, PACKAGE, scheduleIn, testProject } from "../support/project.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";
import { hasTerminals, onTerminal } from "../support/terminal.ts";
import { deadline } from "../support/waiting.ts";

const TALK = `
  import { current, task } from ${JSON.stringify(PACKAGE)};
  export const talk = task({ name: "talk", keepLogs: true, maxRetries: 1, retryDelay: 0 }, (text: string) => {
    const { log, attempt } = current();
    log.info(text, { n: attempt, password: "s3cr3t" });
    if (attempt === 1) throw new Error("not yet");
    log.error("gives up \\u001b[2J", {});
  });
`;

/** Stores a line of a task. */
async function log(
  { sql }: TestDatabase,
  task: number,
  message: string,
  { level = "info", ago = 0 }: { level?: string; ago?: number } = {},
): Promise<void> {
  await sql`
    INSERT INTO firefly.task_log (task_id, attempt, at, level, message)
    VALUES (${task}, 1, now() - make_interval(secs => ${ago}), ${level}, ${message})
  `;
}

Deno.test("logs prints what handlers logged as JSON, with the names that the log of a consumer has", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url, files: { "tasks.ts": TALK } });
  const id = await scheduleIn(db, "talk", ["hello"]);
  const consumed = await project.run("consume", "--drain");

  const { code, stdout, stderr } = await project.run("logs");

  assertEquals([code, stderr], [0, ""], consumed.stderr);
  const lines = jsonLines(stdout);
  assertEquals(
    lines.map(({ time: _, ...line }) => line),
    [
      { level: "info", message: "hello", attempt: 1, fields: { n: 1, password: "[redacted]" } },
      { level: "info", message: "hello", attempt: 2, fields: { n: 2, password: "[redacted]" } },
      { level: "error", message: "gives up \u001b[2J", attempt: 2, fields: {} },
    ].map((line) => ({ ...line, id, func_name: "talk", queue: "default" })),
  );
  const [first] = jsonLines(consumed.stderr).filter(({ event }) => event === "log");
  assertEquals(Object.keys(first).filter((key) => key !== "event").sort(), Object.keys(lines[0]).sort());
  assertMatch(lines[0].time, /^\d{4}-\d\d-\d\dT.*Z$/);
});

Deno.test("logs selects lines by name, queue, task, level and time, and prints the newest ones up to a limit", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  const [a, b] = [await scheduleIn(db, "nap"), await scheduleIn(db, "math.add")];
  await db.sql`UPDATE firefly.task SET queue = 'mail' WHERE id = ${b}`;
  await log(db, a, "1", { ago: 7200 });
  await log(db, b, "2", { ago: 60, level: "warn" });
  await log(db, a, "3", { ago: 30, level: "debug" });
  await log(db, b, "4", { ago: 10, level: "error" });
  const shown = async (...flags: string[]) => {
    const { code, stdout, stderr } = await project.run("logs", ...flags);
    return [code, jsonLines(stdout).map(({ message }) => message).join(), stderr.trim()];
  };

  assertEquals(
    await Promise.all([
      shown(),
      shown("--name", "nap"),
      shown("-q", "mail"),
      shown("--task", `${a}`, "--since", "1h"),
      shown("--level", "warn"),
      shown("--limit", "4"),
      shown("--limit", "2"),
      shown("--level", "error", "--name", "nap"),
    ]),
    [
      [0, "1,2,3,4", ""],
      [0, "1,3", ""],
      [0, "2,4", ""],
      [0, "3", ""],
      [0, "2,4", ""],
      [0, "1,2,3,4", ""],
      [0, "3,4", "Earlier lines match, too: --limit 20 shows more"],
      [0, "", "No log lines match"],
    ],
  );
});

Deno.test("logs says how lines are kept where none are, and refuses a task, a name and flags that are wrong", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await scheduleIn(db, "nap");
  const run = async (...flags: string[]) => {
    const { code, stdout, stderr } = await project.run("logs", ...flags);
    assertEquals(stdout, "");
    return `${code} ${stderr}`;
  };
  const said = await Promise.all([
    run(),
    run("--task", "12"),
    run("--name", "napp"),
    run("--level", "warning"),
    run("--task", "nap"),
    run("--since", "yesterday"),
    run("--limit", "-1"),
  ]);

  assertMatch(said[0]!, /^0 No log lines are kept: keepLogs: true in the options of a task keeps its lines, and /);
  assertMatch(said[1]!, /^4 error: There is no task 12$/m);
  assertMatch(said[2]!, /^4 error: There is no task named "napp", did you mean "nap"\?$/m);
  assertMatch(said[3]!, /^2 error: .*"--level" cannot be "warning", did you mean "warn"\?$/m);
  assertMatch(said[4]!, /^2 error: .*"--task" must be the id of a task: current value is "nap"$/m);
  assertMatch(said[5]!, /^2 error: .*"--since" must be a time such as /m);
  assertMatch(said[6]!, /^2 error: .*"--limit" must be an integer of at least 0/m);
});

Deno.test("logs --follow prints lines as they are stored, also of a long transaction, until SIGTERM", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  const id = await scheduleIn(db, "nap");
  await log(db, id, "before");
  await using following = project.start("logs", "--follow", "--level", "info");
  await following.printed('"before"');
  await db.sql.begin(async (sql) => {
    await log({ ...db, sql: sql as never }, id, "commits late");
    await log(db, id, "not shown", { level: "debug" });
    await log(db, id, "newer");
    await following.printed('"newer"');
  });
  await following.printed('"commits late"');
  following.kill("SIGTERM");

  const { code, stdout, stderr } = await following.ended();
  assertEquals([code, stderr], [0, ""]);
  assertEquals(jsonLines(stdout).map(({ message }) => message), ["before", "newer", "commits late"]);
});

Deno.test("logs --follow waits while the server is away, and then prints what was stored meanwhile", async () => {
  await using db = await testDatabase();
  await using proxy = await TcpProxy.start(db.url);
  await using project = await testProject({ database: proxy.through(db.url) });
  const id = await scheduleIn(db, "nap");
  await using following = project.start("logs", "--follow", "--limit", "0");
  await following.said("No log lines are kept");
  await log(db, id, "before");
  await following.printed('"before"');

  proxy.mode = "reject";
  proxy.cut();
  await following.said("retrying");
  await log(db, id, "meanwhile");
  proxy.mode = "pass";

  await following.printed('"meanwhile"');
  await following.said("The database is back after");
  // As a server does that restarts.
  await db.sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()`;
  await log(db, id, "after");
  await following.printed('"after"');
  following.kill("SIGINT");
  const { code, stdout } = await following.ended();
  assertEquals([code, jsonLines(stdout).length], [0, 3]);
});

Deno.test("logs --follow ends once its pipe is closed", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  const id = await scheduleIn(db, "nap");
  await log(db, id, "first");
  const quoted = commandLine("logs", "--follow").map((word) => `'${word}'`).join(" ");
  const shell = new Deno.Command("sh", {
    args: ["-c", `{ ${quoted}; echo "code $?" >&2; } | head -n 1`],
    cwd: project.directory,
    env: { FIREFLY_DATABASE_URL: db.url, NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const ended = shell.output();
  const lines = setInterval(() => void log(db, id, "more"), 100);
  try {
    const { stdout, stderr } = await deadline(ended, () => "it goes on");
    const [text, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assertEquals([jsonLines(text!).map(({ message }) => message), errors], [["first"], "code 0\n"]);
  } finally {
    clearInterval(lines);
  }
});

Deno.test({
  name: "logs shows readable lines on a terminal, in colors, follows, and ends on Ctrl-C",
  ignore: !hasTerminals,
  async fn() {
    await using db = await testDatabase();
    await using project = await testProject({ files: { "tasks.ts": TALK } });
    const id = await scheduleIn(db, "talk", ["hello"]);
    await using consuming = await testProject({ database: db.url, files: { "tasks.ts": TALK } });
    await consuming.run("consume", "--drain");

    const plain = await onTerminal(project, ["logs"], { database: db.url, env: { NO_COLOR: "1" } });
    const colored = await onTerminal(project, ["logs"], { database: db.url });
    const following = await onTerminal(project, ["logs", "-f", "--limit", "1"], {
      database: db.url,
      env: { NO_COLOR: "1" },
      prompt: "gives up",
      input: "\u0003",
    });

    const lines = plain.shown.trimEnd().split("\n").map((line) => line.replace(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/, "T"));
    assertEquals([plain.code, lines], [0, [
      `T  info   talk #${id}  hello {"n":1,"password":"[redacted]"}`,
      `T  info   talk #${id}  attempt 2  hello {"n":2,"password":"[redacted]"}`,
      String.raw`T  error  talk #${id}  attempt 2  gives up \x1b[2J`,
    ]]);
    assertStringIncludes(colored.shown, "\u001b[31merror");
    assert(following.shown.includes("^C") && !following.shown.includes("hello"), following.shown);
  },
});
