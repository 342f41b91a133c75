import { assert, assertEquals } from "@std/assert";
import { parkUnknownTasks, promoteDueTasks, unparkKnownTasks } from "../../src/store/waiting.ts";
import { testDatabase } from "../support/database.ts";
import { claim, claimOne, startConsumer } from "../support/claiming.ts";
import { insertTask, placesOf, withoutTriggers } from "../support/records.ts";
import { settle } from "../support/settling.ts";

Deno.test("promoteDueTasks() moves due tasks, and a due task is claimed before every younger one", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const deferred = await insertTask(db, { not_before: new Date(Date.now() + 3_600_000) });
  assertEquals((await promoteDueTasks(db.store, ["default"])).moved, 0);
  // The database's clock is not to be faked: age the row instead.
  await withoutTriggers(db, async (sql) => {
    await sql`UPDATE firefly.waiting SET not_before = now() - interval '1 minute'`;
    await sql`UPDATE firefly.task SET not_before = now() - interval '1 minute' WHERE id = ${deferred}`;
  });
  await db.sql`INSERT INTO firefly.task (func_name) SELECT 'test.task' FROM generate_series(1, 100)`;

  assertEquals((await promoteDueTasks(db.store, ["default"])).moved, 1);
  assertEquals((await claimOne(db, consumerId)).id, deferred);
});

Deno.test("parkUnknownTasks() moves names that no live consumer of the queue knows, and unparkKnownTasks() takes them back", async () => {
  await using db = await testDatabase();
  await startConsumer(db);
  const stranger = await insertTask(db, { func_name: "test.stranger" });
  await insertTask(db);

  const [parked] = await parkUnknownTasks(db.store, ["default"]);
  assertEquals([parked?.queue, parked?.count], ["default", 1]);
  assertEquals(await placesOf(db), { ready: 1, waiting: 1, claimBatches: 0 });
  assertEquals(await parkUnknownTasks(db.store, ["default"]), []);

  const knowing = await startConsumer(db, { tasks: ["test.stranger"] });
  assertEquals(await unparkKnownTasks(db.store, { queues: ["default"], names: ["test.stranger"] }), 1);
  const { tasks: [task] } = await claim(db, { consumerId: knowing, names: ["test.stranger"] });
  assertEquals(task?.id, stranger);
  assert(await settle(db, task!));
});
