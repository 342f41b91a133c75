import { assertEquals } from "@std/assert";
import { type Chosen, rescheduleTasks, runTasks } from "../../../src/store/bulk.ts";
import type { LeftTask } from "../../../src/task/record.ts";
import { actOnAll, choose, pickIds } from "./hand_steps.ts";
import { editTask, rescheduleTask, runTask } from "./moves.ts";
import { release, releaseSlots } from "./records.ts";
import { LONG, type State, type Task, Time } from "./state.ts";
import { type Maker, pickTask, QUEUES, step } from "./world.ts";

/** The same for an operation whose reasons are known: undefined if `act` did it. */
function moveAll(
  state: State,
  chosen: Chosen[],
  act: (task: Task) => LeftTask["reason"] | undefined,
): { done: number; changed: number[]; left: LeftTask[] } {
  const left: LeftTask[] = [];
  const result = actOnAll(state, chosen, (task) => {
    const reason = act(task);
    if (reason) left.push({ id: task.id, reason });
    return reason === undefined;
  });
  return { ...result, left };
}

const run: Maker = (world) => {
  const { sql, state } = world;
  const chosen = choose(world, pickIds(world, ({ status }) => status === "created"));
  if (chosen.length === 0) return;
  return step("firefly.run", chosen, () => runTasks(sql, chosen), (result) => {
    assertEquals(result, moveAll(state, chosen, ({ id }) => runTask(state, id)));
  });
};

const reschedule: Maker = (world) => {
  const { random, sql, state } = world;
  const chosen = choose(world, pickIds(world, ({ status }) => status === "created"));
  if (chosen.length === 0) return;
  // A new time with every new queue, as with an edit.
  const delay = random.pick([null, 0, LONG]);
  const queue = delay === null ? null : random.pick(QUEUES);
  const change = { notBefore: null, delay, queue, priority: random.pick([null, -1, 3]) };
  return step("firefly.reschedule", { chosen, change }, () => rescheduleTasks(sql, chosen, change), (result) => {
    const { priority } = change;
    const given = {
      ...(delay === null ? {} : { notBefore: new Time(delay) }),
      ...(queue === null ? {} : { queue }),
      ...(priority === null ? {} : { priority }),
    };
    assertEquals(result, moveAll(state, chosen, ({ id }) => rescheduleTask(state, id, given)));
  });
};

/** Edits columns that say where a record belongs, now and then with the fence, which leaves it nowhere. */
const edit: Maker = (world) => {
  const { random, sql, state } = world;
  const id = pickTask(world, () => true);
  if (id === undefined) return;
  const task = state.tasks.get(id)!;
  // A new time with every new fence or queue, else the stale row and the new one were first in line both.
  const delay = random.pick([null, 0, LONG]);
  const change = {
    priority: random.pick([task.priority, 3]),
    queue: delay === null ? task.queue : random.pick(QUEUES),
    delay,
    seq: delay === null ? 0 : random.below(2),
  };
  const send = () =>
    sql`
      UPDATE ${sql.schema}.task
      SET priority = ${change.priority}, queue = ${change.queue}, claim_seq = claim_seq + ${change.seq},
        not_before = CASE WHEN ${change.delay}::float8 IS NULL THEN not_before
          ELSE now() + make_interval(secs => ${change.delay}) END
      WHERE id = ${id}
    `;
  return step("UPDATE", { id, ...change }, send, () => {
    if (change.seq === 0) {
      const notBefore = change.delay === null ? task.notBefore : new Time(change.delay);
      return editTask(state, task, { priority: change.priority, queue: change.queue, notBefore });
    }
    state.edited.add(id);
    state.unadmitted.add(id);
    Object.assign(task, { priority: change.priority, queue: change.queue, claimSeq: task.claimSeq + change.seq });
    if (change.delay !== null) task.notBefore = new Time(change.delay);
    if (state.expired.has(id)) state.expired.set(id, state.expired.get(id)! + change.seq);
    // It fires for the columns that the statement names, changed or not. It takes no key again for a created task.
    if (task.status !== "created") release(state, task);
    else if (task.concurrencyKey !== null || task.rateKey !== null) releaseSlots(state, id, false);
  });
};

/** Writes a status as users do by hand, with no word of when. */
const editStatus: Maker = (world) => {
  const { random, sql, state } = world;
  const id = pickTask(world, () => true);
  if (id === undefined) return;
  const task = state.tasks.get(id)!;
  const status = task.status === "created" ? random.pick(["failed", "completed"] as const) : "created";
  const send = () =>
    sql`
      UPDATE ${sql.schema}.task SET status = ${status}, completed = NULL, failed = NULL, cancelled = NULL WHERE id = ${id}
    `;
  return step("UPDATE", { id, status }, send, () => {
    state.expired.delete(id); // it may end again at once, and now: as its duplicate has its unique key
    editTask(state, task, { status });
  }, { retries: [id, ...state.revivable()] });
};

/** What gives a record another place, with how often each step is to be chosen. */
export const MOVE_STEPS: [number, Maker][] = [
  [3, run],
  [3, reschedule],
  [1, edit],
  [1, editStatus],
];
