import { assertEquals } from "@std/assert";
import { registerDefinitions } from "../../src/store/definitions.ts";
import { parkUnknownTasks, promoteDueTasks, unparkKnownTasks } from "../../src/store/waiting.ts";
import { removeExpiredConsumers, rescueTasks } from "../../src/store/consumers.ts";
import {
  admitTasks,
  deleteEndedSlots,
  requeueForLimits,
  returnIdleSlots,
  startRates,
  waitingKeys,
} from "../../src/store/limits.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { claim, claimOne, expireConsumer, startConsumer } from "../support/claiming.ts";
import { notificationsOf } from "../support/notifications.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { settle } from "../support/settling.ts";

/** Stores the limits of `test.task`. */
async function limit(
  db: TestDatabase,
  { concurrency = null, rate = null, per = 60, name = "test.task" }: {
    concurrency?: number | null;
    rate?: number | null;
    per?: number;
    name?: string;
  },
): Promise<void> {
  const none = { retain_completed: null, retain_failed: null };
  const limits = { concurrency_limit: concurrency, rate_limit: rate, rate_per: rate && per };
  await registerDefinitions(db.store, [{ func_name: name, ...limits, ...none }]);
}

/** Inserts `count` tasks under limits. */
async function insertMany(db: TestDatabase, count: number, columns: Record<string, unknown>): Promise<number[]> {
  const rows = Array.from({ length: count }, () => ({ func_name: "test.task", ...columns }));
  const inserted = await db.sql`INSERT INTO firefly.task ${db.sql(rows)} RETURNING id`;
  return inserted.map(({ id }) => Number(id));
}

/** Lets tasks in until nothing moves. */
async function admit(db: TestDatabase, concurrencyKeys: string[], rateKeys: string[] = []): Promise<number> {
  let total = 0;
  for (;;) {
    const { admitted, again } = await admitTasks(db.store, { concurrencyKeys, rateKeys });
    total += admitted;
    if (!again || admitted === 0) return total;
  }
}

/** The ids of the tasks in `ready`, in the order of claims. */
async function ready(db: TestDatabase): Promise<number[]> {
  const rows = await db.sql`SELECT id FROM firefly.ready ORDER BY priority DESC, not_before, id`;
  return rows.map(({ id }) => Number(id));
}

/** The waiting tasks, each with its reason. */
async function waiting(db: TestDatabase): Promise<Record<number, string>> {
  const rows = await db.sql`SELECT id, reason FROM firefly.waiting ORDER BY id`;
  return Object.fromEntries(rows.map(({ id, reason }) => [id, reason]));
}

/** How many slots are held, by key. */
async function slots(db: TestDatabase): Promise<Record<string, number>> {
  const rows = await db.sql`SELECT key, count(*)::int AS count FROM firefly.slot GROUP BY key ORDER BY key`;
  return Object.fromEntries(rows.map(({ key, count }) => [key, count]));
}

Deno.test("a limited task waits in its limit queue, and one of those that join it asks consumers to admit", async () => {
  await using db = await testDatabase();
  const [first, second] = await insertMany(db, 2, { concurrency_key: "a" });
  const rated = await insertTask(db, { rate_key: "r" });
  const both = await insertTask(db, { concurrency_key: "a", rate_key: "r" });
  const later = await insertTask(db, { concurrency_key: "a", not_before: new Date(Date.now() + 60_000) });

  assertEquals(await ready(db), []);
  assertEquals(await waiting(db), {
    [first!]: "concurrency",
    [second!]: "concurrency",
    [rated]: "rate",
    [both]: "concurrency",
    [later]: "time",
  });
  const marked = await db.sql`SELECT id FROM firefly.waiting WHERE admit_at <= now() ORDER BY id`;
  assertEquals(marked.map(({ id }) => Number(id)), [first, rated, both]);
  const promotion = await promoteDueTasks(db.store, ["default"]);
  assertEquals({ ...promotion, concurrencyKeys: promotion.concurrencyKeys.toSorted() }, {
    moved: 0,
    concurrencyKeys: ["a"],
    rateKeys: ["r"],
  });
  assertEquals(await promoteDueTasks(db.store, ["default"]), { moved: 0, concurrencyKeys: [], rateKeys: [] });
});

Deno.test("promoteDueTasks() moves limited tasks to their limit queues, and returns the keys", async () => {
  await using db = await testDatabase();
  const id = await insertTask(db, { concurrency_key: "a", not_before: new Date(Date.now() + 60_000) });
  await db.sql`UPDATE firefly.waiting SET not_before = now()`;

  assertEquals(await promoteDueTasks(db.store, ["default"]), { moved: 1, concurrencyKeys: ["a"], rateKeys: [] });

  assertEquals(await waiting(db), { [id]: "concurrency" });
});

