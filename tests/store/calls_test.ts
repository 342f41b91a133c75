import { assert, assertEquals, assertRejects } from "@std/assert";
import { TaskExists } from "../../src/errors.ts";
import { callTasks, readCallees } from "../../src/store/calls.ts";
import { readSteps } from "../../src/store/steps.ts";
import { suspendTasks } from "../../src/store/suspend.ts";
import { claimMany, claimOne, startConsumer } from "../support/claiming.ts";
import { testDatabase } from "../support/database.ts";
import { end, leftOver, releaseAll, statesOf } from "../support/dependencies.ts";
import { newStep, newWait } from "../support/new_step.ts";
import { newTask } from "../support/new_task.ts";
import { recordOf } from "../support/records.ts";
import { callAndSuspend, suspension, waitOf } from "../support/suspended.ts";

Deno.test("callTasks() schedules tasks and stores the call with them, both or nothing", async () => {
  await using db = await testDatabase();
  const [task] = await claimMany(db, 1);
  const { id, claimSeq } = task!;
  const step = newWait({ kind: "call", name: "test.task" });
  const call = { id, claimSeq, step, steps: [newStep({ name: "before" })], tasks: [newTask(), newTask()] };

  const callees = await callTasks(db.store, call);
  assert(callees);
  assertEquals(await callTasks(db.store, call), null); // another attempt with the same fence
  assertEquals(await callTasks(db.store, { ...call, claimSeq: 7, step: { ...step, key: "2" } }), null);

  const { steps } = await readSteps(db.store, id);
  assertEquals(steps.map(({ name, kind, status, callees }) => [name, kind, status, callees]), [
    ["before", "step", "completed", null],
    ["test.task", "call", "waiting", callees],
  ]);
  const [count] = await db.sql`SELECT count(*)::int AS tasks FROM firefly.task`;
  assertEquals(count!.tasks, 3);
  assertEquals((await readCallees(db.store, callees)).map(({ id, status }) => [id, status]), [
    [callees[0], "created"],
    [callees[1], "created"],
  ]);
  // A caller depends on nothing: it has no dependencies that would keep it from running, or that it reads arguments of.
  assertEquals((await recordOf(db, id)).dependencies, null);
});

Deno.test("a caller is woken once, by the end of the last callee of a call, however they end", async () => {
  await using db = await testDatabase();
  const [task] = await claimMany(db, 1);
  const callees = await callAndSuspend(db.store, task!, { count: 4 });
  assertEquals((await waitOf(db, task!.id))!.pending, 4);
  assertEquals(await statesOf(db, [task!.id]), ["suspended"]);

  await end(db.sql, [callees[0]!, callees[1]!]);
  assertEquals(await releaseAll(db.store), { released: 0, cancelled: 0 });
  await end(db.sql, [callees[2]!], "failed");
  await db.sql`SELECT firefly.cancel(${callees[3]!})`;
  assertEquals(await releaseAll(db.store), { released: 1, cancelled: 0 });

  assertEquals(await statesOf(db, [task!.id]), ["ready"]);
  const rows = await readCallees(db.store, callees);
  assertEquals(rows.map(({ status, returned }) => [status, returned]), [
    ["completed", "MQ=="],
    ["completed", "MQ=="],
    ["failed", null],
    ["cancelled", null],
  ]);
  assert(rows.every(({ ended }) => ended !== null || rows[2]!.status === "failed"));
  assertEquals(await leftOver(db), { ended: 0, open: 0, pending: 0 });
});

Deno.test("a caller of two calls is woken when one of them is complete, and not before", async () => {
  await using db = await testDatabase();
  const [task] = await claimMany(db, 1);
  const { id, claimSeq } = task!;
  const calls: number[][] = [];
  for (const key of ["", "2"]) {
    const step = newWait({ kind: "call", name: "test.task", key });
    const tasks = [newTask(), newTask(), newTask()];
    calls.push((await callTasks(db.store, { id, claimSeq, step, steps: [], tasks }))!);
  }
  await suspendTasks(db.store, [{
    ...suspension(task!, []),
    awaits: ["", "2"].map((key) => ({ name: "test.task", key })),
  }]);
  const [one, two] = calls as [number[], number[]];

  await end(db.sql, [one[0]!, one[1]!, two[0]!]); // three ends, and no call is complete
  assertEquals(await releaseAll(db.store), { released: 0, cancelled: 0 });
  assertEquals((await waitOf(db, id))!.pending, 1);
  await end(db.sql, [two[1]!, two[2]!]);
  assertEquals(await releaseAll(db.store), { released: 1, cancelled: 0 });
  assertEquals(await statesOf(db, [id]), ["ready"]);
});

