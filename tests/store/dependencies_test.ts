import { completeTask, completeTasks } from "../../src/store/complete.ts";
import { settleTasks } from "../../src/store/settle.ts";
import { assert, assertEquals, assertObjectMatch, assertRejects } from "@std/assert";
import { cancelGraph, readGraph, readResults, releaseTasks } from "../../src/store/dependencies.ts";
import { cancelTasks, deleteTasks } from "../../src/store/bulk.ts";
import { requeueUnplaced } from "../../src/store/unplaced.ts";
import { scheduleUnique } from "../../src/store/schedule.ts";
import { promoteDueTasks } from "../../src/store/waiting.ts";
import { claim, claimOne, startConsumer } from "../support/claiming.ts";
import { testDatabase } from "../support/database.ts";
import { end, leftOver, releaseAll, scheduleGraph, statesOf } from "../support/dependencies.ts";
import { newTask } from "../support/new_task.ts";
import { settle } from "../support/settling.ts";
import { uniqueTask } from "../support/unique.ts";

const NOTHING = { ended: 0, open: 0, pending: 0 };

Deno.test("_schedule() lets a task wait for those before it in the call and for ids, and shows that in its record", async () => {
  await using db = await testDatabase();
  const [a] = await scheduleGraph(db.store, [[]]);
  const [b, c] = await scheduleGraph(db.store, [[], [{ ref: 0 }, { id: a! }]]);

  assertEquals(await statesOf(db, [a!, b!, c!]), ["ready", "ready", "dependent"]);
  const [row] = await db.sql`SELECT dependencies FROM firefly.task_record WHERE id = ${c!}`;
  assertEquals(row!.dependencies, 2);
  await end(db.sql, [b!]);
  assertEquals(await releaseTasks(db.store, [b!]), { released: 0, cancelled: 0, again: false });
  assertEquals(await statesOf(db, [c!]), ["dependent"]);
  await end(db.sql, [a!]);
  assertEquals(await releaseTasks(db.store, [a!]), { released: 1, cancelled: 0, again: false });
  assertEquals(await statesOf(db, [c!]), ["ready"]);
  assertEquals(await leftOver(db), NOTHING);
});

Deno.test("_schedule() refuses a dependency that does not exist, comes later, or is none, and schedules nothing", async () => {
  await using db = await testDatabase();
  const cases: [unknown, string, RegExp][] = [
    [[{ id: 99 }], "23503", /Cannot depend on task 99 as there is no such task/],
    [[{ ref: 1 }], "22023", /only on the id of a task, or on one before it/],
    [[{ ref: 0, id: 1 }], "22023", /only on the id of a task, or on one before it/],
    [[{ ref: -1 }], "22023", /only on the id/],
    [[null], "22023", /only on the id/],
    [[{}], "22023", /current value is \{\}/],
  ];
  for (const [depends, code, message] of cases) {
    const error = await assertRejects(
      () => scheduleUnique(db.store, [newTask(), newTask({ depends: depends as never })]),
      Error,
    );
    assertEquals((error as { code?: string }).code, code, error.message);
    assert(message.test(error.message), error.message);
  }
  const [row] = await db.sql`SELECT count(*)::int AS n FROM firefly.task`;
  assertEquals(row!.n, 0);
});

Deno.test("a task does not wait for one that has completed, and any end will do where it is settled", async () => {
  await using db = await testDatabase();
  const [done, failed] = await scheduleGraph(db.store, [[], []]);
  await end(db.sql, [done!]);
  await end(db.sql, [failed!], "failed");

  const ids = await scheduleGraph(db.store, [[{ id: done! }], [{ id: failed!, settled: true }], [{ id: failed! }]]);

  assertEquals(await statesOf(db, ids), ["ready", "ready", "dependent"]);
  assertEquals(await releaseAll(db.store), { released: 0, cancelled: 1 });
  assertEquals(await statesOf(db, ids), ["ready", "ready", "cancelled"]);
  assertEquals(await leftOver(db), NOTHING);
});

