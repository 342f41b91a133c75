import { assertEquals } from "@std/assert";
import type postgres from "postgres";
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
import { FOR_OWN, HOT_PATH_PLANS } from "../../src/database/session_settings.ts";
import type { ClaimedTask } from "../../src/store/claimed_task.ts";
import { claim, claimMany, startConsumer } from "../support/claiming.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { end, scheduleGraph } from "../support/dependencies.ts";
import { newStep, newWait } from "../support/new_step.ts";
import { newTask } from "../support/new_task.ts";
import { withoutTriggers } from "../support/records.ts";
import { rowsRead } from "../support/rows_read.ts";
import { outcomeOf } from "../support/settling.ts";
import { callAndSuspend, suspend, suspension } from "../support/suspended.ts";
import { clients } from "../support/unique.ts";

/** How many tasks there are of each kind beside those that a statement is about. */
const MANY = 3_000;
/** How many rows of a table a statement about ten tasks may read. */
const FEW = 200;

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

const OPERATIONS: Record<string, Operation> = {
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

/** Tasks that sleep, wait for signals, for calls and for others, that have ended, and that were called. */
async function fill(db: TestDatabase): Promise<void> {
  await withoutTriggers(db, async (sql) => {
    const insert = async (columns: string, values: string): Promise<void> => {
      await sql.unsafe(`
        INSERT INTO firefly.task (func_name, ${columns}) SELECT 'many', ${values} FROM generate_series(1, ${MANY}) AS n
      `);
    };
    await insert("queue, not_before", "'naps', now() + interval '1 hour'");
    await insert("queue", "'signals'");
    await insert("queue, dependants", "'callers', true");
    await insert("queue, dependants", "'callees', true");
    await insert("queue, dependencies", "'dependants', 1");
    await insert("queue, status, completed", "'ended', 'completed', now()");
    await sql`
      INSERT INTO firefly.waiting (
        id, claim_seq, not_before, priority, queue, func_name, reason, pending, signals, suspended
      )
      SELECT id, 0, not_before, 0, queue, func_name,
        CASE queue WHEN 'naps' THEN 'time' WHEN 'dependants' THEN 'dependencies' ELSE 'suspended' END,
        CASE WHEN queue IN ('callers', 'dependants') THEN 1 END, CASE queue WHEN 'signals' THEN '{s}'::text[] END,
        CASE WHEN queue <> 'dependants' THEN true END
      FROM firefly.task
      WHERE queue IN ('naps', 'signals', 'callers', 'dependants')
    `;
    await sql`
      INSERT INTO firefly.ready (id, claim_seq, not_before, priority, queue, func_name)
      SELECT id, 0, not_before, 0, queue, func_name FROM firefly.task WHERE queue = 'callees'
    `;
    await sql`
      INSERT INTO firefly.dependency (task_id, ordinal, dependency_id, settled, called)
      SELECT id, 0, id + ${MANY}, true, true FROM firefly.task WHERE queue = 'callers'
      UNION ALL
      SELECT id, 0, id - ${MANY}, false, false FROM firefly.task WHERE queue = 'dependants'
    `;
    await sql`
      INSERT INTO firefly.step (task_id, name, kind, status, attempt, began, due, callees)
      SELECT id, 'a', CASE queue WHEN 'naps' THEN 'sleep' WHEN 'signals' THEN 'signal' ELSE 'call' END, 'waiting', 1, now(),
        CASE queue WHEN 'naps' THEN not_before END, CASE queue WHEN 'callers' THEN ARRAY[id + ${MANY}] END
      FROM firefly.task
      WHERE queue IN ('naps', 'signals', 'callers')
    `;
    await sql`
      INSERT INTO firefly.step (task_id, name, status, seq, attempt, began, ended)
      SELECT id, 'before', 'completed', 1, 1, now(), now() FROM firefly.task WHERE queue <> 'default'
    `;
    await sql`INSERT INTO firefly.signal (task_id, name) SELECT id, 'later' FROM firefly.task WHERE queue = 'naps'`;
  });
}

/** Does each operation by a client; resolves to what reads too many rows of a table. */
async function excessOf(db: TestDatabase, client: postgres.Sql, times = 1): Promise<string[]> {
  const excess: string[] = [];
  for (const [name, operation] of Object.entries(OPERATIONS)) {
    for (let i = 0; i < times; i++) {
      const read = await rowsRead(client, await operation(db));
      for (const [table, rows] of read) if (rows > FEW) excess.push(`${name} reads ${rows} rows of ${table}`);
      await clear(db);
    }
  }
  return excess;
}

/** Takes the tasks of the operations away. */
async function clear(db: TestDatabase): Promise<void> {
  await withoutTriggers(db, async (sql) => {
    for (const table of ["step", "signal", "dependency"]) {
      await sql`
        DELETE FROM ${sql(`firefly.${table}`)} WHERE task_id IN (SELECT id FROM firefly.task WHERE queue = 'default')
      `;
    }
    for (const table of ["task", "ready", "waiting"]) {
      await sql`DELETE FROM ${sql(`firefly.${table}`)} WHERE queue = 'default'`;
    }
    for (const table of ["claim_batch", "consumer", "definition", "ended", "slot"]) {
      await sql`DELETE FROM ${sql(`firefly.${table}`)}`;
    }
  });
}

Deno.test("no statement of a consumer reads what it is not about beside tasks that wait, whatever the planner knows", async () => {
  await using db = await testDatabase();
  await using two = clients(db, 2, { ...FOR_OWN, ...HOT_PATH_PLANS });
  const [early, late] = two.each as [postgres.Sql, postgres.Sql];
  // Or the server may look at the tables at any moment.
  const tables = await db.sql`SELECT tablename AS name FROM pg_tables WHERE schemaname = 'firefly'`;
  for (const { name } of tables) await db.sql.unsafe(`ALTER TABLE firefly."${name}" SET (autovacuum_enabled = off)`);
  await excessOf(db, early, 7); // a session keeps the plans of an empty database
  await fill(db);

  const [byOldPlans, withoutStatistics] = [await excessOf(db, early), await excessOf(db, late)];
  await db.sql`ANALYZE`;
  await late`DISCARD PLANS`;
  const withStatistics = await excessOf(db, late);

  assertEquals({ byOldPlans, withoutStatistics, withStatistics }, {
    byOldPlans: [],
    withoutStatistics: [],
    withStatistics: [],
  });
});
