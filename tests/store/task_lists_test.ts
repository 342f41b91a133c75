import { assertEquals } from "@std/assert";
import { summarize, summarizePlaced } from "../../src/store/task_lists_counts.ts";
import { nextDue, nextTimed, nextWaiting } from "../../src/store/task_lists_places.ts";
import { findIdAt, findIdBehind } from "../../src/store/task_lists_walk.ts";
import { readListed } from "../../src/store/task_lists.ts";
import { nextFailed } from "../../src/store/task_lists_failed.ts";
import { testDatabase } from "../support/database.ts";
import { withoutTriggers } from "../support/records.ts";

Deno.test("findIdAt() finds the id at which the tasks of a time begin, whatever gaps the ids have", async () => {
  await using db = await testDatabase();
  const ids = [3, 4, 5, 100, 101, 5_000, 1_000_000, 1_000_001, 9_000_000];
  const start = Date.UTC(2026, 0, 1);
  const timeOf = (index: number) => new Date(start + index * 60_000);
  await withoutTriggers(db, async (sql) => {
    for (const [index, id] of ids.entries()) {
      await sql`
        INSERT INTO firefly.task (id, created, func_name) OVERRIDING SYSTEM VALUE
        VALUES (${id}, ${timeOf(index)}, 'test.task')
      `;
    }
  });
  // Every task with an id from there on was scheduled at the time or later, and none before it was.
  for (let index = -0.5; index <= ids.length; index += 0.5) {
    const found = await findIdAt(db.records, timeOf(index));
    const later = ids.filter((_, at) => at >= index);
    assertEquals(ids.filter((id) => id >= found), later, `at ${index}: ${found}`);
  }
});

Deno.test("findIdAt() finds an id in an empty table", async () => {
  await using db = await testDatabase();
  assertEquals(typeof await findIdAt(db.records, new Date()), "number");
});

Deno.test("findIdBehind() reaches down as many records as are asked for, across gaps", async () => {
  await using db = await testDatabase();
  await withoutTriggers(db, (sql) =>
    sql`
      INSERT INTO firefly.task (id, func_name) OVERRIDING SYSTEM VALUE
      SELECT id * 1000, 'test.task' FROM generate_series(1, 50) AS id
    `);
  const behind = (below: number, records: number) => findIdBehind(db.records, { below, records });
  assertEquals(await behind(50_001, 10), 41_000);
  assertEquals(await behind(50_000, 10), 40_000);
  assertEquals(await behind(5_500, 5), 1_000);
  assertEquals(await behind(5_500, 6), null);
});

Deno.test("nextFailed() merges the tasks of several names and kinds of errors, newest first", async () => {
  await using db = await testDatabase();
  await db.sql`
    INSERT INTO firefly.failed_task (task_id, failed, queue, func_name, fingerprint)
    SELECT id, now(), 'default', 'test.' || id % 3, id % 4 FROM generate_series(1, 60) AS id
  `;
  const all = Array.from({ length: 60 }, (_, i) => 60 - i);
  const next = (options: object, before: number | null = null) =>
    nextFailed(db.records, { before, limit: 10, ...options });
  assertEquals(await next({}), all.slice(0, 10));
  assertEquals(await next({}, 51), all.slice(10, 20));
  assertEquals(await next({ names: ["test.1", "test.2"] }), all.filter((id) => id % 3 > 0).slice(0, 10));
  assertEquals(await next({ names: ["test.1"] }, 30), all.filter((id) => id < 30 && id % 3 === 1).slice(0, 10));
  assertEquals(await next({ fingerprints: ["0", "3"] }), all.filter((id) => id % 4 === 0 || id % 4 === 3).slice(0, 10));
  assertEquals(await next({ names: [] }), []);
});

Deno.test("readListed() leaves out long arguments and results, and keeps the order of the ids", async () => {
  await using db = await testDatabase();
  const rows = await db.sql`
    INSERT INTO firefly.task (func_name, params)
    VALUES ('test.short', 'WyJhIl0='), ('test.long', repeat('x', 100000)), ('test.short', 'W10=')
    RETURNING id
  `;
  const ids = rows.map(({ id }) => Number(id));
  const listed = await readListed(db.records, [ids[2]!, ids[0]!, ids[1]!, 999]);
  assertEquals(listed.map(({ id }) => Number(id)), [ids[2], ids[0], ids[1]]);
  assertEquals(listed.map(({ params, params_bytes }) => [params, params_bytes]), [
    ["W10=", 4],
    ["WyJhIl0=", 8],
    [null, 100_000],
  ]);
});

Deno.test("summarizePlaced() counts what the lists of the small tables have, by name", async () => {
  await using db = await testDatabase();
  await db.sql`
    INSERT INTO firefly.task (func_name, queue, not_before)
    SELECT 'a.' || i % 3, CASE WHEN i % 2 = 0 THEN 'mail' ELSE 'default' END,
      now() + CASE WHEN i % 5 = 0 THEN interval '1 hour' ELSE interval '0' END
    FROM generate_series(1, 120) AS i
  `;
  await db.sql`UPDATE firefly.waiting SET not_before = now() - interval '1 second' WHERE id IN (5, 10, 15)`; // due by now
  await db.sql`UPDATE firefly.waiting SET reason = 'unknown' WHERE id IN (20, 30)`;
  const [after, limit] = [null, 1000];
  const lists = {
    ready: (await nextDue(db.records, { after, limit })).map(({ id }) => id),
    timed: (await nextTimed(db.records, { after, limit })).map(({ id }) => id),
    unknown: (await nextWaiting(db.records, { reasons: ["unknown"], before: null, limit }))
      .flatMap(({ id, isWanted }) => isWanted ? [id] : []),
  };
  const none = { ready: false, timed: false, reasons: [] as string[], conditions: {} };
  const byName = <T extends { name: string }>(rows: T[]) => rows.toSorted((a, b) => a.name < b.name ? -1 : 1);
  const alike = { ready: { ready: true }, timed: { timed: true }, unknown: { reasons: ["unknown"] } };

  for (const [kind, chosen] of Object.entries(alike)) {
    const found = await summarizePlaced(db.records, { ...none, ...chosen });
    assertEquals(byName(found), byName(await summarize(db.records, lists[kind as keyof typeof lists])), kind);
  }
  const some = { ...none, ready: true, conditions: { queues: ["mail"], notNames: ["a.1"] } };
  const counts = (await summarizePlaced(db.records, some)).map(({ name, count }) => [name, count]);
  const [row] = await db.sql`
    SELECT json_agg(json_build_array(func_name, count) ORDER BY func_name) AS counts
    FROM (
      SELECT func_name, count(*) FROM firefly.task
      WHERE queue = 'mail' AND func_name <> 'a.1' AND id = ANY (${lists.ready}::bigint[])
      GROUP BY func_name
    ) AS named
  `;
  assertEquals(counts.sort(), row!.counts);
});