Deno.test("readResults() reads how dependencies ended, in the order of their places", async () => {
  await using db = await testDatabase();
  const [a, b, c, d] = await scheduleGraph(db.store, [[], [], [], [
    { ref: 1, settled: true },
    { ref: 0 },
    { ref: 2, settled: true },
  ]]);
  await end(db.sql, [a!]);
  const consumerId = await startConsumer(db);
  await settle(db, await claimOne(db, consumerId), { status: "failed", returned: null, error: '{"name":"E"}' });
  await db.sql`SELECT firefly.cancel(${c!})`;
  await releaseAll(db.store);
  await deleteTasks(db.store, [{ id: c!, claimSeq: null }]);

  const rows = await readResults(db.store, [{ id: d!, count: 3 }]);

  const hasEnded = ({ ended, status }: typeof rows[0]) => (ended !== null) === (status !== "deleted");
  assert(rows.every(hasEnded));
  assertEquals(rows.map(({ func_name }) => func_name), ["test.task", "test.task", null]);
  assertEquals(rows.map(({ queue }) => queue), ["default", "default", null]);
  // Results of others are not read.
  assertEquals((await readResults(db.store, [{ id: d!, count: 2 }])).length, 2);
  assertEquals(
    rows.map(({ error, func_name: _, queue: __, ended: ___, ...row }) => ({ ...row, error: error?.name ?? null })),
    [
      { task_id: d!, ordinal: 0, dependency_id: b!, settled: true, status: "failed", returned: null, error: "E" },
      {
        task_id: d!,
        ordinal: 1,
        dependency_id: a!,
        settled: false,
        status: "completed",
        returned: "MQ==",
        error: null,
      },
      { task_id: d!, ordinal: 2, dependency_id: c!, settled: true, status: "deleted", returned: null, error: null },
    ],
  );
  // Any end did, and the dependant was told one: a retry does not take it back.
  await db.sql`SELECT firefly.retry(${b!})`;
  assertObjectMatch((await readResults(db.store, [{ id: d!, count: 3 }]))[0]!, { status: "failed" });
});

Deno.test("a released task waits for its time and its limits as any other", async () => {
  await using db = await testDatabase();
  const [a] = await scheduleGraph(db.store, [[]]);
  const [later] = await scheduleGraph(db.store, [[{ id: a! }]], { delay: 3600 });
  const [limited] = await scheduleGraph(db.store, [[{ id: a! }]], { concurrency_key: "k" });
  const [rated] = await scheduleGraph(db.store, [[{ id: a! }]], { rate_key: "r" });
  await db.sql`UPDATE firefly.waiting SET not_before = not_before`; // no column of it is lost below
  assertEquals(await statesOf(db, [later!, limited!, rated!]), ["dependent", "dependent", "dependent"]);
  assertEquals(await promoteDueTasks(db.store, ["default"]), { moved: 0, concurrencyKeys: [], rateKeys: [] });

  await end(db.sql, [a!]);
  assertEquals(await releaseTasks(db.store, [a!]), { released: 3, cancelled: 0, again: false });

  assertEquals(await statesOf(db, [later!, limited!, rated!]), ["delayed", "limited", "limited"]);
  const { concurrencyKeys, rateKeys } = await promoteDueTasks(db.store, ["default"]);
  assertEquals([concurrencyKeys, rateKeys], [["k"], ["r"]]);
});

Deno.test("the dependants of one task are released as runs, 5,000 a call", async () => {
  await using db = await testDatabase();
  const [first, ...ids] = await scheduleGraph(db.store, [[], ...Array.from({ length: 6_000 }, () => [{ ref: 0 }])]);
  await end(db.sql, [first!]);

  assertEquals(await releaseTasks(db.store, [first!]), { released: 5000, cancelled: 0, again: true });
  assertEquals(await releaseTasks(db.store, null), { released: 1000, cancelled: 0, again: false });

  const [row] = await db.sql`SELECT count(*)::int AS runs, sum(length)::int AS tasks FROM firefly.ready`;
  assertEquals(row!.tasks, ids.length);
  assert(row!.runs < 100, `${row!.runs} runs`);
  assertEquals(await leftOver(db), NOTHING);
});

