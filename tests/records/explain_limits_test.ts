import { assert, assertEquals } from "@std/assert";
import type { TestDatabase } from "../support/database.ts";
import { testInstance } from "../support/instance.ts";
import { claim, claimOne, startConsumer } from "../support/claiming.ts";
import { insertTask } from "../support/records.ts";
import { settle } from "../support/settling.ts";
import { codesOf, pick } from "../support/explanations.ts";

/** Says what a consumer would say of its task. */
async function define(db: TestDatabase, definition: Record<string, unknown>): Promise<void> {
  await db.sql`INSERT INTO firefly.definition ${db.sql({ func_name: "test.task", ...definition })}`;
}

/** Lets limited tasks in: what a consumer does once it looks at those that are due. */
async function admit(db: TestDatabase, reason: "concurrency" | "rate", key: string): Promise<void> {
  const [concurrencyKeys, rateKeys] = reason === "concurrency" ? [[key], []] : [[], [key]];
  await db.sql`SELECT firefly._admit(${concurrencyKeys}::text[], ${rateKeys}::text[])`;
}

Deno.test("explain() tells which tasks hold a concurrency key, on which consumers, and who comes first", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const consumerId = await startConsumer(db);
  await define(db, { concurrency_limit: 1 });
  const ids = [];
  for (let i = 0; i < 3; i++) ids.push(await insertTask(db, { concurrency_key: "acme" }));
  await admit(db, "concurrency", "acme");
  const unclaimed = pick(await ff.tasks.explain(ids[1]!), "concurrency");
  await claimOne(db, consumerId);

  const explanations = await Promise.all(ids.map((id) => ff.tasks.explain(id)));

  assertEquals(explanations.map(codesOf), [["running"], ["concurrency"], ["concurrency"]]);
  const [second, third] = explanations.slice(1).map((explanation) => pick(explanation, "concurrency"));
  const { holders: [holder], message, reason: _, ...rest } = second!;
  assertEquals(rest, { key: "acme", limit: 1, taken: 1, ahead: 0, more: false });
  assertEquals(unclaimed.holders.map(({ taskId, consumer, pid }) => [taskId, consumer, pid]), [[ids[0]!, null, null]]);
  assertEquals([holder!.taskId, holder!.consumer, holder!.host, holder!.pid], [ids[0], consumerId, "test", 1]);
  assert(Math.abs(holder!.since.getTime() - Date.now()) < 60_000);
  assertEquals(
    message,
    `Its concurrency key "acme" has 1 of 1 slot taken: held by task ${ids[0]} on test, process 1`,
  );
  assertEquals(third!.ahead, 1);
});

Deno.test("explain() foretells a concurrency key for a task that no consumer has looked at yet", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const consumerId = await startConsumer(db);
  await define(db, { concurrency_limit: 1 });
  await insertTask(db, { concurrency_key: "acme" });
  await admit(db, "concurrency", "acme");
  await claimOne(db, consumerId);
  const id = await insertTask(db, { concurrency_key: "acme" });
  const other = await insertTask(db, { concurrency_key: "other" });

  assertEquals(codesOf(await ff.tasks.explain(id)), ["concurrency"]);
  assertEquals(codesOf(await ff.tasks.explain(other)), ["due"]);
});

Deno.test("explain() puts no task of a paused queue before another of its concurrency key", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  await startConsumer(db);
  await define(db, { concurrency_limit: 1 });
  await insertTask(db, { queue: "mail", concurrency_key: "acme" });
  const id = await insertTask(db, { concurrency_key: "acme" });
  await db.sql`UPDATE firefly.waiting SET reason = 'concurrency'`;
  const before = codesOf(await ff.tasks.explain(id));
  await db.sql`SELECT firefly.pause('mail')`;

  assertEquals([before, codesOf(await ff.tasks.explain(id))], [["concurrency"], ["due"]]);
});

