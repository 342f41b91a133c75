import { assert, assertEquals, assertMatch, assertNotMatch, assertStringIncludes } from "@std/assert";
import { testDatabase } from "../support/database.ts";
import { gateTo } from "../support/gate.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";
import { jsonLines, PACKAGE, testProject } from "../support/project.ts";
import { until } from "../support/waiting.ts";

/** Schedules a task of a test's project. */
async function scheduleIn(db: Awaited<ReturnType<typeof testDatabase>>, name: string, params: unknown[] = []) {
  const [row] = await db.sql`SELECT firefly.schedule(${name}, ${db.sql.json(params as never)}) AS id`;
  return Number(row!.id);
}

Deno.test("consume --drain runs what is ready and ends", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  const id = await scheduleIn(db, "math.add", [1, 3]);

  const { code, stdout, stderr } = await project.run("consume", "--drain");

  const events = jsonLines(stderr);
  const completed = events.find(({ event }) => event === "completed");
  assertEquals([code, stdout], [0, ""]);
  assertEquals([completed.id, completed.func_name, completed.level], [id, "math.add", "info"]);
  assertEquals(events.at(-1).event, "stopped");
  assertEquals([events.at(-1).completed, events.at(-1).failed], [1, 0]);
});

Deno.test("consume_tasks is an alias of consume", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });

  assertEquals((await project.run("consume_tasks", "--queue", "mail", "--drain")).code, 0);
});

Deno.test("consume --max-tasks ends after as many attempts", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  for (let i = 0; i < 5; i++) await scheduleIn(db, "math.add", [i, i]);

  await project.run("consume", "--max-tasks", "2", "--concurrency", "1");

  const [left] = await db.sql`SELECT count(*)::integer FROM firefly.task WHERE status = 'created'`;
  assertEquals(left, { count: 3 });
});

Deno.test("consume takes queues one by one and between commas", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  for (const queue of ["a", "b", "c", "d"]) await db.sql`SELECT firefly.schedule('math.add', '[1,2]', ${queue})`;

  const { stderr } = await project.run("consume", "--queue", "a,b", "--queue", "c", "--drain");

  const [left] = await db.sql`SELECT array_agg(queue) AS queues FROM firefly.task WHERE status = 'created'`;
  assertEquals(left, { queues: ["d"] });
  assertEquals(jsonLines(stderr)[0].queues, ["a", "b", "c"]);
});

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

Deno.test("consume stops gracefully at SIGTERM, and logs how many attempts it waits for", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await using consumer = project.start("consume");
  const id = await scheduleIn(db, "nap", [1500]);
  await consumer.said("naps");
  consumer.kill("SIGTERM");

  const { code, stderr } = await consumer.ended();

  const stopping = jsonLines(stderr).find(({ event }) => event === "stopping");
  const [row] = await db.sql`SELECT status FROM firefly.task WHERE id = ${id}`;
  assertEquals([code, row!.status, stopping.running], [0, "completed", 1]);
  assertMatch(stopping.message, /^SIGTERM: waiting up to 30 s for 1 attempt;/);
});

Deno.test("consume releases tasks that do not end within --shutdown-timeout", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  await using consumer = project.start("consume", "--shutdown-timeout", "200ms");
  await scheduleIn(db, "nap", [60_000]);
  await consumer.said("naps");
  consumer.kill("SIGINT");

  const { code, stderr } = await consumer.ended();

  const [row] = await db.sql`SELECT status, retry_attempts FROM firefly.task_record`;
  assertEquals([code, row], [0, { status: "created", retry_attempts: 0 }]);
  assertStringIncludes(stderr, '"returned"');
});

for (const [first, second, code] of [["SIGTERM", "SIGTERM", 143], ["SIGTERM", "SIGINT", 130]] as const) {
  Deno.test(`consume ends at once with ${code} at ${second} after ${first}`, async () => {
    await using db = await testDatabase();
    await using project = await testProject({ database: db.url });
    await using consumer = project.start("consume");
    await scheduleIn(db, "nap", [60_000]);
    await consumer.said("naps");
    consumer.kill(first);
    await consumer.said("stopping");
    const started = performance.now();
    consumer.kill(second);

    const result = await consumer.ended();

    assertEquals(result.code, code);
    assert(performance.now() - started < 1000);
    assertStringIncludes(result.stderr, `Ended at once by ${second}, 1 attempt unfinished`);
  });
}