Deno.test("a duplicate keeps its own dependencies, and is depended on as it is", async () => {
  await using db = await testDatabase();
  const [a] = await scheduleGraph(db.store, [[]]);
  const [held] = await scheduleUnique(db.store, [uniqueTask("k", { depends: [{ id: a! }] })]);

  const [b, again, on] = await scheduleUnique(db.store, [
    newTask(),
    uniqueTask("k", { depends: [{ ref: 0 }] }),
    newTask({ depends: [{ ref: 1 }] }),
  ]);

  assertEquals([again!.id, again!.inserted], [held!.id, false]);
  const edges = await db.sql`SELECT task_id, dependency_id FROM firefly.dependency ORDER BY task_id`;
  assertEquals(edges.map((edge) => [edge.task_id, edge.dependency_id].map(Number)), [
    [Number(held!.id), a!],
    [Number(on!.id), Number(held!.id)],
  ]);
  await assertRejects(
    () => scheduleUnique(db.store, [newTask(), uniqueTask("k", { on_conflict: "replace", depends: [{ ref: 0 }] })]),
    Error,
    'with dependencies and on_conflict "replace"',
  );
  await end(db.sql, [a!, Number(b!.id)]);
  await releaseAll(db.store);
  await end(db.sql, [Number(held!.id)]);
  await releaseAll(db.store);
  assertEquals(await statesOf(db, [Number(on!.id)]), ["ready"]);
});

Deno.test("a dependant that is moved, or that a hand leaves without a place, still waits", async () => {
  await using db = await testDatabase();
  const [a, b, c] = await scheduleGraph(db.store, [[], [], [{ ref: 0 }, { ref: 1 }]]);
  await end(db.sql, [a!]);
  await releaseAll(db.store);

  await db.sql`SELECT firefly.reschedule(${c!}, priority => 5, queue => 'other')`;
  const [moved] = await db.sql`SELECT pending, priority, queue, reason FROM firefly.waiting WHERE id = ${c!}`;
  assertEquals({ ...moved }, { pending: 1, priority: 5, queue: "other", reason: "dependencies" });
  await db.sql`UPDATE firefly.task SET queue = 'default' WHERE id = ${c!}`;
  const [edited] = await db.sql`SELECT pending, queue FROM firefly.waiting WHERE id = ${c!}`;
  assertEquals({ ...edited }, { pending: 1, queue: "default" });
  await db.sql`DELETE FROM firefly.waiting`;
  assertEquals((await requeueUnplaced(db.store, 0)).placed, 1);
  assertEquals(await statesOf(db, [c!]), ["dependent"]);
  const [run] = await db.sql`SELECT firefly.run(${c!}) AS done, firefly._run(${c!}) AS reason`;
  assertEquals({ ...run }, { done: false, reason: "dependencies" });

  await end(db.sql, [b!]);
  assertEquals(await releaseAll(db.store), { released: 1, cancelled: 0 });
  assertEquals(await statesOf(db, [c!]), ["ready"]);
});

Deno.test("the end of a dependency by hand is told, and so is that of one that was cancelled", async () => {
  await using db = await testDatabase();
  const [a, b, onA, onB] = await scheduleGraph(db.store, [[], [], [{ ref: 0 }], [{ ref: 1 }]]);

  await db.sql`UPDATE firefly.task SET status = 'completed' WHERE id = ${a!}`;
  await cancelTasks(db.store, [{ id: b!, claimSeq: null }]);
  assertEquals(await releaseAll(db.store), { released: 1, cancelled: 1 });
  assertEquals(await statesOf(db, [onA!, onB!]), ["ready", "cancelled"]);

  await db.sql`UPDATE firefly.task SET status = 'created' WHERE id = ${b!}`;
  assertEquals(await statesOf(db, [b!, onB!]), ["ready", "dependent"]);
});