Deno.test("admitTasks() admits as many tasks as there are slots, the most urgent first", async () => {
  await using db = await testDatabase();
  await startConsumer(db);
  await limit(db, { concurrency: 3 });
  const low = await insertMany(db, 3, { concurrency_key: "a" });
  const high = await insertMany(db, 2, { concurrency_key: "a", priority: 5 });
  await insertMany(db, 1, { concurrency_key: "b" });

  assertEquals(await admit(db, ["a"]), 3);
  assertEquals(await admit(db, ["a"]), 0);

  assertEquals(await ready(db), [...high, low[0]!]);
  assertEquals(await slots(db), { a: 3 });
});

Deno.test("admitTasks() from many sides at once never gives more slots than there are", async () => {
  await using db = await testDatabase();
  await startConsumer(db);
  await limit(db, { concurrency: 3, rate: 4 });
  await insertMany(db, 50, { concurrency_key: "a" });
  await insertMany(db, 50, { rate_key: "r" });
  await insertMany(db, 50, { concurrency_key: "c", rate_key: "s" });
  const [before] = await db.sql`SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`;

  await Promise.all(Array.from({ length: 24 }, (_, i) =>
    admit(
      db,
      [["a"], ["c", "a"], []][i % 3]!,
      [["r", "s"], [], ["s", "r"]][i % 3]!,
    )));

  assertEquals(await slots(db), { a: 3, c: 3, r: 4, s: 3 });
  assertEquals(
    await db.sql`SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`.then(([row]) => row),
    before,
  );
});

Deno.test("admitTasks() skips tasks of paused queues and tasks that no live consumer would run", async () => {
  await using db = await testDatabase();
  await startConsumer(db, { queues: ["default", "still"] });
  const dead = await startConsumer(db, { queues: ["other"], tasks: ["test.task", "test.stranger"] });
  await limit(db, { concurrency: 1 });
  await db.sql`SELECT firefly.pause('still')`;
  const paused = await insertTask(db, { concurrency_key: "a", queue: "still" });
  const unserved = await insertTask(db, { concurrency_key: "a", queue: "other" });
  const unknown = await insertTask(db, { concurrency_key: "a", func_name: "test.stranger" });
  const good = await insertTask(db, { concurrency_key: "a" });
  await expireConsumer(db, dead);

  assertEquals(await admit(db, ["a"]), 1);

  assertEquals(await ready(db), [good]);
  assertEquals(Object.keys(await waiting(db)).map(Number), [paused, unserved, unknown]);
});

Deno.test("admitTasks() keeps the order across queues, whichever consumer calls it", async () => {
  await using db = await testDatabase();
  await startConsumer(db, { queues: ["default"] });
  await startConsumer(db, { queues: ["other"] });
  await limit(db, { concurrency: 1 });
  const older = await insertTask(db, { concurrency_key: "a", queue: "other" });
  await insertTask(db, { concurrency_key: "a" });

  await admit(db, ["a"]);

  assertEquals(await ready(db), [older]);
});

Deno.test("admitTasks() skips tasks that are being cancelled or were deleted", async () => {
  await using db = await testDatabase();
  await startConsumer(db);
  await limit(db, { concurrency: 1 });
  const [gone, leaving, good] = await insertMany(db, 3, { concurrency_key: "a" });
  await db.sql`UPDATE firefly.task SET status = 'failed' WHERE id = ${gone!}`;

  await db.sql.begin(async (tx) => {
    await tx`SELECT firefly.cancel(${leaving!})`;
    assertEquals(await admit(db, ["a"]), 1);
  });

  assertEquals(await ready(db), [good]);
  assertEquals(await slots(db), { a: 1 });
});

Deno.test("admitTasks() admits all tasks whose definition has no limit any more", async () => {
  await using db = await testDatabase();
  await startConsumer(db);
  await limit(db, { concurrency: 1, rate: 1 });
  await insertMany(db, 3, { concurrency_key: "a" });
  await insertMany(db, 3, { rate_key: "r" });
  await insertMany(db, 3, { concurrency_key: "b", rate_key: "s" });
  assertEquals(await admit(db, ["a", "b"], ["r", "s"]), 3);
  await limit(db, {});

  assertEquals(await admit(db, ["a", "b"], ["r", "s"]), 6);
});