Deno.test("explain() tells when the turn of a task under a rate limit can come", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const consumerId = await startConsumer(db);
  await define(db, { rate_limit: 2, rate_per: 60 });
  const ids = [];
  for (let i = 0; i < 6; i++) ids.push(await insertTask(db, { rate_key: "api" }));
  await admit(db, "rate", "api");
  const [{ now }] = await db.sql`SELECT clock_timestamp() AS now` as [{ now: Date }];
  const unclaimed = pick(await ff.tasks.explain(ids[2]!), "rate");
  await claim(db, { consumerId });
  const ends = [new Date(now.getTime() + 10_000), new Date(now.getTime() + 25_000)];
  await db.sql`UPDATE firefly.slot SET until = ${ends[0]!} WHERE task_id = ${ids[0]!}`;
  await db.sql`UPDATE firefly.slot SET until = ${ends[1]!} WHERE task_id = ${ids[1]!}`;

  const explanations = await Promise.all(ids.map((id) => ff.tasks.explain(id)));

  assertEquals(explanations.map(codesOf), [["running"], ["running"], ["rate"], ["rate"], ["rate"], ["rate"]]);
  const rates = explanations.slice(2).map((explanation) => pick(explanation, "rate"));
  assertEquals(rates.map(({ until }) => (until.getTime() - now.getTime()) / 1000), [10, 25, 70, 85]);
  assertEquals(rates.map(({ ahead }) => ahead), [0, 1, 2, 3]);
  const { message: _, until: __, ...rest } = rates[0]!;
  assertEquals(rest, { reason: "rate", key: "api", limit: 2, per: 60, taken: 2, ahead: 0, more: false });
  // A slot whose task is still to be claimed ends a whole span after now, at the earliest.
  assert(unclaimed.until.getTime() >= now.getTime() + 60_000);
});

Deno.test("explain() tells that a rate limit has room again once its slots have ended", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  await startConsumer(db);
  await define(db, { rate_limit: 1, rate_per: 60 });
  const id = await insertTask(db, { rate_key: "api" });
  await db.sql`UPDATE firefly.waiting SET reason = 'rate'`;
  await db
    .sql`INSERT INTO firefly.slot (kind, key, task_id, per, until) VALUES ('rate', 'api', 99, 60, now() + interval '1 minute')`;
  const full = codesOf(await ff.tasks.explain(id));
  await db.sql`UPDATE firefly.slot SET until = now() - interval '1 second'`;

  assertEquals([full, codesOf(await ff.tasks.explain(id))], [["rate"], ["due"]]);
});

Deno.test("explain() tells which duplicate keeps a cancelled task from being retried, and for how long", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const consumerId = await startConsumer(db);
  const id = await insertTask(db, { unique_key: "acme" });
  await ff.tasks.cancel({ ids: [id] });
  const alone = await ff.tasks.explain(id);
  const duplicate = await insertTask(db, { unique_key: "acme", unique_for: 3600 });
  const conflict = await ff.tasks.explain(id);
  await settle(db, await claimOne(db, consumerId));
  const throttled = await ff.tasks.explain(id);
  await db.sql`UPDATE firefly.unique_key SET until = now() - interval '1 second'`;

  assertEquals([alone.status, codesOf(alone), codesOf(conflict)], ["cancelled", ["ended"], ["ended", "unique"]]);
  assertEquals(conflict.reasons[1], {
    reason: "unique",
    message: `It cannot be retried as task ${duplicate} has its unique key "acme"`,
    key: "acme",
    taskId: duplicate,
    until: null,
  });
  assert(pick(throttled, "unique").until!.getTime() > Date.now() + 3000_000);
  assertEquals(codesOf(await ff.tasks.explain(id)), ["ended"]);
  assertEquals(codesOf(await ff.tasks.explain(duplicate)), ["ended"]);
});

Deno.test("explain() tells of the duplicate of a task that failed because of it", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  await startConsumer(db);
  const id = await insertTask(db, { unique_key: "acme" });
  await ff.tasks.cancel({ ids: [id] });
  const duplicate = await insertTask(db, { unique_key: "acme" });
  await db.sql`UPDATE firefly.task SET status = 'created', cancelled = NULL WHERE id = ${id}`;

  const explanation = await ff.tasks.explain(id);

  assertEquals([explanation.status, codesOf(explanation)], ["failed", ["ended", "unique"]]);
  assertEquals([pick(explanation, "ended").error?.name, pick(explanation, "unique").taskId], ["TaskExists", duplicate]);
});