Deno.test("settleTasks() and completeTasks() name the tasks that have ended and on which others depend", async () => {
  await using db = await testDatabase();
  const consumerId = await startConsumer(db);
  const [a, , , , ...rest] = await scheduleGraph(db.store, [[], [], [], [], [{ ref: 0 }], [{ ref: 1 }], [{ ref: 2 }]]);
  const { tasks } = await claim(db, { consumerId });
  const outcome = (i: number) => ({ id: tasks[i]!.id, claimSeq: tasks[i]!.claimSeq, returned: null });
  const began = performance.now();
  const named: number[] = [];
  const onDependencies = (ids: number[]) => void named.push(...ids);

  await completeTasks(db.store, [{ ...outcome(0), began }, { ...outcome(3), began }], [], null, onDependencies);
  assertEquals(named, [a!]);
  const rest1 = { error: null, began, delay: null, counts: null } as const;
  await settleTasks(db.store, [{ ...outcome(1), ...rest1, status: "created" }], [], null, onDependencies);
  assertEquals(named, [a!]);
  await settleTasks(db.store, [{ ...outcome(2), ...rest1, status: "failed" }], [], null, onDependencies);
  assertEquals(named, [a!, tasks[2]!.id]);
  const [again] = (await claim(db, { consumerId })).tasks;
  const ended = { id: again!.id, claimSeq: again!.claimSeq, returned: null, began };
  assertEquals(await completeTask(db.store, ended, null), true);
  await releaseAll(db.store);
  assertEquals(await statesOf(db, rest), ["ready", "ready", "cancelled"]);
});

Deno.test("readGraph() and cancelGraph() take all that hang together, and no others", async () => {
  await using db = await testDatabase();
  const [a, b, c, d] = await scheduleGraph(db.store, [[], [], [{ ref: 1 }, { ref: 0 }], [{ ref: 2 }]]);
  const [other] = await scheduleGraph(db.store, [[]]);
  await end(db.sql, [a!]);

  const graph = await readGraph(db.store, d!);

  assertEquals(graph.map(({ id, status, dependencies }) => [id, status, dependencies]), [
    [a!, "completed", []],
    [b!, "created", []],
    [c!, "created", [b!, a!]],
    [d!, "created", [c!]],
  ]);
  const [text] = await db.sql`SELECT firefly.mermaid(${a!}) AS text`;
  assertEquals(
    text!.text,
    [
      "flowchart LR",
      `  t${a}["${a} test.task"]:::completed`,
      ...[b, c, d].map((id) => `  t${id}["${id} test.task"]:::created`),
      `  t${a} --> t${c}`,
      `  t${b} --> t${c}`,
      `  t${c} --> t${d}`,
    ].join("\n"),
  );
  assertEquals(await cancelGraph(db.store, a!), [b!, c!, d!]);
  assertEquals(await statesOf(db, [a!, b!, c!, d!, other!]), [
    "completed",
    "cancelled",
    "cancelled",
    "cancelled",
    "ready",
  ]);
  assertEquals(await readGraph(db.store, 999), []);
});

Deno.test("firefly.schedule() waits for the tasks of `after`, and explain() says for which", async () => {
  await using db = await testDatabase();
  const [a, b] = await scheduleGraph(db.store, [[], []]);
  const [row] = await db.sql`SELECT firefly.schedule('test.task', after => ARRAY[${a!}, ${b!}]::bigint[])::int AS id`;
  const explain = async (id: number) =>
    (await db.sql`SELECT reason, message, data FROM firefly.explain(${id})`)[0] as unknown as {
      reason: string;
      message: string;
      data: Record<string, unknown>;
    };

  const waits = await explain(row!.id);
  assertEquals([waits.reason, waits.message], ["dependencies", `It waits for 2 of 2 tasks: ${a}, ${b}`]);
  assertEquals(waits.data, {
    open: 2,
    of: 2,
    tasks: [a, b].map((id) => ({ task_id: id, func_name: "test.task", status: "created" })),
  });
  await end(db.sql, [a!]);
  assertEquals((await explain(row!.id)).message, `It waits for 1 of 2 tasks: ${b}`);
  await end(db.sql, [b!], "failed");
  assertEquals((await explain(row!.id)).reason, "released");
  await releaseAll(db.store);
  const ended = await explain(row!.id);
  assertEquals(ended.reason, "ended");
  assert(
    ended.message.endsWith(
      `DependencyFailed: Cannot run this task as task ${b} "test.task", which it depends on, failed`,
    ),
  );
});