Deno.test("a rate slot counts from the start of its attempt, and sets when to admit again", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await limit(db, { rate: 1, per: 60 });
  const [first, second] = await insertMany(db, 2, { rate_key: "r" });
  await admit(db, [], ["r"]);
  await promoteDueTasks(db.store, ["default"]);

  const task = await claimOne(db, consumerId);
  assertEquals([task.id, task.hasSlots], [first, true]);
  assertEquals((await db.sql`SELECT until = 'infinity' AS claimed FROM firefly.slot`)[0]!.claimed, true);
  await startRates(db.store, [task.id]);
  // It notifications, since the consumer that began the task may be too busy to look when it is time.
  assertEquals(await notificationsOf(db, ["firefly_default"], () => admit(db, [], ["r"])), ["firefly_default"]);
  assertEquals(await notificationsOf(db, ["firefly_default"], () => admit(db, [], ["r"])), []);

  const [row] = await db.sql`
    SELECT admit_at = slot.until AS same, extract(epoch FROM until - now())::float AS seconds
    FROM firefly.waiting, firefly.slot WHERE waiting.id = ${second!}
  `;
  assertEquals([row!.same, Math.round(row!.seconds)], [true, 60]);
  const { nextDue } = await claim(db, { consumerId });
  assertEquals(Math.round(nextDue!), 60);

  await settle(db, task);
  assertEquals(await admit(db, [], ["r"]), 0);
  await db.sql`UPDATE firefly.slot SET until = now()`;
  assertEquals(await admit(db, [], ["r"]), 1);
});

Deno.test("an attempt that started counts for its rate however it ended; one that did not returns its slot", async () => {
  const ends: [string, (db: TestDatabase, consumerId: string) => Promise<unknown>, number][] = [
    ["completed", async (db, consumerId) => settle(db, await claimOne(db, consumerId)), 1],
    [
      "retried",
      async (db, consumerId) =>
        settle(db, await claimOne(db, consumerId), { status: "created", counts: "retry", delay: 60 }),
      1,
    ],
    [
      "handed back",
      async (db, consumerId) =>
        settle(db, await claimOne(db, consumerId), { status: "created", counts: "snooze", began: null }),
      0,
    ],
    ["rescued", async (db, consumerId) => {
      await claimOne(db, consumerId);
      await expireConsumer(db, consumerId);
      await removeExpiredConsumers(db.store);
      await rescueTasks(db.store);
    }, 1],
    ["cancelled while it ran", async (db, consumerId) => {
      const { id } = await claimOne(db, consumerId);
      await db.sql`SELECT firefly.cancel(${id})`;
    }, 1],
    ["deleted while it ran", async (db, consumerId) => {
      const { id } = await claimOne(db, consumerId);
      await db.sql`DELETE FROM firefly.task WHERE id = ${id}`;
    }, 1],
    ["cancelled in ready", (db) => db.sql`SELECT firefly.cancel(id) FROM firefly.task`, 0],
    ["deleted in ready", (db) => db.sql`DELETE FROM firefly.task`, 0],
    ["truncated", (db) => db.sql`TRUNCATE firefly.task`, 0],
  ];
  await using db = await testDatabase();
  await limit(db, { concurrency: 1, rate: 1 });
  for (const [end, act, left] of ends) {
    await db.sql`TRUNCATE firefly.task`;
    await db.sql`TRUNCATE firefly.ready, firefly.waiting, firefly.claim_batch, firefly.consumer`;
    const consumerId = await startConsumer(db);
    await insertTask(db, { concurrency_key: "a", rate_key: "r" });
    assertEquals(await admit(db, ["a"]), 1);

    await act(db, consumerId);

    const rows = await db.sql`SELECT kind, until > now() AND until < 'infinity' AS runs_out FROM firefly.slot`;
    assertEquals([...rows], left ? [{ kind: "rate", runs_out: true }] : [], end);
  }
});

Deno.test("claimTasks() reports which limited tasks have their slots", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await limit(db, { concurrency: 1 });
  const plain = await insertTask(db);
  const hasSlots = await insertTask(db, { concurrency_key: "a" });
  const smuggled = await insertTask(db, { concurrency_key: "a" });
  await admit(db, ["a"]);
  await db.sql`
    WITH moved AS (DELETE FROM firefly.waiting WHERE id = ${smuggled} RETURNING *)
    INSERT INTO firefly.ready (id, claim_seq, not_before, priority, queue, func_name)
    SELECT id, claim_seq, not_before, priority, queue, func_name FROM moved
  `;

  const { tasks } = await claim(db, { consumerId });

  assertEquals(Object.fromEntries(tasks.map((task) => [task.id, [task.concurrencyKey, task.hasSlots]])), {
    [plain]: [null, true],
    [hasSlots]: ["a", true],
    [smuggled]: ["a", false],
  });
});

