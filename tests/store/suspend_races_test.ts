import { assert, assertEquals } from "@std/assert";
import type postgres from "postgres";
import { releaseTasks } from "../../src/store/dependencies.ts";
import { sendSignal } from "../../src/store/signals.ts";
import { readSteps } from "../../src/store/steps.ts";
import { promoteDueTasks } from "../../src/store/waiting.ts";
import type { Tag } from "../../src/database/driver.ts";
import type { ClaimedTask } from "../../src/store/claimed_task.ts";
import { claim, claimMany, startConsumer } from "../support/claiming.ts";
import { callTasks } from "../../src/store/calls.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { end, leftOver, releaseAll, statesOf, tagOfClient } from "../support/dependencies.ts";
import { newWait } from "../support/new_step.ts";
import { newTask } from "../support/new_task.ts";
import { untilHeldUp, whileOpen } from "../support/open_transactions.ts";
import { backends, counting } from "../support/statements.ts";
import { callAndSuspend, suspend, suspendHeld, suspension } from "../support/suspended.ts";
import { clients } from "../support/unique.ts";

const NOTHING = { ended: 0, open: 0, pending: 0 };
/** How many rounds of the races a run has; more with WAIT_ROUNDS. */
const ROUNDS = Number(Deno.env.get("WAIT_ROUNDS") ?? 100);

const delay = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
const jitter = (ms: number) => delay(Math.random() * ms);

/** Calls tasks from an attempt that goes on. */
async function call(db: TestDatabase, { id, claimSeq }: ClaimedTask, count: number): Promise<number[]> {
  const step = newWait({ kind: "call", name: "test.task" });
  const tasks = Array.from({ length: count }, () => newTask());
  return (await callTasks(db.store, { id, claimSeq, step, steps: [], tasks }))!;
}

/** Starts to suspend an attempt; resolves once that has met a lock, for which it waits or which it passes over. */
async function untilAsked(
  db: TestDatabase,
  client: postgres.Sql,
  act: (sql: Tag) => Promise<unknown>,
): Promise<{ done: Promise<unknown> }> {
  const sql = counting(tagOfClient(client));
  const done = act(sql);
  while (sql.calls < 2 && await backends(db, "active", "Lock") === 0);
  return { done };
}

const AWAITS_CALL = [{ name: "test.task", key: "" }];

Deno.test("suspendTasks() does not sleep through a signal", async () => {
  await using db = await testDatabase();
  await using two = clients(db, 2);
  const [first, second] = two.each as [postgres.Sql, postgres.Sql];
  const [early, late] = await claimMany(db, 2);

  // The signal comes first, and has not committed when the attempt is to be suspended.
  const { done } = await whileOpen(first, (open) => sendSignal(tagOfClient(open), early!.id, "s", null), () => {
    return untilAsked(db, second, (sql) => suspendHeld(sql, suspension(early!, [{ kind: "signal", name: "s" }])));
  });
  assertEquals(await done, "created");
  assertEquals(await statesOf(db, [early!.id]), ["ready"]);

  // The attempt is suspended first: the signal waits for that, and finds a task that waits.
  const sent = await whileOpen(
    first,
    (open) => suspend(tagOfClient(open), late!, { kind: "signal", name: "s", due: 60 }),
    () => untilHeldUp(db, () => sendSignal(tagOfClient(second), late!.id, "s", null)),
  );
  assertEquals(await sent.done, true);
  assertEquals(await statesOf(db, [late!.id]), ["ready"]);

  // In all orders that come about.
  for (const task of await claimMany(db, ROUNDS)) {
    const wait = { kind: "signal" as const, name: "s", due: Math.random() < 0.5 ? 60 : null };
    await Promise.all([
      jitter(2).then(() => suspendHeld(tagOfClient(first), suspension(task, [wait]))),
      jitter(2).then(() => sendSignal(tagOfClient(second), task.id, "s", null)),
    ]);
    assertEquals(await statesOf(db, [task.id]), ["ready"]);
  }
});

