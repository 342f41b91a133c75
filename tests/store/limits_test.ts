import { assertEquals } from "@std/assert";
import { registerDefinitions } from "../../src/store/definitions.ts";
import { promoteDueTasks } from "../../src/store/waiting.ts";
import { waitingKeys } from "../../src/store/limits.ts";
import { testDatabase } from "../support/database.ts";
import { expireConsumer, startConsumer } from "../support/claiming.ts";
import { insertTask } from "../support/records.ts";
import { admit, insertMany, limit, ready, slots, waiting } from "../support/limit_store.ts";

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

Deno.test("registerDefinitions() stores queue, limits and retention; a later consumer's win, and none is empty", async () => {
  await using db = await testDatabase();
  const none = {
    queue: null,
    concurrency_limit: null,
    rate_limit: null,
    rate_per: null,
    retain_completed: null,
    retain_failed: null,
  };
  await registerDefinitions(db.store, [
    { ...none, func_name: "plain" },
    { ...none, func_name: "a", queue: "mail", concurrency_limit: 3 },
    { ...none, func_name: "b", rate_limit: 5, rate_per: 0.5, retain_completed: 60, retain_failed: "Infinity" },
  ]);
  const columns = db
    .sql`SELECT func_name, queue, concurrency_limit, rate_limit, rate_per, retain_completed, retain_failed FROM firefly.definition ORDER BY func_name`;
  const b = { ...none, func_name: "b", rate_limit: 5, rate_per: 0.5, retain_completed: 60, retain_failed: Infinity };
  assertEquals([...await columns], [{ ...none, func_name: "a", queue: "mail", concurrency_limit: 3 }, b]);

  await registerDefinitions(db.store, [{ ...none, func_name: "a" }]);

  const [row] = await db.sql`SELECT concurrency_limit FROM firefly.definition WHERE func_name = 'a'`;
  assertEquals(row, { concurrency_limit: null });
});