Deno.test("callees that have not ended are cancelled when their caller ends, however that is, and their callees with them", async () => {
  await using db = await testDatabase();
  const ends = {
    completed: (id: number) => end(db.sql, [id]),
    failed: (id: number) => end(db.sql, [id], "failed"),
    cancelled: (id: number) => db.sql`SELECT firefly.cancel(${id})`,
    edited: (id: number) => db.sql`UPDATE firefly.task SET status = 'failed' WHERE id = ${id}`,
    deleted: (id: number) => db.sql`DELETE FROM firefly.task WHERE id = ${id}`,
  };
  for (const [how, act] of Object.entries(ends)) {
    const [task] = await claimMany(db, 1);
    const [done, open] = await callAndSuspend(db.store, task!, { count: 2 });
    await end(db.sql, [done!]);
    const callee = await claimOne(db, await startConsumer(db));
    const [inner] = await callAndSuspend(db.store, callee);

    await act(task!.id);
    assertEquals((await releaseAll(db.store)).cancelled, 2, how);

    assertEquals(await statesOf(db, [done!, open!, inner!]), ["completed", "cancelled", "cancelled"], how);
    assertEquals(await leftOver(db), { ended: 0, open: 0, pending: 0 }, how);
    if (how === "deleted") {
      assertEquals((await db.sql`SELECT FROM firefly.dependency WHERE task_id = ${task!.id}`).count, 0);
    }
  }
});

Deno.test("a callee that was there before its call is waited for, and outlives the caller", async () => {
  await using db = await testDatabase();
  const unique = { unique_key: "k", unique_among: null, unique_for: null, on_conflict: "keep" as const };
  const [first, second, third] = await claimMany(db, 3);
  const [mine] = await callAndSuspend(db.store, first!, { tasks: [newTask(unique)] });
  const [same] = await callAndSuspend(db.store, second!, { tasks: [newTask(unique)] });
  assertEquals(same, mine);

  await db.sql`SELECT firefly.cancel(${first!.id})`; // another caller still waits for it
  await releaseAll(db.store);
  assertEquals(await statesOf(db, [mine!, second!.id]), ["ready", "suspended"]);

  const step = newWait({ kind: "call", name: "test.task" });
  const refused = { id: third!.id, claimSeq: third!.claimSeq, step, steps: [newStep({ name: "before" })] };
  const error = await assertRejects(
    () => callTasks(db.store, { ...refused, tasks: [newTask(), newTask({ ...unique, on_conflict: "error" })] }),
    TaskExists,
  );
  assertEquals([error.id, error.key], [mine, "k"]);
  assertEquals((await readSteps(db.store, third!.id)).steps, []);

  await end(db.sql, [mine!]);
  assertEquals((await releaseAll(db.store)).released, 1);
  assertEquals(await statesOf(db, [second!.id]), ["ready"]);
});

Deno.test("firefly.retry() of a caller retries the callees that did not complete and are still awaited", async () => {
  await using db = await testDatabase();
  const [task] = await claimMany(db, 1);
  const callees = await callAndSuspend(db.store, task!, { count: 3 });
  await end(db.sql, [callees[0]!]);
  await end(db.sql, [callees[1]!], "failed");
  await releaseAll(db.store);
  await db.sql`SELECT firefly.cancel(${task!.id})`;
  await releaseAll(db.store);
  assertEquals(await statesOf(db, callees), ["completed", "failed", "cancelled"]);

  const [retried] = await db.sql`SELECT firefly.retry(${task!.id}) AS done`;
  await releaseAll(db.store);

  assertEquals(retried!.done, true);
  assertEquals(await statesOf(db, [task!.id, ...callees]), ["ready", "completed", "ready", "ready"]);
  // It goes on with the call that it has stored.
  const again = await claimOne(db, await startConsumer(db));
  assertEquals(again.id, task!.id);
  await suspendTasks(db.store, [{ ...suspension(again, []), awaits: [{ name: "test.task", key: "" }] }]);
  assertEquals((await waitOf(db, task!.id))!.pending, 2);
  await end(db.sql, callees);
  assertEquals((await releaseAll(db.store)).released, 1);
  assertEquals(await leftOver(db), { ended: 0, open: 0, pending: 0 });
});
