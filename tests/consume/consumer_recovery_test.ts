import { assert, assertEquals } from "@std/assert";
import { current, LeaseLost, task } from "../../mod.ts";
import { Firefly } from "../../src/firefly/firefly.ts";
import { testDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { backends } from "../support/statements.ts";
import { insertTask, placesOf, recordOf, withoutTriggers } from "../support/records.ts";
import { until } from "../support/waiting.ts";
import { gate } from "../support/step_gate.ts";
import { terminateAll } from "../support/terminate.ts";

Deno.test("consume() goes on when every connection is terminated under load, and repeats no effect", async () => {
  await using test = await testInstance();
  await test.db.sql`CREATE TABLE ledger (n int)`;
  const work = task({ name: taskName() }, async (n: number) => {
    await current().sql`INSERT INTO ledger VALUES (${n})`;
  });
  await test.ff.run(() => work.scheduleMany(Array.from({ length: 600 }, (_, n) => [n])));
  await using _ = test.ff.consume({ concurrency: 5, lease: "2s", pollInterval: "200ms" });
  const completed = async () => {
    const [row] = await test.db.sql`SELECT count(*)::int AS n FROM firefly.task WHERE status = 'completed'`;
    return row!.n as number;
  };
  for (const goal of [100, 200, 300]) {
    await until(async () => await completed() >= goal, 20_000);
    await terminateAll(test.db);
  }

  await until(async () => await completed() === 600, 40_000);

  const [ledger] = await test.db.sql`SELECT count(*)::int AS rows, count(DISTINCT n)::int AS distinct FROM ledger`;
  assertEquals(ledger, { rows: 600, distinct: 600 });
});

Deno.test("a consumer whose row was removed aborts its attempts, registers anew and goes on", async () => {
  await using test = await testInstance();
  const reasons: unknown[] = [];
  let attempts = 0;
  const began = Promise.withResolvers<void>();
  const work = task(taskName(), async () => {
    if (++attempts > 1) return "second";
    const { signal } = current();
    signal.addEventListener("abort", () => reasons.push(signal.reason));
    began.resolve();
    await new Promise(() => {});
  });
  await using _ = test.ff.consume({ lease: "1s" });
  const row = await test.ff.run(() => work.schedule());
  await began.promise;

  await test.db.sql`DELETE FROM firefly.consumer`;

  assertEquals(await row.result({ timeout: "20s" }), "second");
  assertEquals((reasons[0] as Error).name, "LeaseLost");
  assertEquals((await test.db.sql`SELECT FROM firefly.consumer`).length, 1);
});

Deno.test("a lease is renewed while every other statement waits for a lock", async () => {
  await using db = await testDatabase();
  await using ff = new Firefly({ database: db.url });
  const { database: { sql } } = await ff.connect();
  const expired: unknown[] = [];
  ff.on("consumer.expired", (event) => expired.push(event));
  const step = gate();
  const work = task(taskName(), step.wait);
  await using consumer = ff.consume({ lease: "1s" });
  await consumer.ready;
  await ff.run(() => work.schedule());
  await step.reached;
  const waiting: Promise<unknown>[] = [];
  const renewals = new Set<number>();
  const countRenewals = async () => {
    const [row] = await db.sql`SELECT extract(epoch FROM seen)::float AS seen FROM firefly.consumer`;
    return renewals.add(row!.seen).size;
  };

  await db.sql.begin(async (transaction) => {
    await transaction`LOCK TABLE firefly.task IN ACCESS EXCLUSIVE MODE`;
    for (let i = 0; i < 20; i++) waiting.push(sql`SELECT FROM ${sql.schema}.task LIMIT 1`);
    await until(async () => await backends(db, "active", "Lock") >= 4); // as many connections as it has
    await until(async () => await countRenewals() > 5); // longer than the lease, of which each renewal takes a third
  });

  step.open();
  await Promise.all(waiting);
  assertEquals(expired, []);
});

Deno.test("a claim whose reply was lost is returned and run", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => "run");
  const blocker = await insertTask(test.db, { func_name: work.funcName, not_before: new Date(Date.now() + 3_600_000) });
  await using consumer = test.ff.consume({ lease: "1s" });
  await consumer.ready;
  // As a claim leaves it that took effect and whose reply never came.
  await test.db.sql`
    WITH taken AS (DELETE FROM firefly.waiting WHERE id = ${blocker} RETURNING id, claim_seq)
    INSERT INTO firefly.claim_batch (id, consumer_id, ids, lengths, claim_seqs)
    SELECT gen_random_uuid(), (SELECT id FROM firefly.consumer), array_agg(id), array_agg(1), array_agg(claim_seq) FROM taken
  `;
  await test.db.sql`UPDATE firefly.task SET not_before = now() WHERE id = ${blocker}`;

  await until(async () => (await recordOf(test.db, blocker)).status === "completed");

  assertEquals((await recordOf(test.db, blocker)).snoozes, 1);
  await until(async () => (await placesOf(test.db)).claimBatches === 0);
});

Deno.test("consume() drops a claim that a crash of the server undid, as soon as it is connected again", async () => {
  await using test = await testInstance();
  const aborted = Promise.withResolvers<unknown>();
  const began = Promise.withResolvers<void>();
  let attempts = 0;
  const work = task(taskName(), async () => {
    if (++attempts > 1) return void await aborted.promise;
    began.resolve();
    const { signal } = current();
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    aborted.resolve(signal.reason);
  });
  await using consumer = test.ff.consume({ pollInterval: "1h" });
  await consumer.ready;
  const row = await test.ff.run(() => work.schedule());
  await began.promise;

  // As the server is after a crash that came before the claim was on its disk.
  await test.db.sql.begin(async (sql) => {
    await sql`DELETE FROM firefly.claim_batch`;
    await sql`
      INSERT INTO firefly.ready (id, claim_seq, not_before, priority, queue, func_name)
      SELECT id, claim_seq, not_before, priority, queue, func_name FROM firefly.task
    `;
  });
  await terminateAll(test.db);

  // Long before the next renewal, after 10 s.
  await until(async () => (await row.refresh()).status === "completed", 5_000);
  assertEquals(attempts, 2);
  assert(await aborted.promise instanceof LeaseLost);
  assertEquals((await row.refresh()).retryAttempts, 0);
});

Deno.test("a task whose name no consumer knows uses no attempt, and runs once a consumer knows it", async () => {
  await using test = await testInstance();
  const known = task(taskName(), () => "known");
  const later = taskName();
  const id = await insertTask(test.db, { func_name: later });
  {
    await using consumer = test.ff.consume({ tasks: [known], lease: "1s" });
    await consumer.ready;
    await until(async () => (await placesOf(test.db)).waiting === 1);
  }
  task(later, () => "now known");
  const deployed = performance.now();
  await using _ = test.ff.consume({ lease: "1s" });
  await until(async () => (await recordOf(test.db, id)).status === "completed");

  assert(performance.now() - deployed < 2000);
  assertEquals((await recordOf(test.db, id)).claim_seq, 1);
});

Deno.test("an unplaced record is found and run", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => "again");
  const row = await test.ff.run(() => work.schedule());
  await test.drain();
  await withoutTriggers(
    test.db,
    (sql) => sql`UPDATE firefly.task SET status = 'created', completed = NULL WHERE id = ${row.id}`,
  );
  await using _ = test.ff.consume({ lease: "1s" });

  await until(async () => (await recordOf(test.db, row.id)).status === "completed");
});
