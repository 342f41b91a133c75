import { configure, getLogger, type LogRecord, reset } from "@logtape/logtape";
import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { current, Firefly, task } from "../../mod.ts";
import { LogKeeper, type NewLogLine } from "../../src/telemetry/kept_log.ts";
import { writeLog } from "../../src/store/task_log.ts";
import { jsonLines, TASKS, testProject } from "../support/project.ts";
import { testDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { collectSpans } from "../support/spans.ts";
import { until } from "../support/waiting.ts";

const [TALK, QUIET] = [taskName(), taskName()] as [string, string];

const talk = task({ name: TALK, maxRetries: 1, retryDelay: 0, keepLogs: { lines: 3 } }, (text: string) => {
  const { log, attempt } = current();
  log.info(text, { password: "s3cr3t", n: attempt });
  if (attempt === 1) throw new Error("not yet");
  for (let i = 2; i <= 5; i++) log.debug(`line ${i}`);
});
const quiet = task({ name: QUIET, keepLogs: false }, () => current().log.info("not kept"));

Deno.test("keepLogs keeps the first lines of each attempt, redacted, until the task's record is deleted", async () => {
  await using t = await testInstance({ defaults: { keepLogs: true } });
  const record = await t.ff.run(() => talk.schedule("a\0b \ud800 {x}"));
  await t.ff.run(() => quiet.schedule());

  await t.drain({ tasks: [talk, quiet] });

  const lines = await t.ff.tasks.log(record.id);
  assertEquals(lines.map(({ attempt, level, message, fields }) => [attempt, level, message, fields]), [
    [1, "info", "a\ufffdb \ufffd {x}", { password: "[redacted]", n: 1 }],
    [2, "info", "a\ufffdb \ufffd {x}", { password: "[redacted]", n: 2 }],
    [2, "debug", "line 2", {}],
    [2, "debug", "line 3", {}],
    [2, "warn", "Later lines of this attempt are not kept", {}],
  ]);
  assertEquals((await t.ff.tasks.log(record.id, { limit: 1 })).map(({ level }) => level), ["warn"]);
  const [{ count, apart }] = await t.ff.sql<{ count: string; apart: boolean }>`
    SELECT count(*), bool_and(at BETWEEN created AND clock_timestamp()) AS apart
    FROM firefly.task_log JOIN firefly.task ON task.id = task_id
  ` as [{ count: string; apart: boolean }];
  assertEquals([Number(count), apart], [5, true]);

  await record.delete();

  assertEquals(await t.ff.tasks.log(record.id), []);
});

Deno.test("kept lines are stored while the attempt still runs", async () => {
  await using t = await testInstance();
  const { promise, resolve } = Promise.withResolvers<void>();
  const long = task({ name: taskName(), keepLogs: true }, async () => {
    current().log.warn("under way");
    await promise;
  });
  const record = await t.ff.run(() => long.schedule());
  await using _consumer = t.ff.consume({ tasks: [long] });

  await until(async () => (await t.ff.tasks.log(record.id)).length === 1);

  assertEquals((await record.refresh()).status, "running");
  resolve();
});

Deno.test("LogKeeper keeps lines that the database did not take for the next write, and bounds them", async () => {
  const written: (readonly NewLogLine[])[] = [];
  const failures: unknown[] = [];
  let isDown = true;
  const keeper = new LogKeeper((lines) => {
    if (isDown) {
      keep({ step: null, level: "info", message: "logged meanwhile", fields: {} });
      return Promise.reject(new Error("down"));
    }
    written.push(lines);
    return Promise.resolve();
  });
  keeper.outage = { onError: (error) => failures.push(error), onSuccess() {} };
  const keep = keeper.of({ id: 1, attempt: 1 }, { lines: 20_000 })!;
  for (let i = 0; i < 10_500; i++) {
    keep({ step: null, level: "info", message: `${i}`, fields: { long: "x".repeat(i === 0 ? 20_000 : 1) } });
  }
  await keeper.flush();
  isDown = false;
  await until(() => written.length > 0); // without another line
  await keeper.end();

  assertEquals([failures.length, written.length, written[0]!.length], [1, 1, 10_000]);
  assertEquals(written[0]![0]!.fields, '{"omitted":"20011 characters"}');
  assertEquals(written[0]![9_999]!.message, "9999");
});

Deno.test("writeLog() stores the other lines if the database refuses one, and none of a deleted task", async () => {
  await using t = await testInstance();
  const { id } = await t.ff.run(() => quiet.schedule());
  const line = {
    task_id: id,
    attempt: 1,
    step: null,
    level: "info",
    message: "x",
    fields: null,
    logged: performance.now(),
  } as const;
  const { database: { sql } } = await t.ff.connect();

  await writeLog(sql, [line, { ...line, fields: '{"a":"\\u0000"}' }, { ...line, task_id: id + 1 }, {
    ...line,
    message: "last",
  }]);

  assertEquals((await t.ff.tasks.log(id)).map(({ message, fields }) => [message, fields]), [
    ["x", {}],
    ["x", {}],
    ["last", {}],
  ]);
  assertEquals(Number((await t.ff.sql`SELECT count(*) FROM firefly.task_log`)[0]!.count), 3);
});

Deno.test("logger sends events and handlers' lines to LogTape, by category, with task, name, queue, attempt and trace", async () => {
  const records: LogRecord[] = [];
  await configure({
    sinks: { memory: (record) => void records.push(record) },
    loggers: [
      { category: ["app"], lowestLevel: "debug", sinks: ["memory"] },
      { category: ["logtape", "meta"], lowestLevel: "error", sinks: [] },
    ],
  });
  await using t = await testInstance({ logger: getLogger(["app", "firefly"]) });
  using _spans = collectSpans();
  const record = await t.ff.run(() => talk.schedule("has {n} braces"));

  await t.drain({ tasks: [talk] });
  await reset();

  const [line] = records.filter(({ category }) => category.includes("task")) as [LogRecord];
  assertEquals(line.category, ["app", "firefly", "task", TALK]);
  assertEquals(line.message.join(""), "has {n} braces");
  const { trace, ...properties } = line.properties;
  assertEquals(properties, { n: 1, password: "[redacted]", task: record.id, name: TALK, queue: "default", attempt: 1 });
  assertMatch(String(trace), /^[0-9a-f]{32}$/);
  const others = records.filter(({ category }) => category[2] !== "task" && category[2] !== "listener");
  assertEquals(others.map(({ category, level }) => `${category.slice(2)} ${level}`), [
    "schedule debug",
    "consumer info",
    "attempt debug",
    "attempt warning",
    "attempt debug",
    "attempt info",
    "consumer info",
    "consumer info",
  ]);
  const retried = others.find(({ level }) => level === "warning")!;
  assertStringIncludes(retried.message.map(String).join(""), "failed and is retried in 0 s: Error: not yet");
  assertEquals(retried.properties.task, record.id);
});

Deno.test("keepLogs and logger are checked", () => {
  const refused = (make: () => unknown) => assertThrows(make, TypeError).message;
  assertStringIncludes(
    refused(() => task({ name: "a", keepLogs: { lines: 0 } }, () => {})),
    '"keepLogs" must be true, false',
  );
  assertStringIncludes(
    refused(() => new Firefly({ defaults: { keepLogs: 3 as never } })),
    '"keepLogs" must be true, false',
  );
  assertStringIncludes(
    refused(() => new Firefly({ logger: console as never })),
    '"logger" must be a logger with categories',
  );
});

Deno.test("show has the kept lines of a task, and consume --log-format logfmt writes one line each", async () => {
  await using db = await testDatabase();
  await using project = await testProject({
    database: db.url,
    files: {
      "tasks.ts": TASKS,
      "firefly.config.ts": `export default { database: ${JSON.stringify(db.url)}, defaults: { keepLogs: true } };`,
    },
  });
  await db.sql`SELECT firefly.schedule('nap', '[1]')`;
  await db.sql`SELECT firefly.schedule('fail', '["two words"]')`;

  const { stderr } = await project.run("consume", "--drain", "--log-format", "logfmt");
  const page = (await project.run("show", "1", "--table")).stdout;
  const [plain] = jsonLines((await project.run("show", "1")).stdout);
  const [json] = jsonLines((await project.run("show", "1", "--log")).stdout);
  const wrong = await project.run("consume", "--drain", "--log-format", "xml");

  const time = String.raw`time=\d{4}-\d\d-\d\dT[\d:.]+Z`;
  assertMatch(stderr, new RegExp(`^${time} level=info event=log message=naps id=1 func_name=nap .*fields.ms=1$`, "m"));
  assertMatch(
    stderr,
    new RegExp(`^${time} level=error event=failed message="TypeError: two words" .*error.name=TypeError`, "m"),
  );
  assertMatch(page, /^Log\n {2}\S+ \S+ {2}1 {2}info {3}naps \{"ms":1\}$/m);
  assert(!("log" in plain));
  assertEquals(json.log.map(({ message, fields }: { message: string; fields: object }) => [message, fields]), [
    ["naps", { ms: 1 }],
  ]);
  assertStringIncludes(wrong.stderr, "--log-format must be pretty, json or logfmt");
});
