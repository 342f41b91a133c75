import { assertEquals, assertStringIncludes } from "@std/assert";
import { Queue } from "bullmq";
import { PgBoss } from "pg-boss";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { jsonLines, PACKAGE, testProject } from "../support/project.ts";
import { testRedis, WITH_REDIS } from "../support/redis.ts";
import { hasTerminals, onTerminal } from "../support/terminal.ts";

const FILES = {
  "tasks.ts": `
    import { task } from ${JSON.stringify(PACKAGE)};
    export const send = task({ name: "mail.send", queue: "mail" }, (data: unknown) => data);
  `,
};

/** Two jobs for a task, of which one has another name, and one for none. */
async function fillBoss({ url }: TestDatabase): Promise<void> {
  const boss = new PgBoss({ connectionString: url, supervise: false, schedule: false });
  await boss.start();
  for (const name of ["mail.send", "welcome", "audit"]) {
    await boss.createQueue(name);
    await boss.send(name, { name });
  }
  await boss.schedule("welcome", "0 3 * * *");
  await boss.stop({ graceful: false, close: true });
}

async function tasksIn({ sql }: TestDatabase): Promise<string[]> {
  const rows = await sql`SELECT func_name, queue FROM firefly.task ORDER BY id`;
  return rows.map(({ func_name, queue }) => `${func_name} in ${queue}`);
}

Deno.test("import --dry-run counts by name, queue and reason, and changes nothing", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url, files: FILES });
  await fillBoss(db);

  const { code, stdout } = await project.run("import", "pg-boss", "--map", "welcome=mail.send", "--dry-run");
  const text = await project.run("import", "pg-boss", "--map", "welcome=mail.send", "--dry-run", "--table");

  const [report] = jsonLines(stdout);
  assertEquals([code, report.source, report.version, report.dry_run, report.imported], [
    0,
    "pg-boss",
    "schema 46",
    true,
    2,
  ]);
  assertEquals(report.jobs, [
    { name: "mail.send", task: "mail.send", queue: "mail", state: "waiting", count: 1, source_queue: null },
    { name: "welcome", task: "mail.send", queue: "mail", state: "waiting", count: 1, source_queue: null },
  ]);
  assertEquals(report.left.map(({ name, reason }: Record<string, unknown>) => [name, reason]), [[
    "audit",
    "unknown-name",
  ]]);
  assertEquals(report.schedules.map(({ name, cron }: Record<string, unknown>) => [name, cron]), [[
    "welcome",
    "0 3 * * *",
  ]]);
  assertStringIncludes(text.stdout, "Would import 2 jobs from pg-boss (schema 46)");
  assertStringIncludes(text.stdout, "Left 1 job where it is");
  assertStringIncludes(
    text.stdout,
    'unknown-name     1  no task is named "audit": name its task with the option map, "audit=…"',
  );
  assertStringIncludes(text.stdout, "Schedules, which stay: write each as the cron of a task");
  assertEquals(await tasksIn(db), []);
});

Deno.test("import moves jobs with --yes, refuses without it where it cannot ask, and exits with 7 if it moves none", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url, files: FILES });
  await fillBoss(db);

  const refused = await project.run("import", "pg-boss");
  assertEquals([refused.code, await tasksIn(db)], [2, []]);
  assertStringIncludes(refused.stderr, "there is no terminal to ask on whether to import 1 job: add --yes");
  const moved = await project.run(
    "import",
    "pg-boss",
    "--map",
    "welcome=mail.send",
    "--queue",
    "welcome=slow",
    "--yes",
  );
  assertEquals([moved.code, jsonLines(moved.stdout)[0].imported], [0, 2]);
  assertEquals(await tasksIn(db), ["mail.send in mail", "mail.send in slow"]);
  const stuck = await project.run("import", "pg-boss", "--yes");
  assertEquals([stuck.code, jsonLines(stuck.stdout)[0].imported], [7, 0]);
});

