import { retryCallees } from "./calls.ts";
import { depend, dependAgain, mayDependAgain, reviveDependants } from "./dependencies.ts";
import {
  enter,
  insertRecord,
  isAt,
  keyOf,
  place,
  placeOf,
  release,
  releaseSlots,
  takeUniqueKey,
  unplace,
} from "./records.ts";
import {
  byUrgency,
  type ClaimBatch,
  type Consumer,
  type HeldTask,
  type Place,
  type State,
  type Task,
  Time,
} from "./state.ts";

/**
 * What the store's statements and the SQL functions should do to the tables, each function named as the one that it
 * is the model of. Written down a second time on purpose, one row after another, and without a look at the SQL's shape.
 */

/** What a claim should find. */
export interface ExpectedClaim {
  alive: boolean;
  taken: number;
  tasks: Task[];
  quarantined: Task[];
  hasNextDue: boolean;
}

/** `claimTasks` */
export function claimTasks(
  state: State,
  consumer: Consumer,
  { batchId, quarantinedBatchId, limit }: { batchId: string; quarantinedBatchId: string | null; limit: number },
): ExpectedClaim {
  const alive = state.consumers.get(consumer.id)?.alive ?? false;
  const served = alive ? consumer.queues.filter((queue) => !state.paused.has(queue)) : [];
  const urgent = state.ready
    .filter(({ queue, name }) => served.includes(queue) && consumer.names.includes(name))
    .toSorted(byUrgency);
  const due = urgent.filter(({ quarantined }) => !quarantined).slice(0, limit);
  const quarantined = quarantinedBatchId === null ? [] : urgent.filter(({ quarantined }) => quarantined).slice(0, 1);
  const taken = [...due, ...quarantined];
  state.ready = state.ready.filter((row) => !taken.includes(row));
  const claimed = (rows: Place[], id: string | null, quarantined: boolean) => {
    const claims = rows.filter((row) => state.holds(row)).map(({ id, claimSeq }) => ({ id, claimSeq }));
    if (id !== null && claims.length > 0) state.batches.set(id, { id, consumerId: consumer.id, quarantined, claims });
    for (const claim of claims) {
      state.attempts.push({ ...claim, batchId: id!, consumerId: consumer.id });
      releaseKey(state, state.tasks.get(claim.id)!);
    }
    for (const slot of state.slots) {
      const isOf = claims.some(({ id }) => slot.taskId === id);
      if (isOf && slot.kind === "rate" && slot.until === null) slot.until = "infinity";
    }
    return claims.map((claim) => state.tasks.get(claim.id)!);
  };
  return {
    alive,
    taken: taken.length,
    tasks: claimed(due, batchId, false),
    quarantined: claimed(quarantined, quarantinedBatchId, true),
    hasNextDue: state.waiting.some(({ queue, reason }) => consumer.queues.includes(queue) && reason === "time"),
  };
}

/** A key that is not for running tasks is free from the claim on. */
function releaseKey(state: State, task: Task): void {
  if (task.uniqueKey === null || task.uniqueAmong === null || task.uniqueAmong.includes("running")) return;
  if (state.uniqueKeys.get(keyOf(task))?.taskId === task.id) state.uniqueKeys.delete(keyOf(task));
}

/** Whether a task holds a slot for each of its keys, as whoever was let in does. */
export function isSlotted(state: State, { id, concurrencyKey, rateKey }: Task): boolean {
  const has = (kind: string) =>
    state.slots.some((slot) => slot.taskId === id && slot.kind === kind && !(slot.until instanceof Time));
  return (concurrencyKey === null || has("concurrency")) && (rateKey === null || has("rate"));
}

/** `promoteDueTasks` */
export function promoteDueTasks(state: State, queues: string[]): number {
  const due = state.waiting.filter(({ queue, reason, notBefore }) =>
    queues.includes(queue) && reason === "time" && notBefore.hasCome(state.clock)
  );
  state.waiting = state.waiting.filter((row) => !due.includes(row));
  for (const row of due) enter(state, row);
  return due.length;
}

/** `parkUnknownTasks` */
export function parkUnknownTasks(state: State, queues: string[]): number {
  const alive = [...state.consumers.values()].filter(({ alive }) => alive);
  const strangers = state.ready.filter((row) =>
    !row.quarantined && queues.includes(row.queue) &&
    !alive.some((consumer) => consumer.queues.includes(row.queue) && consumer.names.includes(row.name))
  );
  state.ready = state.ready.filter((row) => !strangers.includes(row));
  for (const row of strangers) {
    const { concurrencyKey = null, rateKey = null } = state.tasks.get(row.id) ?? {};
    state.waiting.push({ ...row, concurrencyKey, rateKey, reason: "unknown" });
    if (state.holds(row)) releaseSlots(state, row.id, false);
  }
  return strangers.length;
}

