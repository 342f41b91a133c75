import { assertEquals, assertMatch, assertNotMatch } from "@std/assert";
import { testDatabase } from "../support/database.ts";
import { jsonLines, PACKAGE, scheduleIn, testProject } from "../support/project.ts";
import { until } from "../support/waiting.ts";

Deno.test("consume logs the stack of a failure only with --verbose", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await scheduleIn(db, "fail", ["too bad"]);
  const normal = jsonLines((await project.run("consume", "--drain")).stderr);
  await scheduleIn(db, "fail", ["too bad"]);
  const verbose = jsonLines((await project.run("consume", "--drain", "--verbose")).stderr);

  const [short, long] = [normal, verbose].map((events) => events.find(({ event }) => event === "failed"));
  assertEquals(short.error, { name: "TypeError", message: "too bad" });
  assertEquals(short.message, "TypeError: too bad");
  assertMatch(long.error.stack, /tasks\.ts:\d+/);
});

Deno.test("consume logs every attempt that is retried", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await scheduleIn(db, "flaky");
  await db.sql`UPDATE firefly.task SET max_retries = 2, retry_delay = 0`;

  const { stderr } = await project.run("consume", "--max-tasks", "3");

  const attempts = jsonLines(stderr).filter(({ func_name }) => func_name === "flaky");
  assertEquals(attempts.map(({ event, level, attempt }) => [event, level, attempt]), [
    ["retried", "warn", 1],
    ["retried", "warn", 2],
    ["completed", "info", 3],
  ]);
});

Deno.test("consume logs what a handler logs", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  const id = await scheduleIn(db, "nap", [1]);

  const { stderr } = await project.run("consume", "--drain");

  const entry = jsonLines(stderr).find(({ event }) => event === "log");
  assertEquals([entry.level, entry.message, entry.id, entry.fields], ["info", "naps", id, { ms: 1 }]);
});

Deno.test("consume --quiet logs only failures, and --verbose also starts", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  const events = async (...flags: string[]) => {
    await scheduleIn(db, "math.add", [1, 2]);
    await scheduleIn(db, "fail", ["x"]);
    const { stderr } = await project.run("consume", "--drain", "--concurrency", "1", ...flags);
    return jsonLines(stderr).map(({ event }) => event);
  };

  const quiet = await events("--quiet");
  const verbose = await events("--verbose");

  assertEquals(quiet, ["failed"]);
  assertEquals(verbose.filter((event) => event === "started").length, 2);
});

Deno.test("consume logs names and messages in one line, without control characters", async () => {
  await using db = await testDatabase();
  const hostile = "a\n\u001b[2J\u009b31m\u202e\u2028\0b";
  const tasks = `
    import { current, task } from ${JSON.stringify(PACKAGE)};
    export const hostile = task("hostile", (text: string) => {
      current().log.info(text, { [text]: text });
      throw Object.assign(new Error(text), { name: text });
    });
  `;
  await using project = await testProject({ database: db.url, files: { "tasks.ts": tasks } });
  const [row] = await db.sql`SELECT firefly.encode_raw('[{"$":"string","v":"a%000A%001B[2J"}]') AS params`;
  await db.sql`INSERT INTO firefly.task (func_name, params) VALUES ('hostile', ${row!.params})`;
  await db.sql`SELECT firefly.schedule('hostile', ${db.sql.json([hostile.replace("\0", "")])})`;

  const { stderr } = await project.run("consume", "--drain");

  assertNotMatch(stderr.replaceAll("\n", ""), /[\p{Cc}\u2028\u2029\u202e]/u);
  assertEquals(jsonLines(stderr).filter(({ event }) => event === "failed").length, 2);
});

Deno.test("consume continues when the reader of its log goes away", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await using consumer = project.start("consume");
  await consumer.said("ready");
  consumer.stopReading();
  await scheduleIn(db, "math.add", [1, 2]);
  await until(async () => (await db.sql`SELECT FROM firefly.task WHERE status = 'completed'`).length === 1);
  await scheduleIn(db, "math.add", [1, 2]);
  await until(async () => (await db.sql`SELECT FROM firefly.task WHERE status = 'completed'`).length === 2);
  consumer.kill("SIGTERM");

  assertEquals((await consumer.process.status).code, 0);
});
