import { assertEquals } from "@std/assert";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { startCli } from "../support/process.ts";
import { insertTask, placesOf, recordOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";

const TASKS = new URL("./compensation_tasks.ts", import.meta.url).pathname;

function startConsumer(db: TestDatabase, env: Record<string, string> = {}) {
  return startCli(["consume", "--database", db.url, "--import", TASKS, "--lease", "1s"], { env });
}

Deno.test("compensate runs in reverse, once, through a kill in the middle", async () => {
  await using db = await testDatabase();
  await db.sql`CREATE TABLE saga_ledger (place int GENERATED ALWAYS AS IDENTITY, task_id bigint, name text)`;
  const id = await insertTask(db, { func_name: "saga.three" });
  {
    await using victim = startConsumer(db, { SAGA_FAILS: "1", SAGA_HANGS: "b" });
    await until(() => victim.log.some((line) => line.includes("undoing b")), 60_000);
    victim.kill("SIGKILL");
    await victim.exited;
  }

  // Here the step that failed would not fail again.
  await using _ = startConsumer(db);
  await until(async () => (await recordOf(db, id)).status !== "created", 60_000);

  const rows = await db.sql`SELECT name FROM saga_ledger ORDER BY place`;
  assertEquals(rows.map(({ name }) => name), ["a", "b", "c", "undo c", "undo b", "undo a"]);
  const { status, errors, rescues } = await recordOf(db, id);
  const messages = (errors as { name: string; message: string }[]).map(({ name, message }) => `${name}: ${message}`);
  assertEquals([status, messages.at(-1), rescues], ["failed", "RangeError: sold out", 1]);
  const steps = await db.sql`SELECT name, status FROM firefly.step WHERE task_id = ${id} ORDER BY seq`;
  assertEquals(steps.map(({ name, status }) => `${name} ${status}`), [
    "a completed",
    "b completed",
    "c completed",
    "d failed",
    "compensate c completed",
    "compensate b completed",
    "compensate a completed",
    "compensate completed",
  ]);
  await until(async () => JSON.stringify(await placesOf(db)) === `{"ready":0,"waiting":0,"claimBatches":0}`);
});
