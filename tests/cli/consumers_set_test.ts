import { assertEquals, assertStringIncludes } from "@std/assert";
import { startConsumer } from "../support/claiming.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { jsonLines, scheduleIn, testProject } from "../support/project.ts";
import { until } from "../support/waiting.ts";

/** Each task of it holds a transaction of its own, so that it needs a session, too. */
const HOLDING = `
  import { current, task } from ${JSON.stringify(new URL("../../mod.ts", import.meta.url).href)};

  export const hold = task({ name: "hold" }, async () => {
    await current().sql\`SELECT 1\`;
    await new Promise((_, reject) => current().signal.addEventListener("abort", reject));
  });
`;

async function running(db: TestDatabase): Promise<number> {
  const [row] = await db.sql`
    SELECT count(*)::int AS count FROM pg_stat_activity
    WHERE datname = current_database() AND state = 'idle in transaction'
  `;
  return row!.count;
}

Deno.test("consumers set changes how many tasks a live consumer runs at a time, up and down", async () => {
  await using db = await testDatabase();
  await using project = await testProject({ database: db.url, files: { "tasks.ts": HOLDING } });
  const other = await startConsumer(db, { queues: ["mail"] });
  for (let i = 0; i < 30; i++) await scheduleIn(db, "hold");
  const flags = ["--concurrency", "2", "--name", "web-1", "--shutdown-timeout", "0s", "--no-watchdog"];
  await using consumer = project.start("consume", ...flags);
  await until(async () => await running(db) === 2);

  const up = await project.run("consumers", "set", "web-1", "-c", "25");
  await until(async () => await running(db) === 25);
  const down = await project.run("consumers", "set", String(consumer.process.pid), "--concurrency", "24");

  assertEquals([up.code, down.code], [0, 0]);
  const [first, second] = [jsonLines(up.stdout)[0], jsonLines(down.stdout)[0]];
  assertEquals([first.name, first.before, first.concurrency, first.changed], ["web-1", 2, 25, true]);
  assertEquals([second.name, second.before, second.concurrency, second.changed], ["web-1", 25, 24, true]);
  const consumers = await db
    .sql`SELECT name, concurrency, wanted_concurrency FROM firefly.consumer_record ORDER BY name`;
  assertEquals(consumers.map((row) => ({ ...row })), [
    { name: "web-1", concurrency: 24, wanted_concurrency: null },
    { name: null, concurrency: 10, wanted_concurrency: null },
  ]);
  assertStringIncludes(await consumer.said(`"scaled"`), "up to 25 at a time, not 2, as `consumers set` asked for");

  // None of the 25 is ended, and the slot of the next one that ends stays empty.
  await db.sql`SELECT firefly.cancel(min(id)) FROM firefly.task_record WHERE status = 'running'`;
  await until(async () => await running(db) === 24);
  await db.sql`SELECT firefly.cancel(min(id)) FROM firefly.task_record WHERE status = 'running'`;
  const started = async () => (await db.sql`SELECT FROM firefly.task WHERE status = 'cancelled'`).length;
  await until(async () => await started() === 2 && await running(db) === 24);

  const wrong = await project.run("consumers", "set", "web-2", "-c", "3");
  assertEquals([wrong.code, wrong.stderr], [4, 'error: There is no live consumer "web-2", did you mean "web-1"?\n']);
  assertEquals((await db.sql`SELECT concurrency FROM firefly.consumer WHERE id = ${other}`)[0]!.concurrency, 10);
});
