import { assertEquals } from "@std/assert";
import { callTasks } from "../../src/store/calls.ts";
import { releaseTasks } from "../../src/store/dependencies.ts";
import { suspendTasks } from "../../src/store/suspend.ts";
import { claimOne, startConsumer } from "../support/claiming.ts";
import { testDatabase } from "../support/database.ts";
import { newStep, newWait } from "../support/new_step.ts";
import { newTask } from "../support/new_task.ts";
import { insertTask, recordOf } from "../support/records.ts";
import { suspension, waitOf } from "../support/suspended.ts";

/** A unique key that is free while its task runs. */
const UNIQUE = { unique_key: "k", unique_among: ["created"] };

Deno.test("suspendTasks() takes the unique key again that was free while the task ran", async () => {
  await using db = await testDatabase();
  const id = await insertTask(db, UNIQUE);
  const task = await claimOne(db, await startConsumer(db));
  assertEquals((await db.sql`SELECT FROM firefly.unique_key`).count, 0);

  await suspendTasks(db.store, [suspension(task, [{ name: "nap", due: 60 }])]);

  const [held] = await db.sql`SELECT task_id::int, until FROM firefly.unique_key`;
  assertEquals({ ...held }, { task_id: id, until: null });
});

Deno.test("suspendTasks() fails a task whose unique key a duplicate has by now, as a retry does", async () => {
  await using db = await testDatabase();
  const id = await insertTask(db, UNIQUE);
  const task = await claimOne(db, await startConsumer(db));
  const duplicate = await insertTask(db, UNIQUE);

  const suspended = await suspendTasks(
    db.store,
    [suspension(task, [{ name: "nap", due: 60 }], [newStep({ name: "before" })])],
    [task.batchId],
  );

  assertEquals(suspended, new Map([[id, "failed" as const]]));
  const { status, errors } = await recordOf(db, id);
  assertEquals([status, (errors as { name: string }[]).map(({ name }) => name)], ["failed", ["TaskExists"]]);
  assertEquals(
    (await db.sql`SELECT name FROM firefly.step WHERE task_id = ${id} ORDER BY seq`).map(({ name }) => name),
    [
      "before",
      "nap",
    ],
  );
  assertEquals((await db.sql`SELECT task_id::int FROM firefly.failed_task`).map(({ task_id }) => task_id), [id]);
  assertEquals((await db.sql`SELECT FROM firefly.claim_batch`).count, 0);
  assertEquals((await recordOf(db, duplicate)).status, "created");
});

Deno.test("callTasks() makes a callee of its own of two equal tasks, which is cancelled with the caller", async () => {
  await using db = await testDatabase();
  await insertTask(db);
  const caller = await claimOne(db, await startConsumer(db));
  const unique = {
    ...newTask({ func_name: "test.callee" }),
    unique_key: "k",
    unique_among: null,
    on_conflict: "keep" as const,
  };
  const callees = await callTasks(db.store, {
    id: caller.id,
    claimSeq: caller.claimSeq,
    step: newWait({ kind: "call", name: "c" }),
    steps: [],
    tasks: [unique, unique] as never,
  });
  assertEquals(new Set(callees).size, 1);

  await db.sql`SELECT firefly.cancel(${caller.id})`;
  await releaseTasks(db.store, null);

  assertEquals((await recordOf(db, callees![0]!)).status, "cancelled");
});

Deno.test("callTasks() does not wait for a duplicate whose record is gone, and only its key is left", async () => {
  await using db = await testDatabase();
  await db
    .sql`INSERT INTO firefly.unique_key (func_name, key, task_id, until) VALUES ('test.callee', 'k', 4711, now() + interval '1 hour')`;
  await insertTask(db);
  const caller = await claimOne(db, await startConsumer(db));
  const unique = {
    ...newTask({ func_name: "test.callee" }),
    unique_key: "k",
    unique_among: null,
    on_conflict: "keep" as const,
  };
  const step = newWait({ kind: "call", name: "c" });
  const call = { id: caller.id, claimSeq: caller.claimSeq, step, steps: [], tasks: [unique] as never };
  assertEquals(await callTasks(db.store, call), [4711]);

  await suspendTasks(db.store, [{ ...suspension(caller, []), awaits: [{ name: "c", key: "" }] }]);

  assertEquals(await waitOf(db, caller.id), undefined);
  assertEquals((await db.sql`SELECT status FROM firefly.dependency`).map(({ status }) => status), ["deleted"]);
});
