/**
 * Start here to learn how Firefly works: each step of a task's life, in the order of the files of `src/`, with what can
 * be seen of it in the database.
 */
import { assert, assertEquals, assertExists, assertRejects } from "@std/assert";
import { current, Firefly, task, TaskFailed } from "../mod.ts";
import { testDatabase } from "./support/database.ts";

Deno.test("A task is defined, scheduled, claimed, run and completed, and its result is there in TypeScript and SQL", async () => {
  await using db = await testDatabase();
  await using ff = new Firefly({ database: db.url });

  // task.ts: defining does no I/O, and the task is still the plain function.
  const [began, mayEnd] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const seen: { id: number; attempt: number; queued: boolean; lastAttempt: boolean }[] = [];
  const add = task("life.add", async (i: number, j: number) => {
    const { id, attempt, queued, lastAttempt } = current();
    seen.push({ id, attempt, queued, lastAttempt });
    if (queued) {
      began.resolve();
      await mayEnd.promise;
    }
    return { sum: BigInt(i + j) };
  });
  assertEquals(await add(1, 3), { sum: 4n });
  assertEquals(seen.pop(), { id: 0, attempt: 1, queued: false, lastAttempt: true });

  // firefly.ts, store/schedule.ts: scheduling inserts a row, and the trigger places it among those that may run.
  const scheduled = await ff.run(() => add.schedule(1, 3));
  const { id } = scheduled;
  assertEquals(scheduled.status, "created");
  const [row] = await db.sql`SELECT func_name, queue, status, firefly.decode(params) AS params FROM firefly.task`;
  assertEquals({ ...row }, { func_name: "life.add", queue: "default", status: "created", params: [1, 3] });
  assertEquals((await db.sql`SELECT id FROM firefly.ready`).map((row) => Number(row.id)), [id]);

  // consumer.ts, store/claim.ts: a consumer claims it. The record is untouched; a lease says who holds it.
  await using consumer = ff.consume({ tasks: [add] });
  await began.promise;
  assertEquals((await db.sql`SELECT id FROM firefly.ready`).length, 0);
  assertEquals((await db.sql`SELECT status FROM firefly.task`)[0]!.status, "created");
  const [lease] = await db.sql`
    SELECT claim_batch.ids, consumer.queues
    FROM firefly.claim_batch
    JOIN firefly.consumer ON consumer.id = claim_batch.consumer_id
  `;
  assertEquals({ ids: lease!.ids.map(Number), queues: lease!.queues }, { ids: [id], queues: ["default"] });
  assertEquals((await db.sql`SELECT status FROM firefly.task_json`)[0]!.status, "running");
  assertEquals((await scheduled.refresh()).status, "running");

  // attempt.ts, context.ts: the handler knows its attempt.
  assertEquals(seen, [{ id, attempt: 1, queued: true, lastAttempt: true }]);

  // settler.ts, store/settle.ts: what the handler returns ends the attempt.
  mayEnd.resolve();

  // result_waiter.ts: the program that awaits the result gets the value itself.
  assertEquals(await scheduled.result({ timeout: "30s" }), { sum: 4n });

  // records.ts: the record in TypeScript.
  const completed = await ff.run(() => add.get(id));
  assert(completed.status === "completed");
  assertEquals(completed.returned.sum, 4n);
  assertExists(completed.started);
  assert(completed.created <= completed.started && completed.started <= completed.completed);

  // SQL is an API: the same as text, decoded, and as a view.
  const [stored] = await db.sql`
    SELECT status, firefly.decode(returned) AS decoded, (SELECT returned FROM firefly.task_json) AS viewed, claim_seq
    FROM firefly.task
  `;
  assertEquals({ ...stored }, { status: "completed", decoded: { sum: 4 }, viewed: { sum: 4 }, claim_seq: 1 });

  // consumer.ts: at the end nothing is left but the record.
  await consumer.stop();
  const [left] = await db.sql`
    SELECT
      (SELECT count(*) FROM firefly.claim_batch) + (SELECT count(*) FROM firefly.consumer)
        + (SELECT count(*) FROM firefly.ready) + (SELECT count(*) FROM firefly.waiting) AS rows
  `;
  assertEquals(left!.rows, "0");
});