Deno.test("consume waits for a database that is down, and logs it once", async () => {
  await using db = await testDatabase();
  await using gate = gateTo(db.url, { isShut: true });
  await using project = await testProject({ database: gate.url });
  const id = await scheduleIn(db, "math.add", [1, 2]);
  await using consumer = project.start("consume");
  await consumer.said("outage");
  gate.open();
  await consumer.said("completed");
  consumer.kill("SIGTERM");

  const { code, stderr } = await consumer.ended();

  const events = jsonLines(stderr);
  assertEquals([code, events.find(({ event }) => event === "completed").id], [0, id]);
  assertEquals(events.filter(({ event }) => event === "outage").length, 1);
  assertEquals(events.filter(({ event }) => event === "recovered").length, 1);
});

Deno.test("consume ends at SIGTERM while it waits for a database that is down", async () => {
  await using project = await testProject();
  await using consumer = project.start("consume");
  await consumer.said("outage");
  consumer.kill("SIGTERM");

  assertEquals((await consumer.ended()).code, 0);
});

Deno.test("consume logs an outage in one line, and its end in another", async () => {
  await using db = await testDatabase();
  await using proxy = await TcpProxy.start(db.url);
  await using project = await testProject({ database: proxy.through(db.url) });
  await using consumer = project.start("consume", "--poll-interval", "200ms");
  await consumer.said("ready");
  proxy.mode = "reject";
  proxy.cut();
  const before = proxy.accepted;
  const outage = await consumer.said("outage");
  await until(() => proxy.accepted - before >= 12); // every part of it has tried again, and could have logged it
  proxy.mode = "pass";
  await consumer.said("recovered");
  await scheduleIn(db, "math.add", [1, 2]);
  await consumer.said("completed");
  consumer.kill("SIGTERM");

  const { code, stderr } = await consumer.ended();

  const events = jsonLines(stderr).map(({ event }) => event);
  assertEquals([code, events], [0, ["ready", "outage", "recovered", "completed", "stopping", "stopped"]]);
  assertMatch(JSON.parse(outage).message, /^Cannot reach the database at 127\.0\.0\.1:\d+\/\w+: .*; retrying$/);
  assertNotMatch(stderr, /stack|postgres\/src/);
});

Deno.test("consume exits with 3 when the server rejects the connection", async () => {
  await using db = await testDatabase();
  const url = Object.assign(new URL(db.url), { pathname: "/no_such_database" }).href;
  await using project = await testProject({ database: url });

  const { code, stderr } = await project.run("consume");

  const [event, ...more] = jsonLines(stderr);
  assertEquals([code, more], [3, []]);
  assertMatch(event.message, /^Cannot reach the database at .*: database "no_such_database" does not exist$/);
});

const CARELESS = `
  import { task } from ${JSON.stringify(PACKAGE)};
  export const reject = task("reject", () => void Promise.reject(new Error("nobody listens")));
  export const explode = task("explode", () => void setTimeout(() => { throw new Error("in a timer"); }));
  export const fine = task("fine", () => 1);
`;

Deno.test("consume logs an unhandled rejection, and continues", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url, files: { "tasks.ts": CARELESS } });
  await using consumer = project.start("consume");
  const id = await scheduleIn(db, "reject");
  const rejection = JSON.parse(await consumer.said("rejection"));
  await scheduleIn(db, "fine");
  await consumer.said('"fine"');
  consumer.kill("SIGTERM");

  assertEquals((await consumer.ended()).code, 0);
  assertEquals(rejection.level, "error");
  assertStringIncludes(rejection.message, `in task ${id}, continuing: Error: nobody listens`);
  assertMatch(rejection.error.stack, /tasks\.ts:\d+/);
});

Deno.test("consume stops gracefully after an uncaught exception, and exits with 1", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url, files: { "tasks.ts": CARELESS } });
  await scheduleIn(db, "explode");

  const { code, stderr } = await project.run("consume");

  const events = jsonLines(stderr);
  assertEquals(code, 1);
  assertStringIncludes(events.find(({ event }) => event === "exception").message, "stopping: Error: in a timer");
  assertEquals(events.at(-1).event, "stopped");
});

Deno.test("consume takes the configuration's options, and lets flags override them", async () => {
  await using db = await testDatabase();
  const config = `export default { consume: { queues: ["mail"], concurrency: 3, drain: true } };`;
  const tasks = `import { task } from ${JSON.stringify(PACKAGE)}; task("fine", () => 1);`;
  const files = { "tasks.ts": tasks, "firefly.config.ts": config };
  await using project = await testProject({ database: db.url, files });

  const [configured] = jsonLines((await project.run("consume")).stderr);
  const [flagged] = jsonLines((await project.run("consume", "--queue", "slow", "--concurrency", "5")).stderr);

  assertEquals([configured.queues, configured.concurrency], [["mail"], 3]);
  assertEquals([flagged.queues, flagged.concurrency], [["slow"], 5]);
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
