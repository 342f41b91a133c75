import { assertEquals } from "@std/assert";
import { cancelTasks, type Chosen, rescheduleTasks, runTasks } from "../../src/store/bulk.ts";
import { rescueTasks } from "../../src/store/rescue.ts";
import { promoteDueTasks } from "../../src/store/waiting.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { claim, startConsumer } from "../support/claiming.ts";
import { insertMany } from "../support/limit_store.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { outcomeOf, settle } from "../support/settling.ts";
import { backends } from "../support/statements.ts";
import { until } from "../support/waiting.ts";
import { readClaims, settleTasks } from "../../src/store/settle.ts";

const KEPT = { notBefore: null, delay: null, queue: null, priority: null };
const chosen = (ids: number[]): Chosen[] => ids.map((id) => ({ id, claimSeq: null }));

/** What a claim does, in a transaction that is open until `act` waits for it. */
async function againstClaim<T>(db: TestDatabase, id: number, act: () => Promise<T>): Promise<T> {
  const consumerId = await startConsumer(db);
  let acting: Promise<T>;
  await db.sql.begin(async (sql) => {
    const [row] = await sql`DELETE FROM firefly.ready WHERE id = ${id} RETURNING claim_seq`;
    await sql`
      INSERT INTO firefly.claim_batch (id, consumer_id, ids, lengths, claim_seqs)
      VALUES (gen_random_uuid(), ${consumerId}, ARRAY[${id}::bigint], '{1}', ARRAY[${row!.claim_seq}::integer])
    `;
    acting = act();
    await until(async () => await backends(db, "active", "Lock") > 0);
  });
  return await acting!;
}

const MOVES: Record<string, (db: TestDatabase, id: number) => Promise<unknown>> = {
  "rescheduleTasks()": (db, id) => rescheduleTasks(db.records, chosen([id]), { ...KEPT, queue: "mail" }),
  "reschedule() in SQL": (db, id) => db.records`SELECT firefly.reschedule(${id}, queue => 'mail')`,
  "an UPDATE by hand": (db, id) => db.records`UPDATE firefly.task SET queue = 'mail' WHERE id = ${id}`,
};

for (const [name, move] of Object.entries(MOVES)) {
  Deno.test(`${name} of a task that is being claimed leaves the claim as it is`, async () => {
    await using db = await testDatabase();
    const id = await insertTask(db);

    await againstClaim(db, id, () => move(db, id));

    const { claim_seq } = await recordOf(db, id);
    assertEquals([claim_seq, (await db.sql`SELECT FROM firefly.ready`).length], [0, 0]);
    assertEquals(await settle(db, { id, claimSeq: 0 } as never), true);
  });

  Deno.test(`${name} of a task that is being moved from waiting to ready moves it once`, async () => {
    await using db = await testDatabase();
    const id = await insertTask(db, { concurrency_key: "k" });
    let moving: Promise<unknown>;
    await db.sql.begin(async (sql) => {
      await sql`
        WITH moved AS (DELETE FROM firefly.waiting RETURNING id, claim_seq, not_before, priority, queue, func_name)
        INSERT INTO firefly.ready (id, claim_seq, not_before, priority, queue, func_name) SELECT * FROM moved
      `;
      moving = move(db, id);
      await until(async () => await backends(db, "active", "Lock") > 0);
    });
    await moving!;

    const places = await db.sql`
      SELECT queue, claim_seq FROM firefly.ready UNION ALL SELECT queue, claim_seq FROM firefly.waiting
    `;
    assertEquals([...places], [{ queue: "mail", claim_seq: 1 }]);
  });
}

Deno.test("two rescheduleTasks() of one task at once leave one place, that of the last", async () => {
  await using db = await testDatabase();
  for (let round = 0; round < 10; round++) {
    const id = await insertTask(db);
    const results = await Promise.all(
      ["mail", "pdf"].map((queue, i) => rescheduleTasks(db.records, chosen([id]), { ...KEPT, queue, delay: i * 60 })),
    );
    assertEquals(results.map(({ done }) => done), [1, 1]);
    const { queue, claim_seq } = await recordOf(db, id);
    const places = await db.sql`
      SELECT queue, claim_seq FROM firefly.ready WHERE id = ${id}
      UNION ALL SELECT queue, claim_seq FROM firefly.waiting WHERE id = ${id}
    `;
    assertEquals([...places], [{ queue, claim_seq }]);
  }
});