Deno.test("requeueForLimits() stores the keys, fences the claim and keeps a task quarantined", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const first = await insertTask(db);
  await db.sql`UPDATE firefly.ready SET quarantined = true`;
  const second = await insertTask(db);
  const { tasks } = await claim(db, { consumerId });
  const stale = { ...tasks.find(({ id }) => id === second)!, claimSeq: 7 };
  const task = tasks.find(({ id }) => id === first)!;

  const sent = await requeueForLimits(db.store, [{ ...task, concurrencyKey: "a", rateKey: "r" }, stale]);

  assertEquals([...sent], [first]);
  const { claim_seq, concurrency_key, rate_key, snoozes, retry_attempts } = await recordOf(db, first);
  assertEquals([claim_seq, concurrency_key, rate_key, snoozes, retry_attempts], ["1", "a", "r", 0, 0]);
  const [row] = await db
    .sql`SELECT id, claim_seq, quarantined, reason, admit_at <= now() AS marked FROM firefly.waiting`;
  assertEquals(row, { id: `${first}`, claim_seq: "1", quarantined: true, reason: "concurrency", marked: true });
  assertEquals(await settle(db, task), false);
  await admit(db, ["a"]);
  assertEquals(
    (await claim(db, { consumerId })).tasks.map(({ id, quarantined, hasSlots }) => [id, quarantined, hasSlots]),
    [
      [first, true, true],
    ],
  );
});

Deno.test("a limited task that is given back, retried at once or rescued waits in its limit queue again, without slots", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await limit(db, { concurrency: 1 });
  const id = await insertTask(db, { concurrency_key: "a" });
  await admit(db, ["a"]);

  await settle(db, await claimOne(db, consumerId), { status: "created", counts: "snooze", began: null });
  assertEquals([await waiting(db), await slots(db)], [{ [id]: "concurrency" }, {}]);

  await admit(db, ["a"]);
  await settle(db, await claimOne(db, consumerId), { status: "created", counts: "retry", delay: 0 });
  assertEquals([await waiting(db), await slots(db)], [{ [id]: "concurrency" }, {}]);

  await admit(db, ["a"]);
  await settle(db, await claimOne(db, consumerId), { status: "created", counts: "retry", delay: 60 });
  assertEquals([await waiting(db), await slots(db)], [{ [id]: "time" }, {}]);

  await db.sql`UPDATE firefly.waiting SET not_before = now()`;
  await promoteDueTasks(db.store, ["default"]);
  await admit(db, ["a"]);
  await claimOne(db, consumerId);
  await db.sql`UPDATE firefly.task SET crash_count = 1`;
  await expireConsumer(db, consumerId);
  await removeExpiredConsumers(db.store);
  const rescued = await rescueTasks(db.store);
  assertEquals(rescued.map((task) => [task.id, task.concurrencyKey]), [[id, "a"]]);
  assertEquals([await waiting(db), await slots(db)], [{ [id]: "concurrency" }, {}]);
  await startConsumer(db);
  await admit(db, ["a"]);
  assertEquals((await db.sql`SELECT quarantined FROM firefly.ready`)[0], { quarantined: true });
});

Deno.test("parkUnknownTasks() frees slots, and unparkKnownTasks() returns limited tasks to their limit queues", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await limit(db, { concurrency: 1 });
  const id = await insertTask(db, { concurrency_key: "a" });
  await admit(db, ["a"]);
  await expireConsumer(db, consumerId);

  assertEquals(await parkUnknownTasks(db.store, ["default"]), 1);
  assertEquals([await waiting(db), await slots(db)], [{ [id]: "unknown" }, {}]);

  assertEquals(await unparkKnownTasks(db.store, { queues: ["default"], names: ["test.task"] }), 1);
  assertEquals([await waiting(db), await ready(db)], [{ [id]: "concurrency" }, []]);
  assertEquals((await promoteDueTasks(db.store, ["default"])).concurrencyKeys, ["a"]);
});

Deno.test("returnIdleSlots() frees the slots of tasks that no consumer will claim, and slots without a task", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db, { queues: ["default", "still"] });
  await limit(db, { concurrency: 10 });
  const paused = await insertTask(db, { concurrency_key: "a", queue: "still" });
  const fine = await insertTask(db, { concurrency_key: "a" });
  await admit(db, ["a"]);
  await db.sql`SELECT firefly.pause('still')`;
  await db.sql`INSERT INTO firefly.slot (kind, key, task_id) VALUES ('concurrency', 'a', 4711)`;

  assertEquals(await returnIdleSlots(db.store), 0, "too early");
  await db.sql`UPDATE firefly.slot SET taken = now() - interval '1 minute'`;
  assertEquals(await returnIdleSlots(db.store), 2);

  assertEquals([await waiting(db), await ready(db), await slots(db)], [{ [paused]: "concurrency" }, [fine], { a: 1 }]);
  await expireConsumer(db, consumerId);
  assertEquals(await returnIdleSlots(db.store), 1);
  assertEquals(await slots(db), {});
});

