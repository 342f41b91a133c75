import { Database } from "../../src/database/pools.ts";
import type { Tag } from "../../src/database/driver.ts";
import { callTasks } from "../../src/store/calls.ts";
import type { ClaimedTask } from "../../src/store/claimed_task.ts";
import { releaseTasks } from "../../src/store/dependencies.ts";
import { sendSignal } from "../../src/store/signals.ts";
import { claimMany } from "../support/claiming.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { end, releaseAll, tagOfClient } from "../support/dependencies.ts";
import { editFunction, type FunctionEdit } from "../support/function_edits.ts";
import { newWait } from "../support/new_step.ts";
import { newTask } from "../support/new_task.ts";
import { suspendHeld, suspension } from "../support/suspended.ts";
import type { Fault, Figures } from "./fault.ts";

/** How many tasks a round suspends: each other waits for a signal, and each other for the tasks that it has called. */
const WIDTH = 24;
/** How many tasks each of the latter has called. */
const CALLEES = 2;
/** How many rounds a control may take until it shows harm. */
const CONTROL_ROUNDS = 200;

/** What keeps a task from sleeping through what it waits for. */
const LOCKS: Record<string, FunctionEdit> = {
  "a signal that takes no lock": {
    name: "_signal",
    find: "AND task.status = 'created' FOR NO KEY UPDATE",
    replace: "AND task.status = 'created'",
  },
  "a suspension that counts without the lock": {
    name: "_suspend",
    find: "    FOR NO KEY UPDATE SKIP LOCKED\n",
    replace: "",
  },
  "a release that tells callers without the lock": {
    name: "_release_dependants",
    find: "    ORDER BY task.id\n    FOR NO KEY UPDATE SKIP LOCKED\n",
    replace: "",
  },
};

/** Fault 23: whatever a task waits for comes at the moment at which it is suspended. */
export const crossingWaits: Fault = {
  number: 23,
  title: "signals, ends of callees, and suspensions of the tasks that wait for them, at the same time",
  async run(figures, scale) {
    const { rounds, asleep, lost } = await crossWaits(scale === "full" ? 150 : 6);
    figures.is("tasks suspended", rounds * WIDTH - lost, rounds * WIDTH);
    figures.is("tasks that sleep through what they wait for", asleep, 0);
  },
  async control(figures: Figures) {
    for (const [what, edit] of Object.entries(LOCKS)) {
      const { asleep } = await crossWaits(CONTROL_ROUNDS, edit);
      figures.atLeast(`tasks that sleep through it, with ${what}, within ${CONTROL_ROUNDS} rounds`, asleep, 1);
    }
  },
};

async function crossWaits(
  rounds: number,
  edit?: FunctionEdit,
): Promise<{ rounds: number; asleep: number; lost: number }> {
  await using db = await testDatabase();
  if (edit) await editFunction(db, edit);
  const pools = [1, 2, 3, 4].map(() => new Database(db.settings, "firefly"));
  let [round, asleep, lost] = [0, 0, 0];
  try {
    // One that sleeps is enough to say.
    for (; round < rounds && asleep === 0; round++) {
      const { left, slept } = await cross(db, pools.map(({ sql }) => sql));
      lost += left;
      asleep += slept;
    }
  } finally {
    await Promise.all(pools.map((pool) => pool.end()));
  }
  return { rounds: round, asleep, lost };
}

/** One round: how many could not be suspended, and how many of the others sleep though all has come. */
async function cross(db: TestDatabase, stores: Tag[]): Promise<{ left: number; slept: number }> {
  const claimed = await claimMany(db, WIDTH);
  const callers = claimed.filter((_, i) => i % 2 === 0);
  const calls = new Map<number, number[]>();
  for (const { id, claimSeq } of callers) {
    const tasks = Array.from({ length: CALLEES }, () => newTask({ func_name: "test.callee" }));
    const step = newWait({ kind: "call", name: "c" });
    calls.set(id, (await callTasks(db.store, { id, claimSeq, step, steps: [], tasks }))!);
  }
  const callees = [...calls.values()].flat();
  const store = (i: number) => stores[i % stores.length]!;

  const suspended = claimed.map((task, i) => suspendHeld(store(i), awaiting(task, calls.has(task.id))));
  const sent = claimed.filter(({ id }) => !calls.has(id)).map(({ id }, i) => sendSignal(store(i + 1), id, "go", null));
  const ended = callees.map(async (id, i) => {
    await db.sql.begin((sql) => end(sql, [id]));
    await releaseTasks(store(i), [id]);
  });
  const [held] = await Promise.all([Promise.all(suspended), ...sent, ...ended]);
  await releaseAll(tagOfClient(db.sql));

  const { count } = await db.sql`SELECT FROM firefly.waiting WHERE suspended`;
  await db.sql`DELETE FROM firefly.task`;
  await db.sql`DELETE FROM firefly.ready`;
  return { left: held.filter((status) => status !== "created").length, slept: count };
}

function awaiting(task: ClaimedTask, hasCalled: boolean) {
  if (!hasCalled) return suspension(task, [{ kind: "signal", name: "go" }]);
  return { ...suspension(task, []), awaits: [{ name: "c", key: "" }] };
}
