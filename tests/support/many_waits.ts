import { assertEquals } from "@std/assert";
import { claimTasks } from "../../src/store/claim.ts";
import { cancelTasks, deleteTasks, rescheduleTasks, retryTasks, runTasks } from "../../src/store/bulk.ts";
import { callTasks, readCallees } from "../../src/store/calls.ts";
import { completeTask, completeTasks, readFreeClaim } from "../../src/store/complete.ts";
import { readBatches } from "../../src/store/consumers.ts";
import { releaseTasks } from "../../src/store/dependencies.ts";
import { repairFailedTasks } from "../../src/store/failed_tasks.ts";
import { forkTask } from "../../src/store/fork.ts";
import { admitTasks, requeueForLimits, returnIdleSlots } from "../../src/store/limits.ts";
import { pruneTasks } from "../../src/store/prune.ts";
import { rescueTasks } from "../../src/store/rescue.ts";
import { scheduleUnique } from "../../src/store/schedule.ts";
import { deleteBatches, readClaims, settleTasks } from "../../src/store/settle.ts";
import { sendSignal } from "../../src/store/signals.ts";
import { readSteps, storeStep, storeSteps } from "../../src/store/steps.ts";
import { suspendTasks } from "../../src/store/suspend.ts";
import { requeueUnplaced } from "../../src/store/unplaced.ts";
import { parkUnknownTasks, promoteDueTasks, unparkKnownTasks } from "../../src/store/waiting.ts";
import type { Tag } from "../../src/database/driver.ts";
import type { ClaimedTask } from "../../src/store/claimed_task.ts";
import { claim, claimMany, startConsumer } from "./claiming.ts";
import type { TestDatabase } from "./database.ts";
import { end, scheduleGraph } from "./dependencies.ts";
import { newStep, newWait } from "./new_step.ts";
import { newTask } from "./new_task.ts";
import { withoutTriggers } from "./records.ts";
import { outcomeOf } from "./settling.ts";
import { callAndSuspend, suspend, suspension } from "./suspended.ts";

/** Prepares ten tasks, or the like, and resolves to the statement about them. */
type Operation = (db: TestDatabase) => Promise<(sql: Tag) => Promise<unknown>>;

const WIDTH = 10;
const AWAITS_CALL = [{ name: "test.task", key: "" }];

/** Stores a call from an attempt that goes on; resolves to the callees. */
async function call(sql: Tag, { id, claimSeq }: ClaimedTask): Promise<number[]> {
  const step = newWait({ kind: "call", name: "test.task" });
  return (await callTasks(sql, { id, claimSeq, step, steps: [], tasks: [newTask()] }))!;
}

async function sleepers(db: TestDatabase): Promise<number[]> {
  const tasks = await claimMany(db, WIDTH);
  for (const task of tasks) await suspend(db.store, task, { name: "s", kind: "signal", due: 3600 });
  return tasks.map(({ id }) => id);
}

/** Tasks that share a limit, with slots for all of them. */
async function limited(db: TestDatabase): Promise<void> {
  await startConsumer(db);
  await db.sql`INSERT INTO firefly.definition (func_name, concurrency_limit) VALUES ('test.task', ${WIDTH})`;
  await db.sql`
    INSERT INTO firefly.task (func_name, concurrency_key) SELECT 'test.task', 'k' FROM generate_series(1, ${WIDTH})
  `;
}

/** Tasks that have failed, and are not listed. */
async function failures(db: TestDatabase): Promise<number[]> {
  const ids: number[] = [];
  await withoutTriggers(db, async (sql) => {
    const rows = await sql`
      INSERT INTO firefly.task (func_name, status, failed)
      SELECT 'test.task', 'failed', now() FROM generate_series(1, ${WIDTH})
      RETURNING id::int
    `;
    ids.push(...rows.map(({ id }) => id));
  });
  return ids;
}

