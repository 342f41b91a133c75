import { assertEquals, assertMatch, assertNotMatch, assertStringIncludes } from "@std/assert";
import { testDatabase } from "../support/database.ts";
import { gateTo } from "../support/gate.ts";
import { TcpProxy } from "../support/tcp_proxy.ts";
import { jsonLines, PACKAGE, scheduleIn, testProject } from "../support/project.ts";
import { until } from "../support/waiting.ts";

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
