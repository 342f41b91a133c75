import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { testDatabase } from "../support/database.ts";
import { jsonLines, PACKAGE, scheduleIn, testProject } from "../support/project.ts";

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
