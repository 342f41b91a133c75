import { assertEquals } from "@std/assert";
import { type Chosen, rescheduleTasks, runTasks } from "../../src/store/bulk.ts";
import { parkUnknownTasks, promoteDueTasks } from "../../src/store/waiting.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { claim, claimOne, startConsumer } from "../support/claiming.ts";
import { admit, insertMany, limit, slots } from "../support/limit_store.ts";
import { notificationsOf } from "../support/notifications.ts";
import { insertTask, placesOf, recordOf } from "../support/records.ts";
import { settle } from "../support/settling.ts";

const HOUR = 3_600_000;
const later = () => new Date(Date.now() + HOUR);
const KEPT = { notBefore: null, delay: null, queue: null, priority: null };

function chosen(...ids: number[]): Chosen[] {
  return ids.map((id) => ({ id, claimSeq: null }));
}

/** Where a task stands: the table, its columns there, and whether they are those of its record. */
async function placeOf(db: TestDatabase, id: number): Promise<string> {
  const rows = await db.sql`
    SELECT place.*, (place.queue, place.priority, place.not_before, place.claim_seq)
      = (task.queue, task.priority, task.not_before, task.claim_seq) AS same
    FROM (
      SELECT id, claim_seq, queue, priority, not_before, 'ready' AS name, quarantined FROM firefly.ready
      UNION ALL
      SELECT id, claim_seq, queue, priority, not_before, reason, quarantined FROM firefly.waiting
    ) AS place
    JOIN firefly.task USING (id)
    WHERE id = ${id}
  `;
  return rows.map(({ name, queue, priority, quarantined, same }) =>
    `${name} in ${queue} with ${priority}${quarantined ? ", quarantined" : ""}${same ? "" : ", stale"}`
  ).join(" and ");
}

Deno.test("runTasks() makes delayed and retrying tasks due, keeps their attempts, and notifies their queues", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await insertTask(db, { max_retries: 3, unique_key: "k" });
  const failed = await claimOne(db, consumerId);
  await settle(db, failed, { status: "created", returned: null, delay: 3600, counts: "retry" });
  const delayed = await insertTask(db, { queue: "mail", not_before: later() });

  const notifications = await notificationsOf(db, ["firefly_default", "firefly_mail"], async () => {
    const result = await runTasks(db.records, chosen(failed.id, delayed));
    assertEquals(result, { done: 2, changed: [], left: [] });
  });

  assertEquals(notifications.sort(), ["firefly_default", "firefly_mail"]);
  assertEquals(await placeOf(db, delayed), "ready in mail with 0");
  const again = await claimOne(db, consumerId);
  assertEquals([again.id, again.attempt, again.retryAttempts], [failed.id, 2, 1]);
  assertEquals((await db.sql`SELECT task_id FROM firefly.unique_key`).map((row) => Number(row.task_id)), [failed.id]);
});

Deno.test("runTasks() leaves tasks that are due, limited, unknown, running or ended, and says why", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await insertTask(db);
  const running = await claimOne(db, consumerId);
  await insertTask(db);
  const completed = await claimOne(db, consumerId);
  await settle(db, completed);
  const [failed, cancelled] = [
    await insertTask(db, { status: "failed" }),
    await insertTask(db, { status: "cancelled" }),
  ];
  const unknown = await insertTask(db, { func_name: "test.stranger" });
  await parkUnknownTasks(db.store, ["default"]);
  const concurrency = await insertTask(db, { concurrency_key: "k" });
  const rate = await insertTask(db, { rate_key: "r" });
  const ready = await insertTask(db);
  const before = await db.sql`SELECT id, not_before, claim_seq FROM firefly.task ORDER BY id`;

  const { done, left } = await runTasks(
    db.records,
    chosen(running.id, completed.id, failed, cancelled, unknown, concurrency, rate, ready, 404),
  );

  assertEquals([done, left.map(({ reason }) => reason)], [
    0,
    ["running", "completed", "failed", "cancelled", "unknown", "concurrency", "rate", "ready"],
  ]);
  assertEquals([...await db.sql`SELECT id, not_before, claim_seq FROM firefly.task ORDER BY id`], [...before]);
});

