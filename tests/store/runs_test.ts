import { assert, assertEquals } from "@std/assert";
import { setTimeout as sleep } from "node:timers/promises";
import { task } from "../../mod.ts";
import { makeTag, openClient, type Rows } from "../../src/database/driver.ts";
import { readBatches } from "../../src/store/consumers.ts";
import { claim, startConsumer } from "../support/claiming.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { placesOf, recordOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";

/** Inserts alike tasks by one statement; resolves to their ids. */
async function insertAlike(db: TestDatabase, count: number, name = "test.task"): Promise<number[]> {
  const rows = await db.sql`
    INSERT INTO firefly.task (func_name) SELECT ${name} FROM generate_series(1, ${count}) RETURNING id
  `;
  return rows.map(({ id }) => Number(id));
}

/** The runs of `ready`, as first id and length. */
async function runsOf(db: TestDatabase): Promise<[id: number, length: number][]> {
  const rows = await db.sql`SELECT id::int, length FROM firefly.ready ORDER BY id`;
  return rows.map(({ id, length }) => [id, length]);
}

Deno.test("_runs() cuts ids into runs of at most 1,000, at least sixteen where there are enough", async () => {
  await using db = await testDatabase();
  for (const count of [1, 2, 10, 11, 160, 1_000, 5_000, 40_000]) {
    for (const gap of [0, 7]) {
      // With a gap, as where another INSERT took the numbers between.
      const ids = Array.from({ length: count }, (_, i) => i + 1 + (i >= count / 2 ? gap : 0));
      const runs = await db.sql<{ id: string; length: number }[]>`SELECT * FROM firefly._runs(${ids}::bigint[])`;

      const covered = runs.flatMap(({ id, length }) => Array.from({ length }, (_, i) => Number(id) + i));
      assertEquals(covered.toSorted((a, b) => a - b), ids);
      assert(runs.every(({ length }) => length <= 1_000), "no run is longer than 1,000");
      assert(runs.length >= Math.min(16, count / 10), `${count} ids make ${runs.length} runs`);
    }
  }
});

Deno.test("a claim takes the first tasks of a run, and leaves the rest to the next in their order", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const ids = await insertAlike(db, 10);
  const [urgent] = await db.sql`INSERT INTO firefly.task (func_name, priority) VALUES ('test.task', 1) RETURNING id`;
  const claimed: number[][] = [];
  for (const limit of [4, 1, 100]) {
    const { tasks, taken } = await claim(db, { consumerId, limit });
    assertEquals(taken, tasks.length);
    claimed.push(tasks.map(({ id }) => id));
  }

  assertEquals(claimed, [[Number(urgent!.id), ...ids.slice(0, 3)], ids.slice(3, 4), ids.slice(4)]);
  assertEquals(await runsOf(db), []);
});

Deno.test("a claim gives each task of a run its own arguments, in whatever order the server reads the records", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const ids = await insertAlike(db, 6);
  await db.sql`UPDATE firefly.task SET params = encode(convert_to('[' || id || ']', 'UTF8'), 'base64')`;
  await db.sql`UPDATE firefly.task SET tags = '{}' WHERE id = ${ids[1]!}`; // it stands behind the others now
  await db.sql`UPDATE firefly.task SET tags = NULL WHERE id = ${ids[1]!}`;
  await db.sql`DELETE FROM firefly.task WHERE id = ${ids[3]!}`;
  const client = openClient(db.settings, { connection: { enable_indexscan: "off", enable_bitmapscan: "off" } });
  const sql = makeTag((build) => build(client) as unknown as Promise<Rows<never>>, "firefly");

  const { tasks } = await claim({ ...db, store: sql }, { consumerId });
  await client.end();

  assertEquals(tasks.map(({ id }) => id), ids.filter((id) => id !== ids[3]));
  assertEquals(tasks.map(({ params }) => atob(params!)), tasks.map(({ id }) => `[${id}]`));
});

Deno.test("a claim leaves out tasks of a run whose record is deleted, and its batch holds the others alone", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const ids = await insertAlike(db, 10);
  await db.sql`DELETE FROM firefly.task WHERE id = ANY (${[ids[2]!, ids[3]!, ids[9]!]})`;

  const { tasks, taken } = await claim(db, { consumerId });

  const left = ids.filter((_, i) => ![2, 3, 9].includes(i));
  assertEquals([tasks.map(({ id }) => id), taken], [left, 10]);
  const [batch] = await readBatches(db.store, consumerId);
  assertEquals(batch!.claims.map(({ id }) => id).toSorted(), left.toSorted());
  const held = await db.sql`SELECT id::int FROM firefly._claimed_task ORDER BY id`;
  assertEquals(held.map(({ id }) => id), left);
});

