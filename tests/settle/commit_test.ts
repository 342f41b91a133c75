import { assertEquals, assertRejects } from "@std/assert";
import { Transaction } from "../../src/database/transaction.ts";
import { commitWithTask } from "../../src/settle/commit.ts";
import { bench } from "../support/attempt_bench.ts";
import { backends } from "../support/statements.ts";
import { claimOne, startConsumer } from "../support/claiming.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { outcomeOf } from "../support/settling.ts";
import { until } from "../support/waiting.ts";

Deno.test("commitWithTask() waits for the lock of the record for longer than COMMIT may take, and has committed then", async () => {
  await using test = await bench();
  const { db, env } = test;
  await db.sql`CREATE TABLE effect (n int)`;
  const id = await insertTask(db);
  const task = await claimOne(db, await startConsumer(db));
  env.settler.track(task.batchId, 1);
  const deadline = 200;
  const transaction = Transaction.on(env.sessions, { schema: "firefly", deadline });
  await transaction.sql`INSERT INTO effect VALUES (1)`;

  let ended = false;
  const committed = await db.sql.begin(async (sql) => {
    await sql`SELECT FROM firefly.task WHERE id = ${id} FOR UPDATE`;
    const committed = commitWithTask({ task, outcome: outcomeOf(task), transaction }, env).finally(() => ended = true);
    committed.catch(() => {});
    await until(async () => await backends(db, "active", "Lock") > 0);
    await new Promise((resolve) => setTimeout(resolve, 3 * deadline));
    assertEquals(ended, false);
    return { committed };
  });

  await committed.committed;
  const { status, claim_seq } = await recordOf(db, id);
  assertEquals([status, claim_seq], ["completed", 1]);
  assertEquals((await db.sql`SELECT FROM effect`).count, 1);
  assertEquals(env.settler.isTracked(task.batchId), false);
});

Deno.test("commitWithTask() rejects with LeaseLost, and commits nothing, when the task was settled by another", async () => {
  await using test = await bench();
  const { db, env } = test;
  await db.sql`CREATE TABLE effect (n int)`;
  const id = await insertTask(db);
  const task = await claimOne(db, await startConsumer(db));
  env.settler.track(task.batchId, 1);
  const transaction = Transaction.on(env.sessions, { schema: "firefly" });
  await transaction.sql`INSERT INTO effect VALUES (1)`;
  await db.sql`SELECT firefly.cancel(${id})`;

  await assertRejects(
    () => commitWithTask({ task, outcome: outcomeOf(task), transaction }, env),
    Error,
    `Task ${id} was cancelled`,
  );

  assertEquals((await db.sql`SELECT FROM effect`).count, 0);
  env.settler.untrackTask(task);
});