Deno.test("import refuses wrong flags, with a suggestion", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url, files: FILES });
  const cases: [args: string[], message: string][] = [
    [["pgboss"], 'there is no importer for "pgboss", did you mean "pg-boss"?'],
    [["pg-boss", "--redis", "redis://x"], '"--redis" is for bullmq, not for pg-boss'],
    [["pg-boss", "--map", "welcome"], '"--map" must be old=new: current value is "welcome"'],
    [["pg-boss", "--map", "a=mail.sned"], 'did you mean "mail.send"?'],
    [["pg-boss", "--ignore", "flag"], '"--ignore" cannot be "flag", did you mean "flags"?'],
    [["pg-boss", "--queue", "a", "--queue", "b"], '"--queue" must be one name, or be repeated as old=new'],
    [["pg-boss", "--queue", "A"], "a queue's name must be lower-case letters"],
  ];
  for (const [args, message] of cases) {
    const { code, stderr } = await project.run("import", ...args, "--dry-run");
    assertStringIncludes(stderr, message);
    assertEquals(code, 2, args.join(" "));
  }
  const { code, stderr } = await project.run("import", "pg-boss", "--yes");
  assertEquals(code, 1);
  assertStringIncludes(stderr, 'its tables are not in schema "pgboss" of database');
  const unreachable = await project.run("import", "bullmq", "--redis", "redis://:secret@127.0.0.1:1", "--yes");
  assertEquals(unreachable.code, 1);
  assertStringIncludes(unreachable.stderr, "Cannot reach Redis at redis://127.0.0.1:1: connect ECONNREFUSED");
});

Deno.test({
  ...WITH_REDIS,
  name: "import bullmq connects by the project's own client of Redis, and finishes an import that did not end",
  async fn() {
    await using db = await testDatabase();
    await using redis = await testRedis();
    await using project = await testProject({ database: db.url, files: FILES, env: { REDIS_URL: redis.url } });
    const queue = new Queue("emails", { connection: { url: redis.url, maxRetriesPerRequest: null } });
    await queue.add("mail.send", { n: 1 });
    await queue.add("mail.send", { n: 2 });
    // As after a crash: held, and no transaction committed.
    const [{ target }] = await db.sql`
      SELECT concat_ws('/', system_identifier, current_database(), 'firefly') AS target FROM pg_control_system()
    ` as unknown as [{ target: string }];
    const id = crypto.randomUUID();
    await redis.client.lrem("bull:emails:wait", 1, "1");
    await redis.client.hset(`bull:emails:firefly:import:held:${id}`, "1", "0 wait");
    await redis.client.hset("bull:emails:firefly:import:held:index", id, target);

    const dry = await project.run("import", "bullmq", "--dry-run", "--table");
    const { code, stdout } = await project.run("import", "bullmq", "--yes");

    assertStringIncludes(dry.stdout, "Would return 1 job of an earlier import that did not end");
    const [report] = jsonLines(stdout);
    assertEquals([code, report.imported, report.recovered], [0, 2, { removed: 0, returned: 1 }]);
    assertEquals(report.jobs[0].source_queue, "emails");
    assertEquals(await tasksIn(db), ["mail.send in mail", "mail.send in mail"]);
    await queue.close();
  },
});

Deno.test({
  name: "import asks on a terminal, and changes nothing without a yes",
  ignore: !hasTerminals,
  async fn() {
    await using db = await testDatabase();
    await using project = await testProject({ database: db.url, files: FILES });
    await fillBoss(db);

    const run = (keys: string) =>
      onTerminal(project, ["import", "pg-boss"], {
        database: db.url,
        input: keys,
        prompt: "[y/N]",
        env: { NO_COLOR: "1" },
      });
    const no = await run("n\n");
    assertStringIncludes(no.shown, "Import 1 job? [y/N]");
    assertEquals([no.code, await tasksIn(db)], [0, []]);
    const yes = await run("y\n");
    assertStringIncludes(yes.shown, "Imported 1 job from pg-boss");
    assertEquals([yes.code, await tasksIn(db)], [0, ["mail.send in mail"]]);
  },
});