Deno.test("suspendTasks() does not sleep through the end of a call", async () => {
  await using db = await testDatabase();
  await using two = clients(db, 2);
  const [first, second] = two.each as [postgres.Sql, postgres.Sql];
  const [early, late] = await claimMany(db, 2);

  // The caller has been told, and that has not committed when it is to be suspended.
  const [callee] = await call(db, early!, 1);
  await end(db.sql, [callee!]);
  const { done } = await whileOpen(first, (open) => releaseTasks(tagOfClient(open), [callee!]), () => {
    return untilAsked(db, second, (sql) => suspendHeld(sql, { ...suspension(early!, []), awaits: AWAITS_CALL }));
  });
  assertEquals(await done, "created");
  assertEquals(await statesOf(db, [early!.id]), ["ready"]);

  // It is suspended first: it is told afterwards.
  const [other] = await call(db, late!, 1);
  await end(db.sql, [other!]);
  await whileOpen(first, async (open) => {
    await suspendHeld(tagOfClient(open), { ...suspension(late!, []), awaits: AWAITS_CALL });
  }, async () => assertEquals(await releaseTasks(db.store, [other!]), { released: 0, cancelled: 0, again: true }));
  assertEquals(await releaseAll(db.store), { released: 1, cancelled: 0 });
  assertEquals(await statesOf(db, [late!.id]), ["ready"]);
});

Deno.test("a call whose callees end while the caller is suspended wakes it once, in all orders that come about", async () => {
  await using db = await testDatabase();
  await using all = clients(db, 4);
  const [one, two, three, four] = all.each as [postgres.Sql, postgres.Sql, postgres.Sql, postgres.Sql];
  for (const task of await claimMany(db, ROUNDS)) {
    const callees = await call(db, task, 4);
    const ends = [[two, callees.slice(0, 2)], [three, callees.slice(2, 3)], [four, callees.slice(3)]] as const;
    const released = await Promise.all([
      jitter(4).then(() => suspendHeld(tagOfClient(one), { ...suspension(task, []), awaits: AWAITS_CALL })),
      ...ends.map(async ([sql, ids]) => {
        await jitter(3);
        await end(sql, ids);
        return await releaseAll(tagOfClient(sql));
      }),
    ]);
    await releaseAll(db.store);
    const [{ places, seq }] = await db.sql<{ places: number; seq: number }[]>`
      SELECT count(place.id)::int AS places, min(task.claim_seq) AS seq
      FROM firefly.task
      LEFT JOIN firefly._ready_task AS place ON place.id = task.id AND place.claim_seq = task.claim_seq
      WHERE task.id = ${task.id}
    ` as unknown as [{ places: number; seq: number }];
    assertEquals([places, seq, await leftOver(db)], [1, 1, NOTHING], JSON.stringify(released));
  }
});

Deno.test("a signal against its deadline moves the task on once, and is received if it was sent in time", async () => {
  await using db = await testDatabase();
  await using two = clients(db, 2);
  const [first, second] = two.each as [postgres.Sql, postgres.Sql];
  const consumerId = await startConsumer(db);
  await first`SELECT`; // the driver may take a list for a text until it has read the server's types
  const counts = { inTime: 0, late: 0 };
  for (const task of await claimMany(db, ROUNDS)) {
    await suspend(db.store, task, { kind: "signal", name: "s", due: 0.004 });
    await Promise.all([
      (async () => {
        while ((await promoteDueTasks(tagOfClient(first), ["default"])).moved === 0) {
          const [row] = await first`SELECT FROM firefly.waiting WHERE id = ${task.id}`;
          if (!row) break;
        }
      })(),
      jitter(8).then(() => sendSignal(tagOfClient(second), task.id, "s", null)),
    ]);
    const { tasks } = await claim(db, { consumerId });
    assertEquals(tasks.map(({ id }) => id), [task.id]);
    assertEquals((await db.sql`SELECT FROM firefly.waiting WHERE id = ${task.id}`).count, 0);
    const { steps: [wait], signals: [signal] } = await readSteps(db.store, task.id);
    counts[signal!.sent <= wait!.due! ? "inTime" : "late"]++;
  }
  assert(counts.inTime > 0 && counts.late > 0, JSON.stringify(counts));
});