Deno.test("returnIdleSlots() skips locked slots, and finds their tasks in the limit queue later", async () => {
  await using db = await testDatabase();
  await startConsumer(db, { queues: ["still"] });
  await limit(db, { concurrency: 10 });
  await insertTask(db, { concurrency_key: "a", queue: "still" });
  await admit(db, ["a"]);
  await db.sql`SELECT firefly.pause('still')`;
  await db.sql`UPDATE firefly.slot SET taken = now() - interval '1 minute'`;
  const other = await db.sql.reserve();
  await other`BEGIN`;
  await other`SELECT FROM firefly.slot FOR UPDATE`;

  assertEquals(await returnIdleSlots(db.store), 0);
  await other`ROLLBACK`;
  other.release();

  assertEquals(await returnIdleSlots(db.store), 1);
  assertEquals(await slots(db), {});
});

Deno.test("returnIdleSlots() leaves claimed tasks", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await limit(db, { concurrency: 1, rate: 1 });
  await insertTask(db, { concurrency_key: "a", rate_key: "r" });
  await admit(db, ["a"]);
  await claimOne(db, consumerId);
  await db.sql`UPDATE firefly.slot SET taken = now() - interval '1 minute'`;
  await db.sql`SELECT firefly.pause('default')`;

  assertEquals(await returnIdleSlots(db.store), 0);
  assertEquals(await slots(db), { a: 1, r: 1 });
});

Deno.test("deleteEndedSlots() deletes expired slots, and no others", async () => {
  await using db = await testDatabase();
  await db.sql`
    INSERT INTO firefly.slot (kind, key, task_id, per, until)
    VALUES ('rate', 'over', 1, 1, now() - interval '1s'), ('rate', 'runs', 2, 1, now() + interval '1h'),
      ('rate', 'claimed', 3, 1, 'infinity'), ('concurrency', 'held', 4, NULL, NULL)
  `;

  await deleteEndedSlots(db.store);

  assertEquals(await slots(db), { claimed: 1, held: 1, runs: 1 });
});

Deno.test("waitingKeys() walks over all keys, again and again", async () => {
  await using db = await testDatabase();
  for (const key of ["a", "b", "c", "a", "é", "Z"]) await insertTask(db, { concurrency_key: key });
  for (const key of ["x", "y", "x"]) await insertTask(db, { rate_key: key });
  const seen: string[] = [];
  let next = { concurrency: "", rate: "" };
  for (let i = 0; i < 3; i++) {
    const keys = await waitingKeys(db.store, next, 2);
    seen.push(...keys.concurrencyKeys);
    assertEquals(keys.rateKeys, i % 2 === 0 ? ["x", "y"] : []);
    next = keys.next;
  }

  assertEquals(seen.toSorted(), ["Z", "a", "b", "c", "é"].toSorted());
});

Deno.test("registerDefinitions() stores limits and retention; a later consumer's win, and none is empty", async () => {
  await using db = await testDatabase();
  const none = {
    concurrency_limit: null,
    rate_limit: null,
    rate_per: null,
    retain_completed: null,
    retain_failed: null,
  };
  await registerDefinitions(db.store, [
    { ...none, func_name: "plain" },
    { ...none, func_name: "a", concurrency_limit: 3 },
    { ...none, func_name: "b", rate_limit: 5, rate_per: 0.5, retain_completed: 60, retain_failed: "Infinity" },
  ]);
  const columns = db
    .sql`SELECT func_name, concurrency_limit, rate_limit, rate_per, retain_completed, retain_failed FROM firefly.definition ORDER BY func_name`;
  const b = { ...none, func_name: "b", rate_limit: 5, rate_per: 0.5, retain_completed: 60, retain_failed: Infinity };
  assertEquals([...await columns], [{ ...none, func_name: "a", concurrency_limit: 3 }, b]);

  await registerDefinitions(db.store, [{ ...none, func_name: "a" }]);

  const [row] = await db.sql`SELECT concurrency_limit FROM firefly.definition WHERE func_name = 'a'`;
  assertEquals(row, { concurrency_limit: null });
});
