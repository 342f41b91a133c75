import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { explainTask } from "../../src/store/explain.ts";
import { cancelGraph, readGraph, readLateDependencies } from "../../src/store/dependencies.ts";
import { pruneTasks } from "../../src/store/prune.ts";
import { requeueUnplaced } from "../../src/store/unplaced.ts";
import { countStates } from "../../src/store/record_counts.ts";
import { findPlaced } from "../../src/store/placed.ts";
import { scheduleUnique } from "../../src/store/schedule.ts";
import { suspendTasks } from "../../src/store/suspend.ts";
import { claimMany } from "../support/claiming.ts";
import { testDatabase } from "../support/database.ts";
import { end, releaseAll, scheduleGraph, statesOf } from "../support/dependencies.ts";
import { recordOf, withoutTriggers } from "../support/records.ts";
import { callAndSuspend, suspend, suspension, waitOf } from "../support/suspended.ts";
import { uniqueTask } from "../support/unique.ts";

Deno.test("explain() says what a suspended task waits for, and the view wait lists it", async () => {
  await using db = await testDatabase();
  const [task, caller] = await claimMany(db, 2);
  await suspend(
    db.store,
    task!,
    { name: "approved", kind: "signal" },
    { name: "nap", due: 7200 },
    { name: "charge", kind: "step", failures: 2, due: 3600, error: '{"name":"StripeError","message":"no"}' },
  );
  const callees = await callAndSuspend(db.store, caller!, { count: 7 });
  await end(db.sql, [callees[0]!]);

  const explanation = (await explainTask(db.store, task!.id))!;
  const reasons = explanation.reasons.filter(({ reason }) => reason !== "no_consumer");
  assertEquals(explanation.status, "created");
  assertEquals(reasons.map(({ reason }) => reason), ["step_retry", "sleeping", "signal"]);
  const [retry, nap, signal] = reasons;
  assert(retry?.reason === "step_retry" && nap?.reason === "sleeping" && signal?.reason === "signal");
  assertEquals([retry.name, retry.failures, retry.error!.name], ["charge", 2, "StripeError"]);
  assertStringIncludes(retry.message, ", after StripeError: no");
  assertEquals([nap.name, nap.until > nap.since], ["nap", true]);
  assertEquals([signal.name, signal.until, signal.since instanceof Date], ["approved", null, true]);
  assertStringIncludes(signal.message, 'It waits for the signal "approved" since ');

  const [calls] = (await explainTask(db.store, caller!.id))!.reasons;
  assert(calls?.reason === "calls");
  const [, a, b, c, d, e] = callees;
  assertEquals(calls.message, `It waits for 6 of 7 tasks that it called: ${[a, b, c, d, e].join(", ")}, …`);
  assertEquals([calls.open, calls.of, calls.tasks.length, calls.tasks[0]!.taskId], [6, 7, 6, callees[1]]);
  await end(db.sql, callees);
  const [released] = (await explainTask(db.store, caller!.id))!.reasons;
  assertEquals([released!.reason, released!.message], [
    "released",
    "All 7 tasks that it called have ended: a consumer is about to release it",
  ]);

  const rows = await db.sql`
    SELECT task_id::int AS id, func_name, kind, name, key, until IS NULL AS forever, callees IS NOT NULL AS calls
    FROM firefly.wait ORDER BY task_id, until, name
  `;
  assertEquals(rows.map((row) => Object.values(row)), [
    [task!.id, "test.task", "step", "charge", "", false, false],
    [task!.id, "test.task", "sleep", "nap", "", false, false],
    [task!.id, "test.task", "signal", "approved", "", true, false],
    [caller!.id, "test.task", "call", "test.task", "", true, true],
  ]);
});

Deno.test("lists and counts show suspended tasks, and the clock makes them ready", async () => {
  await using db = await testDatabase();
  const tasks = await claimMany(db, 3);
  const [forever, timed, due] = tasks;
  await suspend(db.store, forever!, { name: "s", kind: "signal" });
  await suspend(db.store, timed!, { due: 60 });
  await suspend(db.store, due!, { due: 60 });
  await withoutTriggers(db, async (sql) => {
    await sql`UPDATE firefly.waiting SET not_before = now() - interval '1 s' WHERE id = ${due!.id}`;
  });
  const ids = tasks.map(({ id }) => id);

  assertEquals(await statesOf(db, ids), ["suspended", "suspended", "ready"]);
  assertEquals(
    await findPlaced(db.store, {}, { states: ["suspended"], limit: 10, before: null }),
    [timed!.id, forever!.id],
  );
  for (const large of [0, undefined]) {
    const { suspended, created, delayed } = (await countStates(db.store, large === 0 ? { large } : {})).get("default")!;
    assertEquals([suspended, created, delayed], [2, 3, 0]);
  }
});

Deno.test("a suspended task is not run early, nor given other arguments, and one that is moved or edited runs again", async () => {
  await using db = await testDatabase();
  const [{ id: uniqueId }] = (await scheduleUnique(db.store, [uniqueTask("k")])) as unknown as [{ id: string }];
  const tasks = await claimMany(db, 3);
  const [unique, moved, edited] = tasks;
  assertEquals(unique!.id, Number(uniqueId));
  for (const task of tasks) await suspend(db.store, task, { due: 3600 }, { name: "s", kind: "signal", due: 3600 });

  const [run] = await db.sql`SELECT firefly.run(${unique!.id}) AS done, firefly._run(${unique!.id}) AS reason`;
  assertEquals([run!.done, run!.reason], [false, "suspended"]);
  const [kept] = await scheduleUnique(db.store, [uniqueTask("k", { params: "WzFd", on_conflict: "replace" })]);
  assertEquals([kept!.inserted, (await recordOf(db, unique!.id)).params], [false, "W10="]);

  await db.sql`SELECT firefly.reschedule(${moved!.id}, priority => 7, not_before => now())`;
  await withoutTriggers(db, (sql) => sql`UPDATE firefly.task SET claim_seq = 9 WHERE id = ${edited!.id}`);
  assertEquals(await statesOf(db, tasks.map(({ id }) => id)), ["suspended", "ready", "unplaced"]);
  assertEquals((await requeueUnplaced(db.store, 0)).placed, 1);
  const { state } = (await db.sql`SELECT state FROM firefly.task_record WHERE id = ${edited!.id}`)[0]!;
  assertEquals(state, "retrying"); // it runs at the time at which it would have been woken
});

