import { enter, release } from "./records.ts";
import type { Edge, Place, State, Task } from "./state.ts";
import { retryRecord } from "./transitions.ts";
import { cancelCallees, tellCallers } from "./calls.ts";

/**
 * What the statements and functions about dependencies should do to the tables.
 */

/** A dependency as `_schedule` takes it, by the place in the call or by the id. */
export type Wanted = { readonly ref?: number; readonly id?: number; readonly settled: boolean };

/** `_depend`: the dependencies of tasks that have just been inserted, but not placed. */
export function depend(state: State, edges: Omit<Edge, "status" | "called" | "shared">[]): void {
  for (const edge of edges) {
    const dependency = state.tasks.get(edge.dependencyId)!;
    dependency.dependants = true;
    const isMet = dependency.status === "completed" || dependency.status !== "created" && edge.settled;
    state.edges.push({ ...edge, called: false, shared: false, status: isMet ? dependency.status : null });
  }
  const ids = new Set(edges.map(({ taskId }) => taskId));
  const doomed = state.edges.filter(({ taskId, dependencyId, status }) =>
    ids.has(taskId) && status === null && state.tasks.get(dependencyId)!.status !== "created"
  );
  state.ended.push(...new Set(doomed.map(({ dependencyId }) => dependencyId)));
}

/** `releaseTasks`, for all that are noted. */
export function releaseTasks(state: State): { released: number; cancelled: number; again: boolean } {
  const taken = new Set(state.ended);
  state.ended = [];
  const statusOf = (id: number) => state.tasks.get(id)?.status ?? "deleted";
  const callers = [...taken].filter((id) => state.edges.some(({ taskId, called }) => taskId === id && called));
  const open = state.edges.filter(({ dependencyId, settled, status }) => {
    const now = statusOf(dependencyId);
    if (!taken.has(dependencyId) || now === "created") return false;
    return status === null || now === "deleted" && !settled && status !== "deleted";
  });
  // What a caller leaves behind that was deleted is told nothing, and counts as held by another transaction.
  const found = open.filter(({ taskId }) => state.tasks.has(taskId));
  const [unmet, calls]: [Edge[], Edge[]] = [[], []];
  let released = 0;
  for (const edge of found) {
    const status = statusOf(edge.dependencyId);
    if (!edge.settled && status !== "completed") unmet.push(edge);
    else if (edge.called) calls.push(Object.assign(edge, { status }));
    else released += tell(state, edge, status);
  }
  released += tellCallers(state, calls);
  const dependants = cancelDependants(state, unmet);
  const callees = cancelCallees(state, callers);
  const left = found.length === open.length ? [] : [...taken].filter((id) => isAwaited(state, id));
  state.ended.push(...left);
  return {
    released,
    cancelled: dependants.cancelled + callees,
    again: dependants.again || callees > 0 || left.length > 0,
  };
}

function isAwaited({ edges, tasks }: State, id: number): boolean {
  return edges.some(({ taskId, dependencyId, status }) => dependencyId === id && status === null && tasks.has(taskId));
}

/** One dependency less: how many rows of the dependant go on, of which one is current. */
function tell(state: State, edge: Edge, status: Edge["status"]): number {
  edge.status = status;
  const rows = state.waiting.filter(({ id, reason }) => id === edge.taskId && reason === "dependencies");
  const over: Place[] = [];
  for (const row of rows) {
    row.pending!--;
    if (row.pending! <= 0) over.push(row);
  }
  state.waiting = state.waiting.filter((row) => !over.includes(row));
  for (const row of over) {
    if (row.notBefore.hasCome(state.clock)) enter(state, row);
    else state.waiting.push({ ...row, reason: "time", pending: null });
  }
  return over.length;
}

/** `_cancel_dependants` */
function cancelDependants(state: State, unmet: Edge[]): { cancelled: number; again: boolean } {
  for (const edge of unmet) edge.status = state.tasks.get(edge.dependencyId)?.status ?? "deleted";
  let [cancelled, again] = [0, false];
  for (const id of new Set(unmet.map(({ taskId }) => taskId))) {
    const rows = state.waiting.filter((row) => row.id === id && row.reason === "dependencies");
    state.waiting = state.waiting.filter((row) => !rows.includes(row));
    const task = state.tasks.get(id)!;
    if (task.status !== "created" || !rows.some(({ claimSeq }) => claimSeq === task.claimSeq)) continue;
    task.status = "cancelled";
    task.cancelled = true;
    task.claimSeq++;
    task.errors = [...task.errors, `DependencyFailed ${task.retryAttempts + task.rescues + 1}`].slice(-100);
    release(state, task);
    state.unmet.add(id);
    state.resultWaiters.delete(id);
    cancelled++;
    again ||= task.dependants;
  }
  return { cancelled, again };
}

/** `_may_depend_again` */
export function mayDependAgain(state: State, id: number): boolean {
  return state.edges.every(({ taskId, dependencyId, settled, status }) => {
    if (taskId !== id || settled) return true;
    const dependency = state.tasks.get(dependencyId);
    if (!dependency) return status === "completed";
    return dependency.status === "created" || dependency.status === "completed";
  });
}

/** `_depend_again` */
export function dependAgain(state: State, id: number): void {
  const reopened = new Set<number>();
  for (const edge of state.edges) {
    const dependency = edge.taskId === id ? state.tasks.get(edge.dependencyId) : undefined;
    if (!dependency) continue;
    edge.status = dependency.status === "created" ? null : dependency.status;
    if (edge.status === null) reopened.add(dependency.id);
  }
  state.ended.push(...reopened);
}

/** `_revive_dependants` */
export function reviveDependants(state: State, id: number): void {
  const todo = new Set<number>();
  for (let next: number | undefined = id; next !== undefined;) {
    for (const { taskId, dependencyId, settled } of state.edges) {
      if (dependencyId === next && !settled && state.unmet.has(taskId)) todo.add(taskId);
    }
    do {
      next = todo.size > 0 ? Math.min(...todo) : undefined;
      if (next !== undefined) todo.delete(next);
    } while (next !== undefined && !retryRecord(state, next));
  }
}

/** The trigger `forget_dependencies`, after all records of a statement are deleted. */
export function forgetDependencies(state: State, gone: Task[]): void {
  const of = new Set(gone.filter((task) => task.dependencies > 0 || task.dependants).map(({ id }) => id));
  // Callees that have not ended are cancelled by the next release.
  state.edges = state.edges.filter(({ taskId, called, status }) => !of.has(taskId) || called && status === null);
  state.waiting = state.waiting.filter(({ id, reason }) => !(of.has(id) && reason === "dependencies"));
  for (const { id, dependants } of gone) {
    state.unmet.delete(id);
    if (!dependants) continue;
    const isDependency = state.edges.some(({ taskId, dependencyId, status }) =>
      dependencyId === id && state.tasks.has(taskId) &&
      (status === null || state.tasks.get(taskId)!.status === "created")
    );
    if (isDependency) state.ended.push(id);
    if (state.edges.some(({ taskId }) => taskId === id)) state.ended.push(id);
  }
  forgetSteps(state, new Set(gone.map(({ id }) => id)));
}

/** The trigger `forget_steps`. */
function forgetSteps(state: State, gone: ReadonlySet<number>): void {
  if (state.steps.length > 0) state.waiting = state.waiting.filter(({ id, suspended }) => !(suspended && gone.has(id)));
  state.steps = state.steps.filter(({ taskId }) => !gone.has(taskId));
  state.signals = state.signals.filter(({ taskId }) => !gone.has(taskId));
}
