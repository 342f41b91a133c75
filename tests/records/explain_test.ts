import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { type Explanation, task, TaskNotFound } from "../../mod.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { claim, startConsumer } from "../support/claiming.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { settle } from "../support/settling.ts";
import { backends } from "../support/statements.ts";
import { until } from "../support/waiting.ts";
import { codesOf } from "../support/explanations.ts";

Deno.test("explain() tells how a task ended", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const consumerId = await startConsumer(db);
  const ids = [await insertTask(db), await insertTask(db), await insertTask(db)];
  const { tasks: [first, second] } = await claim(db, { consumerId });
  await settle(db, first!);
  await settle(db, second!, {
    status: "failed",
    error: JSON.stringify({ name: "TypeError", message: "bad", stack: "at" }),
  });
  await ff.tasks.cancel({ ids: [ids[2]!] });

  const explanations = await Promise.all(ids.map((id) => ff.tasks.explain(id)));

  const [completed, failed, cancelled] = await Promise.all(ids.map((id) => recordOf(db, id)));
  const data = explanations.map(({ reasons: [reason, ...more] }) => {
    const { message: _, ...data } = reason!;
    return [data, more];
  });
  const error = { name: "TypeError", message: "bad", attempt: 1 };
  assertEquals(data as unknown, [
    [{ reason: "ended", status: "completed", at: completed!.completed, error: null }, []],
    [{ reason: "ended", status: "failed", at: failed!.failed, error }, []],
    [{ reason: "ended", status: "cancelled", at: cancelled!.cancelled, error: null }, []],
  ]);
  assertEquals(explanations.map(({ status }) => status), ["completed", "failed", "cancelled"]);
  assertMatch(explanations[1]!.summary, /^It failed at .*: TypeError: bad$/);
});

Deno.test("explain() lists all reasons, first what somebody must do something about", async () => {
  await using test = await testInstance();
  const id = await insertTask(test.db, { not_before: new Date(Date.now() + 3600_000) });
  await test.db.sql`SELECT firefly.pause('default')`;
  const one = await test.ff.tasks.explain(id);
  await startConsumer(test.db);

  assertEquals(codesOf(one), ["paused", "not_due", "no_consumer"]);
  assertEquals(one.summary, one.reasons[0]!.message);
  assertEquals(codesOf(await test.ff.tasks.explain(id)), ["paused", "not_due"]);
});

Deno.test("explain() sees one snapshot: a task that is claimed meanwhile does not stand nowhere", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const consumerId = await startConsumer(db);
  const id = await insertTask(db);
  let explanation: Promise<Explanation>;
  await db.sql.begin(async (tx) => {
    // It has read the leases by the time that it comes to this lock.
    await tx`LOCK TABLE firefly.ready IN ACCESS EXCLUSIVE MODE`;
    explanation = ff.tasks.explain(id);
    await until(async () => await backends(db, "active", "Lock") === 1);
    await tx`DELETE FROM firefly.ready`;
    await tx`
      INSERT INTO firefly.claim_batch (id, consumer_id, ids, lengths, claim_seqs)
      VALUES (gen_random_uuid(), ${consumerId}, ${[id]}::bigint[], '{1}', '{0}')
    `;
  });

  assertEquals(codesOf(await explanation!), ["due"]);
  assertEquals(codesOf(await ff.tasks.explain(id)), ["running"]);
});

Deno.test("explain() rejects for a task that does not exist, and for what is no id", async () => {
  await using test = await testInstance();

  const error = await assertRejects(() => test.ff.tasks.explain(99), TaskNotFound);
  await assertRejects(() => test.ff.tasks.explain(1.5), TypeError, "its id must be an integer: current value is 1.5");

  assertEquals(error.id, 99);
});

Deno.test("explain() works in a schema of another name", async () => {
  await using test = await testInstance({ schema: `it's "odd"` });
  await test.ff.migrate();
  const add = task(taskName(), (a: number) => a);
  const { id } = await test.ff.run(() => add.schedule(1));

  assertEquals(codesOf(await test.ff.tasks.explain(id)), ["no_consumer"]);
});