Deno.test("runTasks() sends a delayed limited task to its limit queue, not past the limit", async () => {
  await using db = await testDatabase();
  await startConsumer(db);
  await limit(db, { concurrency: 1 });
  const [first] = await insertMany(db, 1, { concurrency_key: "k" });
  const delayed = await insertTask(db, { concurrency_key: "k", not_before: later() });
  await admit(db, ["k"]);

  assertEquals((await runTasks(db.records, chosen(delayed))).done, 1);
  const { concurrencyKeys } = await promoteDueTasks(db.store, ["default"]);

  assertEquals(concurrencyKeys, ["k"], "its limit queue is looked at");
  assertEquals(await admit(db, ["k"]), 0);
  assertEquals([await placeOf(db, first!), await placeOf(db, delayed)], [
    "ready in default with 0",
    "concurrency in default with 0",
  ]);
});

Deno.test("rescheduleTasks() changes the time, the queue and the priority, and keeps the rest", async () => {
  await using db = await testDatabase();
  const [ready, waiting] = [await insertTask(db, { crash_count: 2 }), await insertTask(db, { not_before: later() })];
  const both = chosen(ready, waiting);

  await rescheduleTasks(db.records, both, { ...KEPT, queue: "mail", priority: 5 });
  assertEquals(await placeOf(db, ready), "ready in mail with 5, quarantined");
  assertEquals(await placeOf(db, waiting), "time in mail with 5");
  await rescheduleTasks(db.records, both, { ...KEPT, delay: 60 });
  assertEquals(await placeOf(db, ready), "time in mail with 5, quarantined");
  await rescheduleTasks(db.records, both, { ...KEPT, notBefore: new Date() });
  assertEquals(await placeOf(db, waiting), "ready in mail with 5");
  assertEquals(await placesOf(db), { ready: 2, waiting: 0, claimBatches: 0 });
});

Deno.test("rescheduleTasks() frees the slot of a task that was ready, and asks consumers to admit another", async () => {
  await using db = await testDatabase();
  await startConsumer(db);
  await limit(db, { concurrency: 1 });
  const [first, second] = await insertMany(db, 2, { concurrency_key: "k" });
  await admit(db, ["k"]);

  const notifications = await notificationsOf(db, ["firefly:control"], async () => {
    await rescheduleTasks(db.records, chosen(first!), { ...KEPT, delay: 60 });
  });

  assertEquals([await slots(db), notifications], [{}, ["firefly:control"]]);
  assertEquals(await admit(db, ["k"]), 1);
  assertEquals(await placeOf(db, second!), "ready in default with 0");
});

Deno.test("run() and reschedule() of a running task lock its record no longer than the call", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await insertTask(db);
  const running = await claimOne(db, consumerId);

  await db.sql.begin(async (sql) => {
    const [row] = await sql`
      SELECT firefly.run(${running.id}) AS run, firefly.reschedule(${running.id}, priority => 3) AS rescheduled
    `;
    assertEquals([row!.run, row!.rescheduled], [false, false]);
    assertEquals(await settle(db, running), true);
  });
});

Deno.test("an UPDATE by hand of queue, priority, not_before, func_name or a limit key moves the task at once", async () => {
  await using db = await testDatabase();
  const id = await insertTask(db, { max_retries: 1 });
  const edits: [string, string][] = [
    ["priority = 9", "ready in default with 9"],
    ["queue = 'mail', priority = 9", "ready in mail with 9"],
    ["not_before = now() + interval '1 hour'", "time in mail with 9"],
    ["priority = 2", "time in mail with 2"],
    ["concurrency_key = 'k'", "time in mail with 2"],
    ["not_before = now()", "concurrency in mail with 2"],
    ["rate_key = 'r', concurrency_key = NULL", "rate in mail with 2"],
    ["rate_key = NULL, not_before = 'infinity'", "time in mail with 2"],
    ["not_before = '-infinity', func_name = 'test.other'", "ready in mail with 2"],
  ];
  for (const [set, place] of edits) {
    const notifications = await notificationsOf(db, ["firefly_mail", "firefly_default"], async () => {
      await db.sql.unsafe(`UPDATE firefly.task SET ${set} WHERE id = ${id}`);
    });
    assertEquals([await placeOf(db, id), notifications.length], [place, 1], set);
  }
  assertEquals((await db.sql`SELECT func_name FROM firefly.ready`).map(({ func_name }) => func_name), ["test.other"]);
});