/** `unparkKnownTasks` */
export function unparkKnownTasks(state: State, { queues, names }: { queues: string[]; names: string[] }): number {
  const known = state.waiting.filter(({ queue, name, reason }) =>
    reason === "unknown" && queues.includes(queue) && names.includes(name)
  );
  state.waiting = state.waiting.filter((row) => !known.includes(row));
  for (const row of known) enter(state, row);
  return known.length;
}

/** How an attempt ended. */
export interface AttemptOutcome extends HeldTask {
  status: "completed" | "failed" | "created";
  error: string | null;
  delay: number | null;
  counts: "retry" | "snooze" | null;
  began: boolean;
}

/** `settleTasks`: the ids of the claims that it ended. */
export function settleTasks(state: State, endings: AttemptOutcome[], batches: string[]): number[] {
  const current = endings.filter((ending) => state.holds(ending));
  for (const ending of current) {
    const task = state.tasks.get(ending.id)!;
    const attempt = task.retryAttempts + task.rescues + 1;
    task.claimSeq++;
    task.status = ending.status;
    task.returned = ending.status === "completed" ? "bnVsbA==" : null;
    task.started ||= ending.began;
    task.completed = ending.status === "completed";
    task.failed = ending.status === "failed";
    if (ending.delay !== null) task.notBefore = new Time(ending.delay);
    if (ending.error !== null) {
      const error = [ending.error, attempt, ending.delay].filter((part) => part !== null).join(" ");
      task.errors = [...task.errors, error].slice(-100);
    }
    if (ending.counts === "retry") task.retryAttempts++;
    if (ending.counts === "snooze") task.snoozes++;
    task.crashCount = 0;
    release(state, task, { attempt, began: ending.began });
    if (task.status === "created") place(state, task);
    else state.resultWaiters.delete(task.id);
  }
  if (current.length === endings.length) { for (const id of batches) state.batches.delete(id); }
  return current.map(({ id }) => id);
}

/** `rescueTasks`: those that it ended the claim of. */
export function rescueTasks(state: State): Task[] {
  const orphaned = [...state.batches.values()]
    .filter(({ consumerId }) => !state.consumers.has(consumerId))
    .toSorted((a, b) => a.id < b.id ? -1 : 1)
    .slice(0, 20);
  return orphaned.flatMap((batch) => {
    state.batches.delete(batch.id);
    return batch.claims.filter((claim) => state.holds(claim)).map((claim) => rescueTask(state, batch, claim));
  });
}

function rescueTask(state: State, { quarantined }: ClaimBatch, { id }: HeldTask): Task {
  const task = state.tasks.get(id)!;
  const attempt = task.retryAttempts + task.rescues + 1;
  const exhausted = quarantined && task.crashCount >= 4;
  task.claimSeq++;
  task.rescues++;
  task.crashCount++;
  task.started = true;
  task.failed = exhausted;
  if (exhausted) {
    task.status = "failed";
    task.errors.push(`ConsumerCrashed ${attempt}`);
  }
  release(state, task, { attempt, began: true });
  if (task.status === "created") enter(state, placeOf(task, task.crashCount >= 2));
  else state.resultWaiters.delete(id);
  return task;
}

/** `firefly.cancel` */
export function cancelTask(state: State, id: number): boolean {
  const task = state.tasks.get(id);
  if (task?.status !== "created") return false;
  const ran = [...state.batches.values()].some(({ claims }) =>
    claims.some((claim) => claim.id === id && state.holds(claim))
  );
  task.status = "cancelled";
  task.cancelled = true;
  task.claimSeq++;
  release(state, task);
  if (!unplace(state, task)) task.started ||= ran;
  state.resultWaiters.delete(id);
  return true;
}

/** `firefly.retry` */
export function retryTask(state: State, id: number): boolean {
  if (!retryRecord(state, id)) return false;
  reviveDependants(state, id);
  return true;
}

/** `_retry_record` */
export function retryRecord(state: State, id: number): boolean {
  const task = state.tasks.get(id);
  if (task?.status !== "failed" && task?.status !== "cancelled") return false;
  if (!mayDependAgain(state, id)) return false;
  if (task.uniqueKey !== null && takeUniqueKey(state, keyOf(task), id) !== id) return false;
  task.claimSeq++;
  Object.assign(task, { status: "created", notBefore: new Time(), retryAttempts: 0, rescues: 0, crashCount: 0 });
  Object.assign(task, { failed: false, cancelled: false, started: false, progress: null });
  release(state, task);
  retryCallees(state, id);
  dependAgain(state, id);
  place(state, task);
  return true;
}

