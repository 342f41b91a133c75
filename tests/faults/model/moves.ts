import type { LeftReason } from "../../../src/task/record.ts";
import { reviveDependants } from "./dependencies.ts";
import { isAt, place, release, takePlace } from "./records.ts";
import { type State, type Task, Time } from "./state.ts";

/**
 * What gives a record another place: `run()`, `reschedule()` and an UPDATE by hand.
 */

/** `firefly.run`: undefined if it did, else why not. */
export function runTask(state: State, id: number): LeftReason | undefined {
  const task = state.tasks.get(id)!;
  if (task.status !== "created") return task.status;
  const waits = state.waiting.find((row) =>
    row.id === id && row.claimSeq === task.claimSeq && (row.reason !== "time" || row.suspended)
  );
  if (waits) return waits.suspended ? "suspended" : waits.reason as LeftReason;
  if (state.ready.some((row) => row.claimSeq === task.claimSeq && isAt(row, task))) return "ready";
  return move(state, task, task.notBefore.hasCome(state.clock) ? {} : { notBefore: new Time() });
}

/** `firefly.reschedule`: undefined if it did, else why not. */
export function rescheduleTask(state: State, id: number, change: Partial<Task>): LeftReason | undefined {
  const task = state.tasks.get(id)!;
  return task.status === "created" ? move(state, task, change) : task.status;
}

function move(state: State, task: Task, change: Partial<Task>): LeftReason | undefined {
  if (!takePlace(state, task)) return "running";
  Object.assign(task, change, { claimSeq: task.claimSeq + 1 });
  release(state, task);
  if (task.status === "created") place(state, task);
}

/** `_edit`, and what the trigger `release` does then: an UPDATE that leaves `claim_seq` alone. */
export function editTask(state: State, task: Task, change: Partial<Task>): void {
  const keys = Object.keys(change) as (keyof Task)[];
  const isChanged = keys.some((key) => change[key] !== task[key]);
  const status = change.status ?? task.status;
  const wasEnded = task.status !== "created";
  const isPlaced = task.status !== "created" || isChanged && takePlace(state, task);
  const isEnded = task.status !== "created" && status !== "created";
  const isRunning = !isPlaced && status === "created";
  if (task.status !== status) {
    for (const end of ["completed", "failed", "cancelled"] as const) task[end] = status === end;
    if (status !== "created") state.resultWaiters.delete(task.id);
  }
  Object.assign(task, change);
  if (!isChanged || isEnded || isRunning) return;
  task.claimSeq++;
  if (status === "created" && state.over.delete(task.id)) state.retried.add(task.id);
  release(state, task);
  if (task.status !== "created") return;
  place(state, task);
  if (wasEnded && task.dependants) reviveDependants(state, task.id);
}
