import { assertEquals, assertRejects } from "@std/assert";
import { task, type TaskState } from "../../mod.ts";
import { noTasks } from "../../src/store/record_counts.ts";
import { claim, startConsumer } from "../support/claiming.ts";
import type { TestDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";

/** Inserts a task in every state; returns the id of each. */
async function insertStates(db: TestDatabase): Promise<Record<TaskState, number>> {
  const consumerId = await startConsumer(db);
  await db.sql`INSERT INTO firefly.task (func_name) VALUES ('test.task')`;
  await claim(db, { consumerId, queues: ["default"], limit: 1 });
  const ids = { running: 1 } as Record<TaskState, number>;
  const insert = async (state: TaskState, columns: object) => {
    const [row] = await db.sql`INSERT INTO firefly.task ${db.sql({ func_name: "test.task", ...columns })} RETURNING id`;
    ids[state] = Number(row!.id);
  };
  const later = new Date(Date.now() + 3_600_000);
  await insert("ready", {});
  await insert("delayed", { not_before: later });
  await insert("retrying", { not_before: later, started: new Date(), retry_attempts: 1 });
  await insert("limited", { concurrency_key: "k" });
  await insert("unknown", {});
  await insert("unplaced", {});
  await insert("completed", { status: "completed", completed: new Date() });
  await insert("failed", { status: "failed", failed: new Date() });
  await insert("cancelled", { status: "cancelled", cancelled: new Date() });
  await db.sql`DELETE FROM firefly.ready WHERE id IN (${ids.unknown}, ${ids.unplaced})`;
  await db.sql`
    INSERT INTO firefly.waiting (id, claim_seq, not_before, priority, queue, func_name, reason)
    SELECT id, claim_seq, not_before, priority, queue, func_name, 'unknown' FROM firefly.task WHERE id = ${ids.unknown}
  `;
  return ids;
}

Deno.test("tasks tell every state apart: in records, lists, counts, groups and views", async () => {
  await using test = await testInstance();
  const { db, ff: { tasks } } = test;
  const ids = await insertStates(db);
  const states = Object.keys(ids) as TaskState[];

  for (const state of states) {
    assertEquals((await tasks.get(ids[state])).state, state);
    assertEquals((await tasks.list({ status: state })).items.map(({ id }) => id), [ids[state]], state);
    assertEquals((await tasks.list({ status: [state], queue: "other" })).items, [], state);
    assertEquals(await tasks.count({ status: state }), 1);
  }
  const created = states.filter((state) => !["running", "completed", "failed", "cancelled"].includes(state));
  const counts = { ...Object.fromEntries(states.map((state) => [state, 1])), created: created.length };
  assertEquals(await tasks.counts(), { default: { ...noTasks(), ...counts } });
  assertEquals((await test.ff.queues())[0]!.counts, { ...noTasks(), ...counts });
  assertEquals(await tasks.count({ status: "created" }), created.length);
  assertEquals((await tasks.groups("state")).map(({ key }) => key).sort(), states.toSorted());
  for (const view of ["task_record", "task_json", "task_overview"]) {
    const rows = await db.sql`SELECT state FROM ${db.sql(`firefly.${view}`)}`;
    assertEquals(rows.map(({ state }) => state).sort(), states.toSorted());
  }
});

Deno.test("a delayed task is ready, or limited, as soon as its time has come", async () => {
  await using test = await testInstance();
  const { sql } = test.db;
  await sql`
    INSERT INTO firefly.task (func_name, not_before, concurrency_key)
    VALUES ('a', now() + interval '1h', NULL), ('b', now() + interval '1h', 'k')
  `;
  await sql`UPDATE firefly.waiting SET not_before = now() - interval '1s'`;
  const states = async () => (await test.ff.tasks.list()).items.map(({ state }) => state);

  assertEquals(await states(), ["limited", "ready"]);
  assertEquals((await test.ff.tasks.list({ status: "delayed" })).items.length, 0);
  assertEquals((await test.ff.tasks.list({ status: "ready" })).items.map(({ id }) => id), [1]);
  const { created, delayed, limited, ready } = (await test.ff.tasks.counts()).default!;
  assertEquals([created, delayed, limited, ready], [2, 0, 1, 1]);
});

Deno.test("schedule() returns the state of a new task", async () => {
  await using test = await testInstance();
  const plain = task(taskName(), () => {});
  const limited = task({ name: taskName(), concurrency: { limit: 1 } }, () => {});

  const states = await test.ff.run(async () => [
    (await plain.schedule()).state,
    (await plain.with({ delay: "1h" }).schedule()).state,
    (await limited.schedule()).state,
    (await limited.with({ delay: "1h" }).schedule()).state,
  ]);

  assertEquals(states, ["ready", "delayed", "limited", "delayed"]);
});

Deno.test("tasks.list() and cancel() go through more tasks of a state than are looked up at once", async () => {
  await using test = await testInstance();
  const { db, ff: { tasks } } = test;
  await db.sql`
    INSERT INTO firefly.task (func_name, queue, not_before)
    SELECT 'test.task', (ARRAY['a', 'b'])[i % 2 + 1], now() + interval '1h' FROM generate_series(1, 12100) AS i
  `;

  const page = await tasks.list({ status: "delayed", queue: "a" }, { limit: 3 });
  let count = 0;
  for await (const _ of await tasks.list({ status: "delayed", queue: "b" }, { limit: 1000 })) count++;

  assertEquals([page.items.map(({ id }) => id), count], [[12100, 12098, 12096], 6050]);
  assertEquals(await tasks.cancel({ status: "delayed", queue: "a" }), 6050);
  assertEquals(await tasks.count({ status: "delayed" }), 6050);
});

Deno.test("tasks.list() and count() select by the end and by the text of the last error", async () => {
  await using test = await testInstance();
  const { db, ff: { tasks } } = test;
  const insert = (status: string, minutes: number, messages: string[]) =>
    db.sql`
      INSERT INTO firefly.task (func_name, status, failed, completed, errors)
      SELECT 'test.task', ${status}, CASE ${status} WHEN 'failed' THEN at END, CASE ${status} WHEN 'completed' THEN at END,
        ${db.sql.json(messages.map((message, i) => ({ name: "TypeError", message, at: new Date(), attempt: i + 1 })))}
      FROM (SELECT now() - make_interval(mins => ${minutes}) AS at) AS ended
    `;
  await insert("failed", 5, ["first", "100% BAD_luck"]);
  await insert("failed", 60, ["bad"]);
  await insert("completed", 5, ["bad"]);
  await insert("created", 0, ["bad again"]);
  const found = async (filter: Parameters<typeof tasks.list>[0]) =>
    (await tasks.list(filter)).items.map(({ id }) => id).toReversed();
  const tenMinutesAgo = new Date(Date.now() - 600_000);

  assertEquals(await found({ finishedAfter: tenMinutesAgo }), [1, 3]);
  assertEquals(await found({ finishedAfter: tenMinutesAgo, status: "failed" }), [1]);
  assertEquals(await found({ finishedBefore: tenMinutesAgo }), [2]);
  assertEquals(await found({ error: "bad" }), [1, 2, 4]);
  assertEquals(await found({ error: "% bad_" }), [1]);
  assertEquals(await found({ error: "typeerror: bad" }), [2, 4]);
  assertEquals(await found({ error: "first" }), []);
  assertEquals(await tasks.count({ error: "bad", status: "failed" }), 2);
  assertEquals(
    (await tasks.groups("error", { status: ["failed", "completed"] })).map((
      { key, count, latest },
    ) => [key, count, latest]),
    [[null, 1, 3], ["TypeError: bad", 1, 2], ["TypeError: 100% BAD_luck", 1, 1]],
  );
  await assertRejects(() => tasks.groups("errors" as never), RangeError, 'current value is "errors"');
});

Deno.test("tasks.list() looks for arguments in parts, and goes over gaps between ids", async () => {
  await using test = await testInstance();
  const { db, ff: { tasks } } = test;
  const insert = (id: number, params: number[]) =>
    db.sql`
      INSERT INTO firefly.task (id, func_name, params) OVERRIDING SYSTEM VALUE
      VALUES (${id}, 'a', firefly.encode(${db.sql.json(params)}))
    `;
  for (const [id, params] of [[1, [7]], [2, [8]], [100_002, [7]], [2_000_000_000_000, [7]]] as const) {
    await insert(id, [...params]);
  }

  const ids: number[] = [];
  for await (const { id } of await tasks.list({ params: [7] }, { limit: 1 })) ids.push(id);

  assertEquals(ids, [2_000_000_000_000, 100_002, 1]);
  assertEquals((await tasks.list({ params: [7] }, { limit: 2 })).items.map(({ id }) => id), ids.slice(0, 2));
  assertEquals((await tasks.list({ params: [9] })).items, []);
});