Deno.test("a claim gives each task of a run what only it has: arguments, retries, a timeout", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  await db.sql`
    INSERT INTO firefly.task (func_name, params, max_retries, timeout)
    VALUES ('test.task', 'WzFd', 1, NULL), ('test.task', 'no,base64', 1, NULL), ('test.task', 'WzNd', 2, 30),
      ('test.task', '', 1, NULL), ('test.task', 'WzVd', 1, NULL)
  `;
  assertEquals((await runsOf(db)).length, 1);

  const { tasks } = await claim(db, { consumerId });

  const seen = tasks.toSorted((a, b) => a.id - b.id).map((
    { params, maxRetries, timeout },
  ) => [params, maxRetries, timeout]);
  // What is no Base64 is read when the attempt starts, as long params are.
  assertEquals(seen, [["WzFd", 1, null], [null, 1, null], ["WzNd", 2, 30], [null, 1, null], ["WzVd", 1, null]]);
});

Deno.test("a claim that meets nothing but locked runs says that it is contended; an empty queue is not", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  assertEquals((await claim(db, { consumerId })).contended, false);
  const ids = await insertAlike(db, 5);

  await db.sql.begin(async (sql) => {
    await sql`SELECT FROM firefly.ready FOR UPDATE`;
    const { tasks, taken, contended } = await claim(db, { consumerId, limit: 1 });
    assertEquals([tasks, taken, contended], [[], 0, true]);
  });

  const { tasks, contended } = await claim(db, { consumerId });
  assertEquals([tasks.map(({ id }) => id), contended], [ids, false]);
});

Deno.test("a consumer that finds its run locked does not take that for an empty queue", async () => {
  await using test = await testInstance();
  const ended: number[] = [];
  const work = task(taskName(), (n: number) => void ended.push(n));
  await test.ff.run(() => work.scheduleMany(Array.from({ length: 5 }, (_, n) => [n])));
  const step = Promise.withResolvers<void>();
  const locked = Promise.withResolvers<void>();
  const holder = test.db.sql.begin(async (sql) => {
    await sql`SELECT FROM firefly.ready FOR UPDATE`;
    locked.resolve();
    await step.promise;
  });
  await locked.promise;
  await using consumer = test.ff.consume({ pollInterval: "1h" });
  await consumer.ready;
  await sleep(200); // it has looked by now, and nothing will wake it
  assertEquals(ended, []);

  step.resolve();
  await holder;
  await until(() => ended.length === 5, 2_000);
});

Deno.test("a task is cut out of its run while a claim takes the run's first tasks", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const ids = await insertAlike(db, 10);
  const cancelled = ids[6]!;
  let cancelling: Promise<unknown> | undefined;
  // The claim, held open: it has locked the run and put its rest back as another row.
  await db.sql.begin(async (sql) => {
    await sql`
      WITH run AS (DELETE FROM firefly.ready RETURNING *)
      INSERT INTO firefly.ready (id, length, claim_seq, not_before, priority, queue, func_name)
      SELECT id + 3, length - 3, claim_seq, not_before, priority, queue, func_name FROM run
    `;
    await sql`
      INSERT INTO firefly.claim_batch (id, consumer_id, ids, lengths, claim_seqs)
      VALUES (gen_random_uuid(), ${consumerId}, ARRAY[${ids[0]!}::bigint], '{3}', '{0}')
    `;
    cancelling = db.sql`SELECT firefly.cancel(${cancelled}) AS done`.execute();
    const waits = () =>
      db.records`SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
    await until(async () => (await waits()).count === 1);
  });
  await cancelling;

  assertEquals(await runsOf(db), [[ids[3]!, 3], [ids[7]!, 3]]);
  const { status, started } = await recordOf(db, cancelled);
  assertEquals([status, started], ["cancelled", null], "it never ran");
});

Deno.test("a cancelled task leaves the others of its run where they are", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const ids = await insertAlike(db, 10);

  for (const id of [ids[0]!, ids[5]!, ids[9]!, ids[4]!]) await db.sql`SELECT firefly.cancel(${id})`;

  assertEquals(await runsOf(db), [[ids[1]!, 3], [ids[6]!, 3]]);
  assertEquals((await claim(db, { consumerId })).tasks.map(({ id }) => id), [...ids.slice(1, 4), ...ids.slice(6, 9)]);
});

Deno.test("many small consumers share what one call has scheduled", async () => {
  await using test = await testInstance();
  const gate = Promise.withResolvers<void>();
  let running = 0;
  const work = task(taskName(), async () => {
    running++;
    await gate.promise;
  });
  await test.ff.run(() => work.scheduleMany(Array.from({ length: 100 }, () => [])));
  const consumers = Array.from({ length: 10 }, () => test.ff.consume({ concurrency: 1, pollInterval: "1h" }));

  await until(() => running === 10, 5_000);

  gate.resolve();
  await until(async () => (await placesOf(test.db)).ready === 0);
  await Promise.all(consumers.map((consumer) => consumer.stop()));
});