Deno.test("a dependency does not cancel or count for the caller, and the end of a callee not for the dependant", async () => {
  await using db = await testDatabase();
  const [root, dependant] = await scheduleGraph(db.store, [[], [{ ref: 0, settled: true }]]);
  await end(db.sql, [root!], "failed");
  await releaseAll(db.store);
  const { tasks: [task] } = { tasks: await claimMany(db, 1) };
  assertEquals(task!.id, dependant);
  const [callee] = await callAndSuspend(db.store, task!);

  // The dependency and the dependant are retried: it waits for the former again, while its callee is open.
  await db.sql`SELECT firefly.cancel(${dependant!})`;
  await db.sql`SELECT firefly.retry(${root!})`;
  await db.sql`SELECT firefly.retry(${dependant!})`;
  assertEquals((await waitOf(db, dependant!))!.pending, 1);
  await end(db.sql, [callee!]);
  await releaseAll(db.store);
  assertEquals(await statesOf(db, [dependant!]), ["dependent"]);
  assertEquals(await readLateDependencies(db.store), { untold: 0, miscounted: [] });
  await end(db.sql, [root!]);
  assertEquals(await releaseAll(db.store), { released: 1, cancelled: 0 });
  assertEquals(await statesOf(db, [dependant!]), ["ready"]);
});

Deno.test("graph() and mermaid() have the callees of a task, and cancelGraph() cancels them", async () => {
  await using db = await testDatabase();
  const [before, caller] = await scheduleGraph(db.store, [[], [{ ref: 0 }]]);
  await end(db.sql, [before!]);
  await releaseAll(db.store);
  const [task] = await claimMany(db, 1);
  assertEquals(task!.id, caller);
  const [one, two] = await callAndSuspend(db.store, task!, { count: 2 });

  const graph = await readGraph(db.store, one!);

  assertEquals(graph.map(({ id, dependencies, called_by }) => [id, dependencies, called_by]), [
    [before!, [], null],
    [caller!, [before!], null],
    [one!, [], caller!],
    [two!, [], caller!],
  ]);
  const [chart] = await db.sql`SELECT firefly.mermaid(${caller!}) AS text`;
  assertEquals(chart!.text.split("\n").slice(-3), [
    `  t${before} --> t${caller}`,
    `  t${caller} -.-> t${one}`,
    `  t${caller} -.-> t${two}`,
  ]);
  assertEquals(await cancelGraph(db.store, two!), [caller!, one!, two!]);
});

Deno.test("pruneTasks() keeps callees until their caller has completed, and then deletes steps, calls and signals", async () => {
  await using db = await testDatabase();
  const [completes, fails] = await claimMany(db, 2);
  const [ofCompleted] = await callAndSuspend(db.store, completes!);
  const [ofFailed] = await callAndSuspend(db.store, fails!);
  await db.sql`SELECT firefly.signal(${completes!.id}, 's')`;
  await end(db.sql, [ofCompleted!, ofFailed!]);
  await releaseAll(db.store);
  const prune = () => pruneTasks(db.store, { after: 0, retention: { completed: 0, failed: 3600 } });
  await db.sql`UPDATE firefly.task SET completed = now() - interval '1 h' WHERE id IN (${ofCompleted!}, ${ofFailed!})`;
  assertEquals((await prune()).pruned, 0);

  await end(db.sql, [completes!.id]);
  await end(db.sql, [fails!.id], "failed");
  await db.sql`UPDATE firefly.task SET completed = now() - interval '1 h' WHERE id = ${completes!.id}`;
  await db.sql`UPDATE firefly.task SET failed = now() WHERE id = ${fails!.id}`;
  await prune();
  await prune();
  await releaseAll(db.store);

  assertEquals(await statesOf(db, [completes!.id, ofCompleted!, fails!.id, ofFailed!]), [
    "gone",
    "gone",
    "failed",
    "completed",
  ]);
  const [left] = await db.sql`
    SELECT (SELECT count(*)::int FROM firefly.step) AS steps, (SELECT count(*)::int FROM firefly.signal) AS signals,
      (SELECT count(*)::int FROM firefly.dependency) AS edges, (SELECT count(*)::int FROM firefly.ended) AS ended
  `;
  assertEquals({ ...left }, { steps: 1, signals: 0, edges: 1, ended: 0 });
});

Deno.test("suspendTasks() of a task whose callees were deleted lets it go on", async () => {
  await using db = await testDatabase();
  const [task] = await claimMany(db, 1);
  const callees = await callAndSuspend(db.store, task!, { count: 2 });
  await db.sql`DELETE FROM firefly.task WHERE id = ANY (${callees})`;
  await releaseAll(db.store);
  assertEquals(await statesOf(db, [task!.id]), ["ready"]);
  const [again] = await claimMany(db, 1);
  assertEquals(again!.id, task!.id);
  const awaits = [{ name: "test.task", key: "" }];
  await suspendTasks(db.store, [{ ...suspension(again!, []), awaits }]);
  assertEquals(await statesOf(db, [task!.id]), ["ready"]);
});