/** `forkTask`, as the task `forkId`: with the steps that ended before `from`, or with all that have ended. */
export function forkTask(state: State, id: number, forkId: number, from: string | undefined): void {
  const it = state.tasks.get(id)!;
  const until = state.steps.find(({ taskId, name }) => taskId === id && name === from)?.seq ?? Infinity;
  const { name, queue, params, priority, concurrencyKey, rateKey, dependencies } = it;
  const holder = state.uniqueKeys.get(keyOf(it));
  const unique = it.uniqueKey === null || holder && !holder.until?.hasCome(state.clock)
    ? {}
    : { uniqueKey: it.uniqueKey, uniqueAmong: it.uniqueAmong, uniqueFor: it.uniqueFor };
  const limits = { concurrencyKey, rateKey };
  const notBefore = new Time();
  const copy = { name, queue, params, priority, notBefore, dependencies, ...limits, ...unique };
  const fork = insertRecord(state, forkId, copy);
  fork.claimSeq = 1;
  const ended = state.steps.filter(({ taskId, seq }) => taskId === id && seq !== null && seq < until);
  state.steps.push(...ended.map((step) => ({ ...step, taskId: forkId })));
  const edges = state.edges
    .filter(({ taskId, called }) => taskId === id && !called)
    .map((edge) => ({ ...edge, taskId: forkId }));
  depend(state, edges.filter(({ dependencyId }) => state.tasks.has(dependencyId)));
  const gone = edges.filter(({ dependencyId }) => !state.tasks.has(dependencyId));
  state.edges.push(...gone.map((edge) => ({ ...edge, shared: false, status: edge.status ?? "deleted" as const })));
  place(state, fork);
}

/** `deleteTasks`, of any status, before the trigger `forget_dependencies`. Its rows in `ready` and `waiting` are stale then, and dropped by who meets them. */
export function deleteTask(state: State, id: number): boolean {
  const task = state.tasks.get(id);
  if (!task) return false;
  state.tasks.delete(id);
  if (task.uniqueKey === null && task.concurrencyKey === null && task.rateKey === null) return true;
  releaseSlots(state, id, true);
  state.waiting = state.waiting.filter((row) => row.id !== id);
  for (const [key, { taskId, until }] of state.uniqueKeys) {
    if (taskId === id && until === null) state.uniqueKeys.delete(key);
  }
  return true;
}

/** `requeueUnplaced`: how many it put into `waiting`. */
export function requeueUnplaced(state: State): number {
  const standing = state.places();
  const all = [...state.tasks.values()].filter((task) => {
    if (task.status !== "created") return false;
    const stands = standing.get(task.id)!;
    if (stands !== "ready") return stands === "nowhere";
    // A row that the record's columns do not lead to is as good as none.
    return !state.ready.some((row) => row.claimSeq === task.claimSeq && isAt(row, task));
  });
  for (const task of all.filter(({ dependencies }) => dependencies === 0)) {
    task.claimSeq++;
    release(state, task);
    if (task.status === "created") state.waiting.push({ ...placeOf(task, task.crashCount >= 2), reason: "time" });
  }
  for (const task of all.filter(({ dependencies }) => dependencies > 0)) {
    unplace(state, task, true);
    task.claimSeq++;
    release(state, task);
    if (task.status === "created") place(state, task);
  }
  state.edited.clear();
  return all.filter(({ status }) => status === "created").length;
}

/** `requeueForLimits`: whether the claim was still held, and so the task has joined a line. */
export function requeueForLimits(
  state: State,
  { id, claimSeq, quarantined, concurrencyKey, rateKey }: HeldTask & {
    quarantined: boolean;
    concurrencyKey: string | null;
    rateKey: string | null;
  },
): boolean {
  if (!state.holds({ id, claimSeq })) return false;
  const task = state.tasks.get(id)!;
  Object.assign(task, { claimSeq: claimSeq + 1, concurrencyKey, rateKey });
  release(state, task);
  if (task.status === "created") enter(state, placeOf(task, quarantined));
  return true;
}

/** `returnIdleSlots`: how many slots it takes from tasks that `isIdle` says nobody will claim, and from those that are gone. */
export function returnIdleSlots(state: State, isIdle: (row: Place) => boolean): number {
  const old = new Set(state.slots.filter(({ isOld, until }) => isOld && !(until instanceof Time)).map((s) => s.taskId));
  const idle = state.ready.filter((row) => {
    const task = state.tasks.get(row.id);
    return task && old.has(row.id) && isIdle(task.queue === row.queue ? row : placeOf(task)) && isAt(row, task);
  });
  state.ready = state.ready.filter((row) => !idle.includes(row));
  const freed = new Set<number>();
  for (const row of idle) {
    const task = state.tasks.get(row.id)!;
    if (!state.holds(row)) continue;
    enter(state, placeOf(task, row.quarantined));
    freed.add(row.id);
  }
  for (const id of old) if (state.tasks.get(id)?.status !== "created") freed.add(id);
  const kept = state.slots.filter(({ taskId, until }) => until instanceof Time || !freed.has(taskId));
  const returned = state.slots.length - kept.length;
  state.slots = kept;
  return returned;
}
