import { assert, assertEquals } from "@std/assert";
import { Matching } from "../../src/records/matching.ts";
import { listRecords } from "../../src/store/records.ts";
import { countRecords, countStates, groupRecords } from "../../src/store/record_counts.ts";
import type { TaskFilter } from "../../src/task/record.ts";
import { claim, startConsumer } from "../support/claiming.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { insertTask, withoutTriggers } from "../support/records.ts";
import { settle } from "../support/settling.ts";

/** As though there were many records. */
const MANY = { large: 0 };
const LATER = new Date(Date.now() + 3_600_000);

/** Tasks in every state but unplaced, in two queues. */
async function fill(db: TestDatabase): Promise<void> {
  const consumerId = await startConsumer(db, { queues: ["default", "mail"] });
  const end = async (outcome: Parameters<typeof settle>[2]) => {
    const { tasks: [task] } = await claim(db, { consumerId, queues: ["default", "mail"], limit: 1 });
    assert(await settle(db, task!, outcome));
  };
  const failed = { status: "failed", returned: null, error: '{"name":"TypeError","message":"bad"}' } as const;
  for (const queue of ["default", "mail", "mail"]) {
    await insertTask(db, { queue });
    await end(failed);
    await insertTask(db, { queue, tags: ["x"] });
    await end({});
    await insertTask(db, { queue });
    await end({ ...failed, status: "created", delay: 3600, counts: "retry" });
    await insertTask(db, { queue });
    await db.sql`SELECT firefly.cancel(max(id)) FROM firefly.task`;
  }
  for (const queue of ["default", "mail"]) {
    await db.sql`INSERT INTO firefly.task (func_name, queue) SELECT 'test.task', ${queue} FROM generate_series(1, 7)`;
  }
  await claim(db, { consumerId, queues: ["default", "mail"], limit: 5 });
  await insertTask(db, { not_before: LATER, tags: ["x"] });
  await insertTask(db, { concurrency_key: "k" });
  await insertTask(db, { func_name: "other" });
  await db.sql`
    WITH gone AS (DELETE FROM firefly.ready WHERE func_name = 'other' RETURNING id, claim_seq, not_before, priority, queue)
    INSERT INTO firefly.waiting (id, claim_seq, not_before, priority, queue, func_name, reason)
    SELECT id, claim_seq, not_before, priority, queue, 'other', 'unknown' FROM gone
  `;
}

const FILTERS: TaskFilter[] = [
  ...(["ready", "delayed", "retrying", "limited", "unknown", "unplaced", "created", "running", "failed"] as const)
    .map((status): TaskFilter => ({ status })),
  { status: ["failed", "running"] },
  { status: ["created", "failed"], queue: "mail" },
  { status: ["delayed", "failed"], tags: ["x"] },
  { status: ["failed", "cancelled"] },
  { status: "failed", funcName: ["test.task", "other"], error: "typeerror" },
  { status: "failed", queue: "none" },
  { status: "created", funcName: "other" },
  { status: "failed", ids: [1, 2, 3, 4, 5] },
  { status: "failed", finishedAfter: new Date(0) },
  { status: "failed", finishedBefore: new Date(0) },
];

Deno.test("tasks found by their places are those that a walk over all records finds", async () => {
  await using db = await testDatabase();
  await fill(db);
  for (const filter of FILTERS) {
    const list = async (options = {}) => {
      const [matching, ids] = [new Matching(db.records, filter, { read: listRecords, ...options }), [] as string[]];
      for (let before: number | null = null;;) {
        const rows: { id: string }[] = await matching.list({ limit: 2, before });
        ids.push(...rows.map(({ id }) => id));
        if (rows.length < 2) return ids;
        before = Number(rows.at(-1)!.id);
      }
    };
    const ids = await list();
    assertEquals(await list(MANY), ids, JSON.stringify(filter));
    assertEquals(await countRecords(db.records, filter, MANY), ids.length, JSON.stringify(filter));
    assertEquals(
      await groupRecords(db.records, filter, { by: "error", limit: 9, ...MANY }),
      await groupRecords(db.records, filter, { by: "error", limit: 9 }),
    );
  }
});

Deno.test("countStates() counts the same by places, and marks what it estimates", async () => {
  await using db = await testDatabase();
  await fill(db);
  const exact = await countStates(db.records);
  const counted = await countStates(db.records, { ...MANY, sample: Infinity });

  assertEquals([...counted.keys()].sort(), ["default", "mail"]);
  for (const [queue, counts] of counted) {
    const { estimated, ...numbers } = counts;
    assertEquals(estimated, ["unplaced", "completed", "cancelled"]);
    assertEquals(numbers, exact.get(queue));
    assertEquals("estimated" in exact.get(queue)!, false);
  }
});

Deno.test("countStates() estimates how many tasks have completed from a part of the pages", async () => {
  await using db = await testDatabase();
  await withoutTriggers(db, (sql) =>
    sql`
      INSERT INTO firefly.task (func_name, status, completed)
      SELECT 'test.task', 'completed', now() FROM generate_series(1, 20000)
    `);
  const [size] = await db.sql`SELECT pg_relation_size('firefly.task')::int AS bytes`;

  const counts = await countStates(db.records, { ...MANY, sample: size!.bytes / 5 });

  const { completed } = counts.get("default")!;
  assert(completed > 14_000 && completed < 26_000, `${completed} of 20,000`);
});

Deno.test("lists and counts of a filter pass over rows of failed_task whose task is in another state", async () => {
  await using db = await testDatabase();
  await fill(db);
  await db.sql`DELETE FROM firefly.task WHERE status = 'failed' AND queue = 'default'`;
  await withoutTriggers(db, (sql) =>
    sql`UPDATE firefly.task SET status = 'completed' WHERE status = 'failed'
      AND id = (SELECT max(id) FROM firefly.task WHERE status = 'failed')`);
  const [failed] = await new Matching(db.records, { status: "failed" }, { read: listRecords, ...MANY }).list({
    limit: 9,
    before: null,
  });
  assertEquals([failed!.queue, await countRecords(db.records, { status: "failed" }, MANY)], ["mail", 1]);
});