/** What a consumer, and who acts on tasks, asks of the database about ten tasks. */
export const OPERATIONS: Readonly<Record<string, Operation>> = {
  "suspendTasks() of sleeps and signals": async (db) => {
    const tasks = await claimMany(db, WIDTH);
    return (sql) =>
      suspendTasks(sql, tasks.map((task) => suspension(task, [{ due: 60 }, { name: "s", kind: "signal" }])));
  },
  "suspendTasks() of calls": async (db) => {
    const tasks = await claimMany(db, WIDTH);
    for (const task of tasks) await call(db.store, task);
    return (sql) => suspendTasks(sql, tasks.map((task) => ({ ...suspension(task, []), awaits: AWAITS_CALL })));
  },
  "storeSteps()": async (db) => {
    const tasks = await claimMany(db, WIDTH);
    return (sql) => storeSteps(sql, tasks.map(({ id, claimSeq }) => ({ id, claimSeq, step: newStep(), failures: [] })));
  },
  "storeStep()": async (db) => {
    const [task] = await claimMany(db, 1);
    const { id, claimSeq } = task!;
    return (sql) => storeStep(sql, { id, claimSeq, step: newStep(), failures: [] });
  },
  "callTasks()": async (db) => {
    const [task] = await claimMany(db, 1);
    return (sql) => call(sql, task!);
  },
  "sendSignal()": async (db) => {
    const [id] = await sleepers(db);
    return (sql) => sendSignal(sql, id!, "s", null);
  },
  "readSteps()": async (db) => {
    const [id] = await sleepers(db);
    return (sql) => readSteps(sql, id!);
  },
  "releaseTasks() of dependencies": async (db) => {
    const tasks = Array.from({ length: WIDTH }, () => []);
    const ids = await scheduleGraph(db.store, [...tasks, tasks.map((_, ref) => ({ ref }))]);
    await end(db.sql, ids.slice(0, WIDTH));
    return (sql) => releaseTasks(sql, ids);
  },
  "releaseTasks() of failed dependencies": async (db) => {
    const ids = await scheduleGraph(db.store, [[], [{ ref: 0 }]]);
    await end(db.sql, ids.slice(0, 1), "failed");
    return (sql) => releaseTasks(sql, ids);
  },
  "releaseTasks() of callees": async (db) => {
    const callees: number[] = [];
    for (const task of await claimMany(db, WIDTH)) callees.push(...await callAndSuspend(db.store, task));
    await end(db.sql, callees);
    return (sql) => releaseTasks(sql, callees);
  },
  "releaseTasks() of callers": async (db) => {
    const callers = await claimMany(db, WIDTH);
    for (const caller of callers) await callAndSuspend(db.store, caller);
    await end(db.sql, callers.map(({ id }) => id));
    return (sql) => releaseTasks(sql, null);
  },
  "scheduleUnique() with dependencies": async (db) => {
    const [id] = await scheduleGraph(db.store, [[]]);
    return (sql) => scheduleUnique(sql, [newTask(), newTask({ depends: [{ ref: 0 }, { id: id! }] })]);
  },
  "promoteDueTasks()": async (db) => {
    const ids = await sleepers(db);
    await withoutTriggers(db, async (sql) => {
      await sql`UPDATE firefly.waiting SET not_before = now() WHERE id = ANY (${ids})`;
      await sql`UPDATE firefly.task SET not_before = now() WHERE id = ANY (${ids})`;
    });
    return (sql) => promoteDueTasks(sql, ["default"]);
  },
  "completeTasks() of callers and callees": async (db) => {
    const tasks = await claimMany(db, WIDTH);
    await call(db.store, tasks[0]!);
    const ended = tasks.map(({ id, claimSeq }) => ({ id, claimSeq, began: performance.now(), returned: null }));
    return (sql) => completeTasks(sql, ended, [tasks[0]!.batchId]);
  },
  "settleTasks()": async (db) => {
    const tasks = await claimMany(db, WIDTH);
    const outcomes = tasks.map((task) => outcomeOf(task, { status: "created", returned: null, counts: "retry" }));
    return (sql) => settleTasks(sql, outcomes, [tasks[0]!.batchId]);
  },
  "cancelTasks() and retryTasks() of callers": async (db) => {
    const tasks = await claimMany(db, WIDTH);
    for (const task of tasks) await callAndSuspend(db.store, task);
    const chosen = tasks.map(({ id }) => ({ id, claimSeq: null }));
    return (sql) => cancelTasks(sql, chosen).then(() => retryTasks(sql, chosen));
  },
  "forkTask()": async (db) => {
    const [id] = await sleepers(db);
    return (sql) => forkTask(sql, id!, { name: "s", key: "" });
  },
  "deleteTasks()": async (db) => {
    const ids = await sleepers(db);
    return (sql) => deleteTasks(sql, ids.map((id) => ({ id, claimSeq: null })));
  },
  "claimTasks()": async (db) => {
    const consumerId = await startConsumer(db);
    await db.sql`INSERT INTO firefly.task (func_name) SELECT 'test.task' FROM generate_series(1, ${WIDTH})`;
    const [batchId, quarantinedBatchId] = [crypto.randomUUID(), crypto.randomUUID()];
    const request = {
      consumerId,
      batchId,
      quarantinedBatchId,
      queues: ["default"],
      names: ["test.task"],
      limit: WIDTH,
    };
    return (sql) => claimTasks(sql, request);
  },
  "firefly.explain() of a caller": async (db) => {
    const [task] = await claimMany(db, 1);
    await callAndSuspend(db.store, task!);
    return (sql) => sql`SELECT * FROM firefly.explain(${task!.id}::bigint)`;
  },
  "completeTask()": async (db) => {
    const [task] = await claimMany(db, 1);
    const ended = { id: task!.id, claimSeq: task!.claimSeq, returned: null, began: performance.now() };
    return (sql) => completeTask(sql, ended, task!.batchId);
  },
  "what a consumer asks of its claims": async (db) => {
    const tasks = await claimMany(db, WIDTH);
    const ids = tasks.map(({ id }) => id);
    return async (sql) => {
      await readClaims(sql, ids);
      await readCallees(sql, ids);
      await readFreeClaim(sql, ids[0]!);
      await deleteBatches(sql, [tasks[0]!.batchId]);
    };
  },
  "parkUnknownTasks() and unparkKnownTasks()": async (db) => {
    await db.sql`INSERT INTO firefly.task (func_name) SELECT 'unknown' FROM generate_series(1, ${WIDTH})`;
    return async (sql) => {
      await parkUnknownTasks(sql, ["default"]);
      await unparkKnownTasks(sql, { queues: ["default"], names: ["unknown"] });
    };
  },
  "admitTasks()": async (db) => {
    await limited(db);
    return (sql) => admitTasks(sql, { concurrencyKeys: ["k"], rateKeys: [] });
  },
  "returnIdleSlots()": async (db) => {
    await limited(db);
    await admitTasks(db.store, { concurrencyKeys: ["k"], rateKeys: [] });
    await db.sql`UPDATE firefly.slot SET taken = now() - interval '1 minute'`;
    await db.sql`DELETE FROM firefly.consumer`;
    return async (sql) => assertEquals(await returnIdleSlots(sql), WIDTH);
  },
  "requeueForLimits()": async (db) => {
    const tasks = await claimMany(db, WIDTH);
    const unadmitted = tasks.map(({ id, claimSeq }) => {
      return { id, claimSeq, concurrencyKey: "k", rateKey: null, quarantined: false };
    });
    return (sql) => requeueForLimits(sql, unadmitted);
  },
  "runTasks() and rescheduleTasks()": async (db) => {
    await db.sql`
      INSERT INTO firefly.task (func_name, not_before)
      SELECT 'test.task', now() + interval '1 hour' FROM generate_series(1, ${WIDTH})
    `;
    const rows = await db.sql`SELECT id::int FROM firefly.task WHERE queue = 'default'`;
    const chosen = rows.map(({ id }) => ({ id, claimSeq: null }));
    return async (sql) => {
      await runTasks(sql, chosen);
      await rescheduleTasks(sql, chosen, { notBefore: null, delay: null, queue: null, priority: 1 });
    };
  },
  "pruneTasks()": async (db) => {
    const ids = await scheduleGraph(db.store, Array.from({ length: WIDTH }, (_, i) => i === 0 ? [] : [{ ref: i - 1 }]));
    await end(db.sql, ids);
    await db.sql`UPDATE firefly.task SET completed = now() - interval '90 days' WHERE id = ANY (${ids})`;
    return async (sql) => {
      assertEquals((await pruneTasks(sql, { after: ids[0]! - 1, dryRun: false })).pruned, WIDTH);
    };
  },
  "repairFailedTasks()": async (db) => {
    const [first] = await failures(db);
    return (sql) => repairFailedTasks(sql, first! - 1);
  },
  "requeueUnplaced()": async (db) => {
    const [first] = await failures(db);
    await withoutTriggers(db, (sql) => sql`UPDATE firefly.task SET status = 'created' WHERE queue = 'default'`);
    return (sql) => requeueUnplaced(sql, first! - 1);
  },
  "readBatches()": async (db) => {
    const consumerId = await startConsumer(db);
    await db.sql`INSERT INTO firefly.task (func_name) SELECT 'test.task' FROM generate_series(1, ${WIDTH})`;
    await claim(db, { consumerId });
    return (sql) => readBatches(sql, consumerId);
  },
  "rescueTasks()": async (db) => {
    await claimMany(db, WIDTH);
    await db.sql`DELETE FROM firefly.consumer`;
    return (sql) => rescueTasks(sql);
  },
};
