import { assertEquals, assertMatch } from "@std/assert";
import { describeUnserved } from "../../src/cli/consumer_log.ts";
import { VERSION } from "../../src/version.ts";
import { expireConsumer, startConsumer } from "../support/claiming.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { jsonLines, PACKAGE, scheduleIn, testProject } from "../support/project.ts";

const TWO_QUEUES = `
  import { task } from ${JSON.stringify(PACKAGE)};

  export const welcome = task({ name: "mail.welcome", queue: "mail" }, () => {});
  export const tick = task({ name: "tick", cron: "0 3 * * *" }, () => {});
`;

/** Locks a consumer's row until it is disposed: consumers that live leave it alone. */
async function lockRow(db: TestDatabase, id: string): Promise<AsyncDisposable> {
  const [locked, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const transaction = db.sql.begin(async (sql) => {
    await sql`SELECT FROM firefly.consumer WHERE id = ${id} FOR UPDATE`;
    locked.resolve();
    await released.promise;
  });
  await locked.promise;
  return {
    async [Symbol.asyncDispose]() {
      released.resolve();
      await transaction;
    },
  };
}

Deno.test("consumers shows who lives, with what it runs, and marks those that crashed", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url, env: { FIREFLY_RELEASE: "r7" } });
  const crashed = await startConsumer(db, { queues: ["a", "b"] });
  await expireConsumer(db, crashed);
  await using _ = await lockRow(db, crashed);
  const id = await scheduleIn(db, "nap", [60_000]);
  await using consumer = project.start("consume", "--shutdown-timeout", "0s", "--verbose");
  await consumer.said(`"started"`);

  const { code, stdout } = await project.run("consumers");

  const [own, other] = jsonLines(stdout).toSorted((a, b) => a.state > b.state ? -1 : 1);
  assertEquals([code, own.state, own.release, own.version, own.queues], [0, "live", "r7", VERSION, ["default"]]);
  assertEquals([own.running, own.concurrency, own.running_tasks.map((task: { id: number }) => task.id)], [1, 10, [id]]);
  assertEquals([own.pid === consumer.process.pid, own.memory > 1e7], [true, true]);
  assertEquals([other.id, other.state, other.queues, other.memory], [crashed, "crashed", ["a", "b"], null]);
  const [shown] = jsonLines((await project.run("show", String(id))).stdout);
  assertEquals(shown.attempted_by, { host: own.host, pid: own.pid, release: "r7" });
});

Deno.test("a failed attempt's record and error say which process and release ran it, and for how long", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  const id = await scheduleIn(db, "fail", ["too bad"]);

  await project.run("consume", "--drain", "--release", "v2");

  const [shown] = jsonLines((await project.run("show", String(id))).stdout);
  const { host, pid, release, seconds } = shown.errors[0];
  assertEquals(shown.attempted_by, { host, pid, release });
  assertEquals([release, typeof host, typeof pid, seconds >= 0 && seconds < 60], ["v2", "string", "number", true]);
});

Deno.test("consume says on one line which database, queues, tasks and crons it serves, and its version", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url, files: { "tasks.ts": TWO_QUEUES } });
  await using consumer = project.start("consume", "--release", "v2", "--name", "mail-2");
  await consumer.said(`"ready"`);
  consumer.kill("SIGTERM");

  const { stderr } = await consumer.ended();

  const { message, ...ready } = jsonLines(stderr).find(({ event }) => event === "ready");
  const { host, pathname } = new URL(db.url);
  const expected = {
    name: "mail-2",
    queues: ["mail", "default"],
    all_queues: false,
    concurrency: 10,
    database: `${host}${pathname}`,
    schema: "firefly",
    tasks: ["mail.welcome", "tick"],
    crons: ["tick"],
    version: VERSION,
    release: "v2",
  };
  assertEquals(Object.fromEntries(Object.keys(expected).map((key) => [key, ready[key]])), expected);
  assertEquals(
    message,
    `mail-2: consuming mail, default, up to 10 at a time; ${host}${pathname}, schema firefly; ` +
      `2 tasks: mail.welcome, tick; 1 cron: tick; Firefly ${VERSION}, release v2`,
  );
});

Deno.test("consume warns of tasks whose queue no consumer serves, and of names that it parks", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url, files: { "tasks.ts": TWO_QUEUES } });
  await db.sql`INSERT INTO firefly.task (func_name) SELECT 'reports.v2' FROM generate_series(1, 3)`;
  await using consumer = project.start("consume", "--queue", "default", "--lease", "1s");

  assertMatch(
    await consumer.said(`"unserved"`),
    /"warn".*mail\.welcome goes to \\"mail\\", which this consumer does not serve: add --queue mail"/,
  );
  assertMatch(
    await consumer.said(`"parked"`),
    /"warn".*3 tasks \\"reports\.v2\\" as no consumer of queue \\"default\\" knows this name"/,
  );
});

Deno.test("describeUnserved() names up to five queues in one line", () => {
  const queues = (count: number) => Array.from({ length: count }, (_, i) => ({ queue: `q${i}`, tasks: ["t"] }));
  const end = "which this consumer does not serve: add --queue";

  assertEquals(describeUnserved(queues(1)), `t goes to "q0", ${end} q0`);
  assertEquals(describeUnserved(queues(2)), `Tasks go to "q0", "q1", ${end}`);
  assertEquals(describeUnserved(queues(7)), `Tasks go to "q0", "q1", "q2", "q3", "q4" and 2 more, ${end}`);
});

Deno.test("consume --queue '*' runs tasks of every queue", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url });
  const ids = [];
  for (const queue of ["a", "b.c", "default"]) {
    const [row] = await db.sql`SELECT firefly.schedule('math.add', '[1, 2]', queue => ${queue}) AS id`;
    ids.push(Number(row!.id));
  }

  const { code } = await project.run("consume", "--queue", "*", "--drain");

  assertEquals(code, 0);
  const rows = await db.sql`SELECT id::int, status FROM firefly.task ORDER BY id`;
  assertEquals(rows.map(({ id, status }) => [id, status]), ids.map((id) => [id, "completed"]));
});

Deno.test("consumers shows how many tasks a consumer was asked to run at a time, until it does", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url, env: { COLUMNS: "200" } });
  await startConsumer(db);
  await db.sql`UPDATE firefly.consumer SET wanted_concurrency = 40, consumer_name = 'mail-2'`;

  const [table, json] = await Promise.all([project.run("consumers", "--table"), project.run("consumers")]);

  assertMatch(table.stdout, /^mail-2 .* 0 of 10, 40 asked for /m);
  assertEquals(jsonLines(json.stdout).map(({ name, wanted_concurrency: wanted }) => [name, wanted]), [["mail-2", 40]]);
});