Deno.test("cancel() of a caller against the ends of its callees leaves nothing open", async () => {
  await using db = await testDatabase();
  await using all = clients(db, 3);
  const [one, two, three] = all.each as [postgres.Sql, postgres.Sql, postgres.Sql];
  for (const task of await claimMany(db, ROUNDS)) {
    const callees = await callAndSuspend(db.store, task, { count: 3 });
    await Promise.all([
      jitter(3).then(() => one`SELECT firefly.cancel(${task.id})`).then(() => releaseAll(tagOfClient(one))),
      jitter(3).then(() => end(two, [callees[0]!])).then(() => releaseAll(tagOfClient(two))),
      jitter(3).then(() => end(three, callees.slice(1, 2))).then(() => releaseAll(tagOfClient(three))),
    ]);
    await releaseAll(db.store);
    const [own, ...states] = await statesOf(db, [task.id, ...callees]);
    assertEquals([own, states[2]], ["cancelled", "cancelled"]);
    assert(states.every((state) => state === "completed" || state === "cancelled"), states.join());
    assertEquals(await leftOver(db), NOTHING);
  }
});

Deno.test("retry() of a caller against the cancelling of its callees", async () => {
  await using db = await testDatabase();
  await using two = clients(db, 2);
  const [first, second] = two.each as [postgres.Sql, postgres.Sql];
  const retry = (sql: postgres.Sql | postgres.TransactionSql, id: number) => sql`SELECT firefly.retry(${id}) AS done`;
  const [task] = await claimMany(db, 1);
  const [callee] = await callAndSuspend(db.store, task!);

  // The retry comes first: its callee is not cancelled any more.
  await db.sql`SELECT firefly.cancel(${task!.id})`;
  const kept = await whileOpen(
    first,
    (open) => retry(open, task!.id),
    () => untilHeldUp(db, () => releaseTasks(tagOfClient(second), [task!.id])),
  );
  assertEquals(await kept.done, { released: 0, cancelled: 0, again: true });
  assertEquals(await releaseAll(db.store), { released: 0, cancelled: 0 });
  assertEquals(await statesOf(db, [task!.id, callee!]), ["ready", "ready"]);

  // The cancelling comes first: the retry waits for it, and retries what it has cancelled.
  await db.sql`SELECT firefly.cancel(${task!.id})`;
  const retried = await whileOpen(
    first,
    (open) => releaseTasks(tagOfClient(open), [task!.id]),
    () => untilHeldUp(db, () => retry(second, task!.id)),
  );
  await retried.done;
  assertEquals(await statesOf(db, [task!.id, callee!]), ["ready", "ready"]);
  await releaseAll(db.store);
  assertEquals(await statesOf(db, [task!.id, callee!]), ["ready", "ready"]);
});

Deno.test("retry() of a caller sees its callee end at that moment", async () => {
  await using db = await testDatabase();
  await using one = clients(db, 1);
  const consumerId = await startConsumer(db);
  const [task] = await claimMany(db, 1);
  const [callee] = await callAndSuspend(db.store, task!);
  await db.sql`UPDATE firefly.task SET status = 'failed' WHERE id = ${task!.id}`;
  await releaseAll(db.store);
  await db.sql`SELECT firefly.retry(${callee!})`;

  // The retry has seen a callee that runs, and has not committed when that ends and is told.
  await whileOpen(one.each[0]!, (open) => open`SELECT firefly.retry(${task!.id})`, async () => {
    await end(db.sql, [callee!]);
    await releaseAll(db.store);
  });
  await releaseAll(db.store);

  const { tasks: [again] } = await claim(db, { consumerId });
  assertEquals(await suspendHeld(db.store, { ...suspension(again!, []), awaits: AWAITS_CALL }), "created");
  assertEquals(await statesOf(db, [task!.id]), ["ready"]);
  assertEquals(await leftOver(db), NOTHING);
});
