import { countOpen } from "./calls.ts";
import { enter, placeOf, release } from "./records.ts";
import { type Place, type SignalRow, type State, type StepRow, type Task, Time } from "./state.ts";

/** What the statements and functions about steps and waits should do to the tables. */

/** A step as it is stored. */
export interface StepFact extends Omit<StepRow, "taskId" | "callees"> {
  /** The id of a signal that it received. */
  received: number | null;
}

/** `_store_steps`, and the same of `storeSteps` and `storeStep`: which it stored. */
export function storeSteps(
  state: State,
  taskId: number,
  facts: readonly StepFact[],
  callees: number[] | null = null,
): boolean[] {
  return facts.map(({ received, ...fact }) => {
    const old = state.steps.find((step) => step.taskId === taskId && step.name === fact.name);
    if (old && old.status !== "waiting") return false;
    if (!old) state.steps.push({ taskId, ...fact, callees });
    else Object.assign(old, { ...fact, kind: old.kind, due: fact.due ?? old.due });
    state.signals = state.signals.filter((signal) => signal.id !== received || signal.taskId !== taskId);
    return true;
  });
}

/** An attempt that is suspended. */
export interface Suspended {
  id: number;
  claimSeq: number;
  facts: StepFact[];
  awaits: string[];
}

/** `suspendTasks`: the status that each has that was held. */
export function suspendTasks(state: State, list: Suspended[], batches: string[]): Map<number, Task["status"]> {
  const isHeld = list.map((one) => state.holds(one));
  const held = list.filter((_, i) => isHeld[i]);
  for (const { id, facts } of held) storeSteps(state, id, facts);
  const retried = new Set(held.flatMap((one) => suspend(state, one)));
  state.ended.push(...retried);
  if (held.length === list.length) { for (const id of batches) state.batches.delete(id); }
  return new Map(held.map(({ id }) => [id, state.tasks.get(id)!.status]));
}

/** Returns the callees that were retried after the task knew their ends: their next ends count as well. */
function suspend(state: State, { id, awaits }: Suspended): number[] {
  const task = state.tasks.get(id)!;
  const waits = state.steps.filter(({ taskId, name, status }) =>
    taskId === id && status === "waiting" && awaits.includes(name)
  );
  const signals = waits.filter(({ kind }) => kind === "signal").map(({ name }) => name).toSorted();
  const awaited = waits.filter(({ kind }) => kind === "call").map(({ callees }) => callees!);
  const again = state.edges.filter(({ taskId, dependencyId, called, status }) =>
    taskId === id && called && status !== null && state.tasks.get(dependencyId)?.status === "created" &&
    awaited.some((callees) => callees.includes(dependencyId))
  );
  const retried = [...new Set(again.map(({ dependencyId }) => dependencyId))];
  const calls = awaited.map((callees) =>
    countOpen(state, id, callees) + retried.filter((callee) => callees.includes(callee)).length
  );
  const until = earliest(waits);
  const hasCome = signals.some((name) => state.signals.some((signal) => signal.taskId === id && signal.name === name));
  const isOver = waits.length === 0 || hasCome || calls.includes(0) || (until?.hasCome(state.clock) ?? false);
  Object.assign(task, { claimSeq: task.claimSeq + 1, started: true, crashCount: 0 });
  const notBefore = task.notBefore;
  if (!isOver && until) task.notBefore = until;
  release(state, task, { began: true });
  if (task.status !== "created") task.notBefore = notBefore;
  if (task.status !== "created") {
    state.resultWaiters.delete(id);
    return [];
  }
  for (const edge of again) edge.status = null;
  const row: Place = placeOf(task);
  if (isOver) {
    enter(state, row);
    return retried;
  }
  state.waiting.push({
    ...row,
    reason: until ? "time" : "suspended",
    pending: calls.length > 0 ? Math.min(...calls) : null,
    signals: signals.length > 0 ? signals : null,
    suspended: true,
  });
  return retried;
}

/** The first end in time of these waits; those that are known come in their order, and of others there is one at most. */
function earliest(waits: StepRow[]): Time | null {
  const times = waits.flatMap(({ due }) => due === null ? [] : [due]);
  return times.toSorted((a, b) => (a.at ?? Infinity) - (b.at ?? Infinity))[0] ?? null;
}

/** `_wake`: how many rows it moved. */
export function wake(state: State, ids: readonly number[]): number {
  const moved = state.waiting.filter(({ id, suspended }) => suspended && ids.includes(id));
  state.waiting = state.waiting.filter((row) => !moved.includes(row));
  for (const row of moved) {
    const task = state.tasks.get(row.id);
    const free = { ...row, quarantined: false };
    if (task && state.holds(row) && !row.notBefore.hasCome(state.clock)) {
      Object.assign(task, { notBefore: new Time(), claimSeq: task.claimSeq + 1 });
      release(state, task);
      Object.assign(free, { notBefore: task.notBefore, claimSeq: task.claimSeq });
    }
    enter(state, free);
  }
  return moved.length;
}

/** `sendSignal`: whether the task has not ended; `id` is that of the new row. */
export function sendSignal(state: State, taskId: number, signal: Omit<SignalRow, "taskId">): boolean {
  if (state.tasks.get(taskId)?.status !== "created") return false;
  state.signals.push({ ...signal, taskId });
  if (state.waiting.some((row) => row.id === taskId && row.signals?.includes(signal.name))) wake(state, [taskId]);
  return true;
}
