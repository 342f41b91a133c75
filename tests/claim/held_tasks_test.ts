import { assertEquals } from "@std/assert";
import { Admission } from "../../src/claim/admission.ts";
import { HeldTasks } from "../../src/claim/held_tasks.ts";
import { Outages } from "../../src/outages.ts";
import { defineTask } from "../../src/task/definition.ts";
import { bench } from "../support/attempt_bench.ts";
import { claim, startConsumer } from "../support/claiming.ts";
import { testConfig } from "../support/consumer_config.ts";
import { insertTask, recordOf } from "../support/records.ts";

Deno.test("reconcile() returns no claim of a task that ended as it began, while its settling is under way or delayed", async () => {
  await using test = await bench();
  const { db, env } = test;
  const definitions = new Map([["test.task", defineTask("test.task", () => "done")]]);
  const outages = new Outages(env.events, () => consumerId);
  const admission = new Admission(env.sql, { onProgress() {}, ...outages.of("admit limited tasks") });
  const held = new HeldTasks({ ...env, config: testConfig({ definitions }) }, { admission, outages });
  const consumerId = await startConsumer(db);
  const id = await insertTask(db);
  await held.add((await claim(db, { consumerId })).tasks);
  const returned: unknown[] = [];
  env.settler.settle = (task) => {
    returned.push(task);
    return Promise.resolve(false);
  };

  await db.sql.begin(async (sql) => {
    await sql`SELECT FROM firefly.task FOR UPDATE`;
    held.beginNext(() => true);
    // The settler tries again and again, and waits in between.
    for (let i = 0; i < 200; i++) await held.reconcile(consumerId, () => []);
  });

  await held.settled();
  assertEquals(returned, []);
  assertEquals((await recordOf(db, id)).status, "completed");
});