Deno.test("A task whose handler throws is retried maxRetries times, and then is failed with every error", async () => {
  await using db = await testDatabase();
  await using ff = new Firefly({ database: db.url });
  const attempts: { attempt: number; lastAttempt: boolean }[] = [];
  const flaky = task({ name: "life.flaky", maxRetries: 2, retryDelay: 0 }, () => {
    const { attempt, lastAttempt } = current();
    attempts.push({ attempt, lastAttempt });
    throw new RangeError(`attempt ${attempt} went wrong`, { cause: new Error("the weather") });
  });

  // definition.ts: the options are checked where the task is defined, and stored where it is scheduled.
  const scheduled = await ff.run(() => flaky.schedule());
  assertEquals([scheduled.maxRetries, scheduled.retryDelay, scheduled.retryAttempts], [2, 0, 0]);

  // attempt.ts, backoff.ts: two retries follow the first attempt.
  await using consumer = ff.consume({ tasks: [flaky] });
  const failure = await assertRejects(() => scheduled.result({ timeout: "30s" }), TaskFailed, "attempt 3 went wrong");
  assertEquals(attempts, [
    { attempt: 1, lastAttempt: false },
    { attempt: 2, lastAttempt: false },
    { attempt: 3, lastAttempt: true },
  ]);

  // error_record.ts: a thrown error is data, one entry for each attempt.
  const failed = failure.task;
  assert(failed.status === "failed");
  assertEquals(failed.retryAttempts, 2);
  assertEquals(
    failed.errors.map(({ name, message, cause, attempt, delay }) => ({ name, message, cause, attempt, delay })),
    [1, 2, 3].map((attempt) => ({
      name: "RangeError",
      message: `attempt ${attempt} went wrong`,
      cause: "Error: the weather",
      attempt,
      delay: attempt < 3 ? 0 : undefined,
    })),
  );
  const [row] = await db.sql`SELECT status, returned, errors -> -1 ->> 'message' AS error FROM firefly.task_json`;
  assertEquals({ ...row }, { status: "failed", returned: null, error: "attempt 3 went wrong" });

  await consumer.stop();

  // records.ts: a failed task can be scheduled again, with all of its retries; its history stays.
  const again = await failed.retry();
  assertEquals([again.status, again.retryAttempts, again.errors.length], ["created", 0, 3]);
});

Deno.test("A task's effects through current().sql commit with completed, and are rolled back when its attempt fails", async () => {
  await using db = await testDatabase();
  await using ff = new Firefly({ database: db.url });
  await db.sql`CREATE TABLE effect (attempt integer)`;
  const followUp = task("life.follow_up", () => {});
  const pay = task({ name: "life.pay", maxRetries: 1, retryDelay: 0 }, async () => {
    const { sql, attempt } = current();
    await sql`INSERT INTO effect (attempt) VALUES (${attempt})`;
    // scope.ts: what a handler schedules is an effect, too.
    await followUp.schedule();
    if (attempt === 1) throw new Error("too early");
    return attempt;
  });

  await using _consumer = ff.consume({ tasks: [pay] });
  const scheduled = await ff.run(() => pay.schedule());
  assertEquals(await scheduled.result({ timeout: "30s" }), 2);

  // transaction.ts: nothing of the first attempt is left, and everything of the second is there.
  assertEquals((await db.sql`SELECT attempt FROM effect`).map(({ attempt }) => attempt), [2]);
  const [row] = await db.sql`SELECT count(*)::integer AS count FROM firefly.task WHERE func_name = 'life.follow_up'`;
  assertEquals(row!.count, 1);

  // One transaction wrote both: the rows bear its number.
  const [both] = await db.sql`
    SELECT effect.xmin = task.xmin AS same
    FROM effect, firefly.task
    WHERE task.id = ${scheduled.id}
  `;
  assertEquals(both!.same, true);
});
