import { assertEquals } from "@std/assert";
import { requeueUnplaced } from "../../../src/store/unplaced.ts";
import { cancelTasks, type Chosen, deleteTasks, retryTasks } from "../../../src/store/bulk.ts";
import { forkTask } from "../../../src/store/fork.ts";
import { pruneTasks } from "../../../src/store/prune.ts";
import { pauseQueue, resumeQueue } from "../../../src/store/queues.ts";
import { registerWaiters } from "../../../src/store/records.ts";
import { deleteExpiredKeys } from "../../../src/store/unique.ts";
import { forgetDependencies } from "./dependencies.ts";
import { unplace } from "./records.ts";
import { type State, type Task, Time } from "./state.ts";
import * as model from "./transitions.ts";
import { type Maker, pastTime, pickTask, QUEUES, step, type World } from "./world.ts";

export function pickIds(world: World, accept: (task: Task) => boolean): number[] {
  const ids = [...world.state.tasks.values()].filter(accept).map(({ id }) => id);
  const any = pickTask(world, () => true);
  const some = world.random.some(ids, 1 + world.random.below(3));
  return world.random.once(8) && any !== undefined ? [...new Set([...some, any])] : some;
}

/** Tasks as a list showed them: with their fence, an old one now and then, or none. */
export function choose(world: World, ids: number[]): Chosen[] {
  const { random, state } = world;
  const hasFence = random.once(2);
  return ids.map((id) => ({
    id,
    claimSeq: hasFence ? (state.tasks.get(id)?.claimSeq ?? 0) - (random.once(6) ? 1 : 0) : null,
  }));
}

/** What becomes of each in the order of their ids: true if `act` did it, and undefined where the list was too old. */
export function actOnAll(
  state: State,
  chosen: Chosen[],
  act: (task: Task) => boolean | undefined,
): { done: number; changed: number[] } {
  const found = chosen.toSorted((a, b) => a.id - b.id).filter(({ id }) => state.tasks.has(id));
  const results = found.map(({ id, claimSeq }) => {
    const task = state.tasks.get(id)!;
    return { id, done: claimSeq !== null && claimSeq !== task.claimSeq ? undefined : act(task) };
  });
  return {
    done: results.filter(({ done }) => done).length,
    changed: results.filter(({ done }) => done === undefined).map(({ id }) => id),
  };
}

const cancel: Maker = (world) => {
  const { random, sql, state } = world;
  // Often one that a suspended task has called: such tasks end too seldom by chance.
  const suspended = new Set(state.waiting.filter(({ suspended }) => suspended).map(({ id }) => id));
  const called = state.edges.filter(({ taskId, called, status }) => called && status === null && suspended.has(taskId));
  const ids = called.length > 0 && random.once(2)
    ? [random.pick(called).dependencyId]
    : pickIds(world, ({ status }) => status === "created");
  const chosen = choose(world, ids);
  const idle = random.once(2);
  if (chosen.length === 0) return;
  return step("firefly.cancel", { chosen, idle }, () => cancelTasks(sql, chosen, { idle }), ({ done, changed }) => {
    const expected = actOnAll(state, chosen, (task) => {
      if (task.status !== "created") return false;
      if (idle && !unplace(state, task)) return undefined;
      return model.cancelTask(state, task.id);
    });
    assertEquals({ done, changed }, expected);
  });
};

const retry: Maker = (world) => {
  const { sql, state } = world;
  const chosen = choose(world, pickIds(world, ({ status }) => status === "failed" || status === "cancelled"));
  if (chosen.length === 0) return;
  const before = new Map([...state.tasks.values()].map(({ id, claimSeq, status }) => [id, { claimSeq, status }]));
  // All are locked, and compared with the list, before the first is retried: that may revive others of them.
  const locked = chosen.map(({ id, claimSeq }) => {
    const isOld = claimSeq !== null && claimSeq !== before.get(id)?.claimSeq;
    return { id, claimSeq: isOld ? -1 : null };
  });
  return step("firefly.retry", chosen, () => retryTasks(sql, chosen), ({ done, changed }) => {
    const expected = actOnAll(state, locked, ({ id, status }) => {
      return status === "created" ? before.get(id)!.status !== "created" : model.retryTask(state, id);
    });
    assertEquals({ done, changed }, expected);
  }, { retries: [...chosen.map(({ id }) => id), ...state.revivable()] });
};

