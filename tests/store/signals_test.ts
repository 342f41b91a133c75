import { assertEquals } from "@std/assert";
import { sendSignal } from "../../src/store/signals.ts";
import { readSteps, storeStep, storeSteps } from "../../src/store/steps.ts";
import { claimMany } from "../support/claiming.ts";
import { testDatabase } from "../support/database.ts";
import { statesOf } from "../support/dependencies.ts";
import { newStep } from "../support/new_step.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { suspend, waitOf } from "../support/suspended.ts";

Deno.test("sendSignal() wakes a task that waits for the signal, before its deadline, and no other", async () => {
  await using db = await testDatabase();
  const [forever, timed, limited, other] = await claimMany(db, 4);
  await suspend(db.store, forever!, { kind: "signal", name: "s" });
  await suspend(db.store, timed!, { kind: "signal", name: "s", due: 3600 });
  await db.sql`UPDATE firefly.task SET rate_key = 'k' WHERE id = ${limited!.id}`;
  await suspend(db.store, limited!, { kind: "signal", name: "s", due: 3600 });
  await suspend(db.store, other!, { kind: "signal", name: "t", due: 3600 }, { name: "nap", due: 60 });
  const ids = [forever, timed, limited, other].map((task) => task!.id);
  const [forBefore] = await Promise.all(ids.map((id) => recordOf(db, id)));

  for (const id of ids) assertEquals(await sendSignal(db.store, id, "s", "MQ=="), true);

  assertEquals(await statesOf(db, ids), ["ready", "ready", "limited", "suspended"]);
  const records = await Promise.all(ids.map((id) => recordOf(db, id)));
  // One that waited for no time keeps its place in the order; one that did is due from now on.
  assertEquals(records[0]!.not_before, forBefore!.not_before);
  assertEquals(records.slice(1, 3).map(({ not_before }) => (not_before as Date) <= new Date()), [true, true]);
  assertEquals((await readSteps(db.store, other!.id)).signals.map(({ name, payload }) => [name, payload]), [[
    "s",
    "MQ==",
  ]]);
  const cancelled = await db.sql`SELECT firefly.cancel(${timed!.id}) AS done`;
  assertEquals([cancelled[0]!.done, await waitOf(db, timed!.id)], [true, undefined]);
  assertEquals((await db.sql`SELECT FROM firefly._ready_task WHERE id = ${timed!.id}`).count, 0);
});

Deno.test("sendSignal() finds the task by its unique key, and none that has ended", async () => {
  await using db = await testDatabase();
  const id = await insertTask(db, { unique_key: "42" });
  const key = { funcName: "test.task", uniqueKey: "42" };

  assertEquals(await sendSignal(db.store, key, "s", null), true);
  assertEquals((await readSteps(db.store, id)).signals.map(({ payload }) => payload), [null]);
  assertEquals(await sendSignal(db.store, { ...key, uniqueKey: "43" }, "s", null), false);
  await db.sql`SELECT firefly.cancel(${id})`;
  assertEquals(await sendSignal(db.store, key, "s", null), false);
  assertEquals(await sendSignal(db.store, id, "s", null), false);
  assertEquals(await sendSignal(db.store, 12345, "s", null), false);
});

Deno.test("firefly.signal() and signal_by_key() encode their payload, and join the caller's transaction", async () => {
  await using db = await testDatabase();
  const id = await insertTask(db, { unique_key: "42" });
  await db.sql.begin(async (sql) => {
    await sql`SELECT firefly.signal(${id}, 'a', '{"by": "Ada"}')`;
    await sql`ROLLBACK TO SAVEPOINT none`.catch(() => {});
  }).catch(() => {});
  assertEquals((await readSteps(db.store, id)).signals, []);

  await db.sql`SELECT firefly.signal(${id}, 'a', '{"by": "Ada"}')`;
  await db.sql`SELECT firefly.signal(${id}, 'b')`;
  await db.sql`SELECT firefly.signal_by_key('test.task', '42', 'c', '[1]')`;

  const rows = await db.sql`SELECT name, firefly.decode(payload) AS payload FROM firefly.signal ORDER BY id`;
  assertEquals(rows.map(({ name, payload }) => [name, payload]), [["a", { by: "Ada" }], ["b", null], ["c", [1]]]);
});

Deno.test("a signal is deleted with the step that received it, and with its task", async () => {
  await using db = await testDatabase();
  const [task] = await claimMany(db, 1);
  const { id, claimSeq } = task!;
  for (const name of ["s", "s", "s", "t"]) await sendSignal(db.store, id, name, null);
  const [first, second] = (await readSteps(db.store, id)).signals;
  const received = (signal: number, key: string) => newStep({ kind: "signal", name: "s", key, received: signal });

  const stored = await storeSteps(db.store, [
    { id, claimSeq, step: newStep({ name: "after", seq: 2 }), failures: [received(first!.id, "")] },
    { id, claimSeq: claimSeq + 1, step: newStep({ name: "lost", received: second!.id }), failures: [] },
  ]);
  assertEquals(stored, [true, false]);
  assertEquals((await readSteps(db.store, id)).signals.map(({ name }) => name), ["s", "s", "t"]);
  await storeStep(db.store, { id, claimSeq, step: received(second!.id, "2"), failures: [] });
  assertEquals((await readSteps(db.store, id)).signals.map(({ name }) => name), ["s", "t"]);

  await db.sql`DELETE FROM firefly.task WHERE id = ${id}`;
  assertEquals((await db.sql`SELECT FROM firefly.signal`).count, 0);
});

Deno.test("a suspended task that is deleted or truncated leaves no place behind", async () => {
  await using db = await testDatabase();
  const [one, two] = await claimMany(db, 2);
  for (const task of [one, two]) await suspend(db.store, task!, { kind: "signal", name: "s" });
  await db.sql`DELETE FROM firefly.task WHERE id = ${one!.id}`;
  assertEquals(await waitOf(db, one!.id), undefined);
  await db.sql`TRUNCATE firefly.task`;
  assertEquals(await waitOf(db, two!.id), undefined);
});