/*
 * Consumers claim, complete, retry, and lose tasks, while others run, reschedule, cancel and edit them. Each connection
 * takes its turn as the server lets it. In the end each task has ended once: nothing is lost, and no attempt that still
 * held its task was shut out by a move.
 */
Deno.test("run(), reschedule(), cancel() and edits by hand at once with claims lose no task, and double none", async () => {
  await using db = await testDatabase();
  const COUNT = 200;
  const queues = ["default", "mail"];
  const consumerId = await startConsumer(db, { queues, lease: 600 });
  const half = { not_before: new Date(Date.now() + 3_600_000) };
  const ids = [...await insertMany(db, COUNT / 2, {}), ...await insertMany(db, COUNT / 2, half)];
  const completed: number[] = [];
  const shutOut: number[] = [];
  let open = COUNT;

  const consume = async () => {
    for (let turn = 0; open > 0; turn++) {
      await promoteDueTasks(db.store, queues);
      const { tasks } = await claim(db, { consumerId, queues, limit: 20 });
      const outcomes = tasks.map((task, i) =>
        outcomeOf(
          task,
          (i + turn) % 4 === 0 ? { status: "created", returned: null, counts: "retry", delay: turn % 2 } : {},
        )
      );
      for (let left = outcomes; left.length > 0;) {
        const settled = await settleTasks(db.store, left, []);
        for (const [id, status] of settled) if (status === "completed") completed.push(id);
        left = left.filter(({ id }) => !settled.has(id));
        // Those that another statement has locked are settled later; of the others the attempt is shut out.
        const claims = await readClaims(db.store, left.map(({ id }) => id));
        const lost = left.filter(({ id, claimSeq }) => claims.get(id)!.claimSeq !== claimSeq);
        shutOut.push(...lost.filter(({ id }) => claims.get(id)!.status !== "cancelled").map(({ id }) => id));
        left = left.filter((outcome) => !lost.includes(outcome));
      }
      const [row] = await db.sql`SELECT count(*)::int AS open FROM firefly.task WHERE status = 'created'`;
      open = row!.open;
    }
  };
  const steer = async (seed: number) => {
    for (let turn = seed; open > 0; turn++) {
      const some = ids.filter((id) => (id * 7 + turn) % 5 === 0);
      const queue = queues[turn % 2]!;
      if (turn % 4 === 0) await runTasks(db.records, chosen(some));
      else if (turn % 4 === 1) await rescheduleTasks(db.records, chosen(some), { ...KEPT, queue, priority: turn % 3 });
      else if (turn % 4 === 2) {
        // In the order of ids, as every statement on many records should be.
        await db.records`
          UPDATE firefly.task SET queue = ${queue}, not_before = now()
          WHERE id = ANY (ARRAY(SELECT id FROM firefly.task WHERE id = ANY (${some}::bigint[]) ORDER BY id FOR UPDATE))
            AND status = 'created'
        `;
      } else await cancelTasks(db.records, chosen(some.slice(0, 2)));
    }
  };
  await Promise.all([consume(), consume(), steer(0), steer(2)]);

  const rows = await db.sql`SELECT id, status FROM firefly.task ORDER BY id`;
  assertEquals(rows.length, COUNT);
  assertEquals(shutOut, [], "no move ends an attempt; cancel() does");
  assertEquals(rows.filter(({ status }) => status !== "completed" && status !== "cancelled"), []);
  const ended = rows.filter(({ status }) => status === "completed").map(({ id }) => Number(id));
  assertEquals(completed.toSorted((a, b) => a - b), ended, "each completed once");
  const left = await db.sql`
    SELECT place.id FROM (SELECT id, claim_seq FROM firefly.ready UNION ALL SELECT id, claim_seq FROM firefly.waiting) AS place
    JOIN firefly.task ON task.id = place.id AND task.claim_seq = place.claim_seq
  `;
  assertEquals([...left], []);
  assertEquals((await rescueTasks(db.store)).length, 0);
});