/** Often of a task that has steps, and from one of them. */
const fork: Maker = (world) => {
  const { random, sql, state } = world;
  const stepped = new Set(state.steps.map(({ taskId }) => taskId));
  const isStepped = stepped.size > 0 && random.once(2);
  const id = isStepped ? random.pick([...stepped]) : pickTask(world, () => true);
  if (id === undefined) return;
  const own = state.steps.filter(({ taskId }) => taskId === id);
  const from = random.once(8) ? "nothing" : own.length > 0 && random.once(2) ? random.pick(own).name : undefined;
  const send = () => forkTask(sql, id, from === undefined ? undefined : { name: from, key: "" });
  return step("firefly.fork", { id, from }, send, (forked) => {
    if (from !== undefined && !own.some(({ name }) => name === from)) {
      return assertEquals(forked, { refused: "step" });
    }
    if (forked.refused !== null) throw new Error(`It was refused: ${forked.refused}`);
    model.forkTask(state, id, forked.id, from);
  });
};

/** The more records there are, the more of them: the tables stay small. */
const remove: Maker = (world) => {
  const { random, sql, state } = world;
  const isFull = state.tasks.size > 40;
  const chosen = choose(world, pickIds(world, ({ status }) => random.once(20) || status !== "created"));
  const idle = random.once(2);
  if (chosen.length === 0 || !isFull && !random.once(4)) return;
  return step("deleteTasks", { chosen, idle }, () => deleteTasks(sql, chosen, { idle }), ({ done, changed }) => {
    const before = [...state.tasks.values()];
    const expected = actOnAll(state, chosen, (task) => {
      const stood = task.status === "created" && unplace(state, task);
      if (task.status === "created" && idle && !stood) return undefined;
      state.resultWaiters.delete(task.id);
      return model.deleteTask(state, task.id);
    });
    forgetDependencies(state, before.filter(({ id }) => !state.tasks.has(id)));
    assertEquals({ done, changed }, expected);
  }, { deletes: chosen.map(({ id }) => id) });
};

/** Time passes: ended tasks were kept for long enough. */
const expireRecords: Maker = (world) => {
  const { random, sql, state } = world;
  const ids = pickIds(world, ({ status }) => status !== "created");
  if (ids.length === 0 || !random.once(2) || ids.some((id) => state.tasks.get(id)!.status === "created")) return;
  const send = () =>
    sql`
      UPDATE ${sql.schema}.task
      SET completed = completed - interval '90 days', failed = failed - interval '90 days',
        cancelled = cancelled - interval '90 days'
      WHERE id = ANY (${ids}::bigint[])
    `;
  return step("time passes", `the retention of tasks ${ids}`, send, () => {
    for (const id of ids) state.expired.set(id, state.tasks.get(id)!.claimSeq);
    for (const id of ids) state.unmet.delete(id); // its error is of another time than its end now
  });
};

const prune: Maker = ({ random, sql, state }) => {
  const isNeeded = (id: number) =>
    state.edges.some(({ taskId, dependencyId, called }) => {
      const status = state.tasks.get(taskId)?.status; // its record may be gone
      return dependencyId === id && status !== undefined && (status === "created" || called && status !== "completed");
    });
  const isExpired = ({ id, claimSeq, status, completed, failed, cancelled }: Task) =>
    state.expired.get(id) === claimSeq && status !== "created" && (completed || failed || cancelled) && !isNeeded(id);
  const expired = [...state.tasks.values()].filter(isExpired).map(({ id }) => id);
  const dryRun = random.once(4);
  return step("pruneTasks", { dryRun }, () => pruneTasks(sql, { after: 0, dryRun }), ({ pruned, full, last }) => {
    assertEquals({ pruned, full, last }, { pruned: expired.length, full: false, last: null });
    if (dryRun) return;
    const gone = expired.map((id) => state.tasks.get(id)!);
    for (const id of expired) model.deleteTask(state, id);
    forgetDependencies(state, gone);
  }, { deletes: expired });
};

