import type { Edge, State } from "./state.ts";
import { cancelTask, retryTask } from "./transitions.ts";
import { wake } from "./waits.ts";

/** What the functions about calls should do to the tables. */

/** `_count_open` */
export function countOpen(state: State, caller: number, callees: readonly number[]): number {
  const edges = state.edges.filter(({ taskId, called, status }) => taskId === caller && called && status === null);
  return edges.filter(({ dependencyId }) => callees.includes(dependencyId)).length;
}

/** `_tell_callers`, of edges that have their status already: how many callers may go on. */
export function tellCallers(state: State, told: Edge[]): number {
  const over = new Set<number>();
  for (const [id, edges] of Map.groupBy(told, ({ taskId }) => taskId)) {
    for (const row of state.waiting) {
      if (row.id !== id || !row.suspended || row.pending === null) continue;
      row.pending -= edges.length;
      if (row.pending <= 0) over.add(id);
    }
  }
  for (const id of over) {
    const open = openCalls(state, id);
    if (open.length === 0 || Math.min(...open) === 0) continue;
    for (const row of state.waiting) if (row.id === id && row.suspended) row.pending = Math.min(...open);
    over.delete(id);
  }
  return wake(state, [...over]);
}

/** How many callees are open of each call that a handler waits for. */
export function openCalls(state: State, caller: number): number[] {
  return state.steps
    .filter(({ taskId, kind, status }) => taskId === caller && kind === "call" && status === "waiting")
    .map(({ callees }) => countOpen(state, caller, callees!));
}

/** `_cancel_callees`: how many it cancelled. */
export function cancelCallees(state: State, callers: number[]): number {
  const over = callers.filter((id) => state.tasks.get(id)?.status !== "created");
  const left = state.edges.filter(({ taskId, dependencyId, called, shared, status }) =>
    over.includes(taskId) && called && !shared && status === null &&
    state.tasks.get(dependencyId)?.status === "created" && !isAwaitedByAnother(state, dependencyId)
  );
  const callees = [...new Set(left.map(({ dependencyId }) => dependencyId))].toSorted((a, b) => a - b);
  const cancelled = callees.filter((id) => cancelTask(state, id)).length;
  state.edges = state.edges.filter(({ taskId }) => !callers.includes(taskId) || state.tasks.has(taskId));
  return cancelled;
}

function isAwaitedByAnother(state: State, id: number): boolean {
  return state.edges.some(({ taskId, dependencyId, called, status }) =>
    dependencyId === id && called && status === null && state.tasks.get(taskId)?.status === "created"
  );
}

/** `_retry_callees` */
export function retryCallees(state: State, caller: number): void {
  if (!state.tasks.get(caller)!.dependants) return;
  const awaited = state.steps.filter(({ taskId, kind, status }) =>
    taskId === caller && kind === "call" && status === "waiting"
  );
  const callees = new Set(awaited.flatMap(({ callees }) => callees!));
  for (const id of [...callees].toSorted((a, b) => a - b)) retryTask(state, id);
}