Deno.test("an UPDATE by hand that changes nothing leaves the place and the fence", async () => {
  await using db = await testDatabase();
  const id = await insertTask(db);

  await db.sql`UPDATE firefly.task SET queue = queue, priority = 0, not_before = not_before, status = 'created'`;

  assertEquals([await placeOf(db, id), (await recordOf(db, id)).claim_seq], ["ready in default with 0", 0]);
});

Deno.test("an UPDATE by hand of a running task counts for its next attempt, and does not end this one", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const [ended, retried] = await insertMany(db, 2, { max_retries: 3 });
  const { tasks } = await claim(db, { consumerId });

  await db.sql`UPDATE firefly.task SET queue = 'mail', priority = 4`;

  assertEquals(await settle(db, tasks.find(({ id }) => id === ended)!), true);
  await settle(db, tasks.find(({ id }) => id === retried)!, { status: "created", returned: null, counts: "retry" });
  assertEquals(await placeOf(db, retried!), "ready in mail with 4");
});

Deno.test("an UPDATE by hand of the status ends a task, or places it again", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await insertTask(db);
  const running = await claimOne(db, consumerId);
  const ready = await insertTask(db);

  const notifications = await notificationsOf(db, ["firefly:control"], async () => {
    await db.sql`UPDATE firefly.task SET status = 'cancelled'`;
  });
  assertEquals([await settle(db, running), notifications], [false, ["firefly:control"]]);
  assertEquals(await placesOf(db), { ready: 0, waiting: 0, claimBatches: 1 });
  const { cancelled } = await recordOf(db, ready);
  assertEquals(cancelled instanceof Date, true, "so that it is pruned in time");

  await db.sql`UPDATE firefly.task SET status = 'created', not_before = now()`;
  assertEquals([await placeOf(db, ready), await placeOf(db, running.id)], Array(2).fill("ready in default with 0"));
  assertEquals((await recordOf(db, ready)).cancelled, null);
  assertEquals(await settle(db, running), false, "the fence stays");
});

Deno.test("an UPDATE by hand of a unique key, or of the queue of encrypted values, is refused in words", async () => {
  await using db = await testDatabase();
  const text = `{"$":"Encrypted","key":"a","v":"x"}`;
  const [bound, free] = [btoa(text), btoa(text.replace("}", `,"anyQueue":true}`))];
  await insertTask(db, { unique_key: "k" });
  await insertMany(db, 1, { params: bound });
  await insertMany(db, 1, { params: free });
  const refused = async (statement: string) => {
    const error = await db.sql.unsafe(statement).then(() => undefined, (error) => error);
    return error && `${error.message} | ${error.hint}`;
  };
  const key = 'Cannot change the unique key of task 1 "test.task" as it has not ended' +
    " | Cancel it with firefly.cancel() and schedule it again";
  const move =
    'Cannot move task 2 from "test.task" in queue "default" to "test.task" in queue "mail" as its values are ' +
    "encrypted for the former | Cancel it and schedule it again";

  assertEquals(await refused("UPDATE firefly.task SET unique_key = 'j' WHERE id = 1"), key);
  assertEquals(await refused("UPDATE firefly.task SET func_name = 'b' WHERE id = 1"), key);
  assertEquals(await refused("UPDATE firefly.task SET queue = 'mail' WHERE id = 2"), move);
  assertEquals(await refused("SELECT firefly.reschedule(2, queue => 'mail')"), move);
  assertEquals(await refused("SELECT firefly.reschedule(2, priority => 3)"), undefined);
  assertEquals(await refused("UPDATE firefly.task SET queue = 'mail' WHERE id = 3"), undefined);
  assertEquals(
    await refused("SELECT firefly.reschedule(2)"),
    "Cannot reschedule task 2 as not_before, queue or priority must be given | undefined",
  );
});
