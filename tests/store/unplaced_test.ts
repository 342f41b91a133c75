import { assert, assertEquals } from "@std/assert";
import { promoteDueTasks } from "../../src/store/waiting.ts";
import { requeueUnplaced } from "../../src/store/unplaced.ts";
import { settleTasks } from "../../src/store/settle.ts";
import { testDatabase } from "../support/database.ts";
import { claim, claimOne, startConsumer } from "../support/claiming.ts";
import { insertTask, recordOf, withoutTriggers } from "../support/records.ts";
import { outcomeOf, settle } from "../support/settling.ts";

Deno.test("requeueUnplaced() requeues tasks that were set to created without a place, and no task that has one", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await insertTask(db);
  const done = await claimOne(db, consumerId);
  await settle(db, done);
  await insertTask(db);
  const running = await claimOne(db, consumerId);
  const ready = await insertTask(db);
  const waitingTask = await insertTask(db, { not_before: new Date(Date.now() + 3_600_000) });
  await withoutTriggers(db, (sql) => sql`UPDATE firefly.task SET status = 'created' WHERE id = ${done.id}`);

  const { last, placed } = await requeueUnplaced(db.store, 0);

  assertEquals({ last, placed }, { last: 0, placed: 1 });
  for (const id of [running.id, ready, waitingTask]) assertEquals((await recordOf(db, id)).claim_seq, 0);
  assertEquals((await promoteDueTasks(db.store, ["default"])).moved, 1);
  const { tasks } = await claim(db, { consumerId });
  assertEquals(tasks.map(({ id }) => id).sort(), [done.id, ready]);
  assertEquals((await requeueUnplaced(db.store, 0)).placed, 0);
  assert(await settle(db, running));
});

Deno.test("requeueUnplaced() gives a ready task that was edited without triggers its new place, still quarantined", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const [slow, first] = [await insertTask(db), await insertTask(db, { priority: 1 })];
  await withoutTriggers(db, (sql) => sql`UPDATE firefly.task SET priority = 9, crash_count = 2 WHERE id = ${slow}`);

  assertEquals((await requeueUnplaced(db.store, 0)).placed, 1);
  await promoteDueTasks(db.store, ["default"]);

  const { tasks } = await claim(db, { consumerId });
  assertEquals(tasks.map(({ id, quarantined }) => [id, quarantined]), [[slow, true], [first, false]]);
});

Deno.test("requeueUnplaced() walks through the records, 5,000 a call", async () => {
  await using db = await testDatabase();
  await db
    .sql`INSERT INTO firefly.task (func_name, status) SELECT 'test.task', 'completed' FROM generate_series(1, 5100)`;
  await withoutTriggers(db, (sql) => sql`UPDATE firefly.task SET status = 'created' WHERE id IN (7, 5050)`);

  assertEquals(await requeueUnplaced(db.store, 0), { last: 5000, placed: 1 });
  assertEquals(await requeueUnplaced(db.store, 5000), { last: 0, placed: 1 });
});

Deno.test("requeueUnplaced() finds no unplaced task among tasks that are claimed and settled at the same time", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await db.sql`INSERT INTO firefly.task (func_name) SELECT 'test.task' FROM generate_series(1, 2000)`;
  let working = true;
  const work = (async () => {
    for (let left = 2000; left > 0;) {
      const { tasks } = await claim(db, { consumerId, limit: 50 });
      const outcomes = tasks.map((task) =>
        outcomeOf(task, task.id % 3 + task.snoozes === 0 ? { status: "created", counts: "snooze" } : {})
      );
      const settled = await settleTasks(db.store, outcomes, [tasks[0]!.batchId]);
      assertEquals(settled.size, tasks.length, "no claim lost its task");
      left -= outcomes.filter(({ status }) => status === "completed").length;
    }
    working = false;
  })();

  let placed = 0;
  while (working) placed += (await requeueUnplaced(db.store, 0)).placed;
  await work;

  assertEquals(placed, 0);
});