const awaitEnd: Maker = (world) => {
  const { sql, state } = world;
  const ids = pickIds(world, () => true);
  return step("registerWaiters", ids, () => registerWaiters(sql, ids), () => {
    for (const id of ids) if (state.tasks.get(id)?.status === "created") state.resultWaiters.add(id);
  });
};

const pause: Maker = ({ random, sql, state }) => {
  const queue = random.pick(QUEUES);
  return step("firefly.pause", queue, () => pauseQueue(sql, queue), (isNew) => {
    assertEquals(isNew, !state.paused.has(queue));
    state.paused.add(queue);
  });
};

const resume: Maker = ({ random, sql, state }) => {
  const queue = random.pick(QUEUES);
  return step("firefly.resume", queue, () => resumeQueue(sql, queue), (wasPaused) => {
    assertEquals(wasPaused, state.paused.delete(queue));
  });
};

/** Time passes: the `not_before` of a waiting task comes. */
const becomeDue: Maker = (world) => {
  const { random, sql, state } = world;
  const later = state.waiting.filter(({ reason, notBefore }) => reason === "time" && !notBefore.hasCome(state.clock));
  if (later.length === 0) return;
  // Only this row of the task: a stale one must not come at the same time, as either could be first in line then.
  const { id, claimSeq } = random.pick(later);
  const { time, text } = pastTime(world);
  const send = () =>
    sql`
      WITH quiet AS MATERIALIZED (
        -- Time calls no trigger.
        SELECT set_config('session_replication_role', 'replica', true)
      ), aged AS (
        UPDATE ${sql.schema}.waiting SET not_before = ${text}::timestamptz
        FROM quiet
        WHERE id = ${id} AND claim_seq = ${claimSeq}
        RETURNING id, claim_seq, not_before
      )
      UPDATE ${sql.schema}.task
      SET not_before = aged.not_before
      FROM aged
      WHERE task.id = aged.id AND task.claim_seq = aged.claim_seq
    `;
  return step("time passes", `not_before of task ${id}`, send, () => {
    const task = state.tasks.get(id);
    for (const row of state.waiting) {
      if (row.id !== id || row.claimSeq !== claimSeq) continue;
      row.notBefore = time;
      if (task?.claimSeq === row.claimSeq) task.notBefore = time;
    }
  });
};

/** Time passes: a unique key runs out. */
const runOut: Maker = ({ random, sql, state }) => {
  const lasting = [...state.uniqueKeys].filter(([, { until }]) => until !== null);
  if (lasting.length === 0) return;
  const [key, holder] = random.pick(lasting);
  const send = () =>
    sql`
      UPDATE ${sql.schema}.unique_key SET until = now() - interval '1 second' WHERE func_name || ' ' || key = ${key}
    `;
  return step("time passes", `unique key ${key}`, send, () => holder.until = new Time(-1));
};

/** Keys that have run out are deleted now and then. */
const deleteKeys: Maker = ({ sql, state }) => {
  return step("deleteExpiredKeys", "", () => deleteExpiredKeys(sql), (count) => {
    const ended = [...state.uniqueKeys].filter(([, { until }]) => until?.hasCome(state.clock));
    assertEquals(count, ended.length);
    for (const [key] of ended) state.uniqueKeys.delete(key);
  });
};

const unplaced: Maker = ({ sql, state }) => {
  return step("requeueUnplaced", "", () => requeueUnplaced(sql, 0), ({ placed }) => {
    assertEquals(placed, model.requeueUnplaced(state));
  });
};

/** The step that copies a task. */
export { fork as FORK };

/** What users and hands do, and what time does, with how often each step is to be chosen. */
export const HAND_STEPS: [number, Maker][] = [
  [5, cancel],
  [4, retry],
  [2, fork],
  [6, remove],
  [2, expireRecords],
  [1, prune],
  [1, awaitEnd],
  [1, pause],
  [3, resume],
  [5, becomeDue],
  [2, runOut],
  [1, deleteKeys],
  [3, unplaced],
];
