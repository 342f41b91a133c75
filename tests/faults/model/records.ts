import { type Place, type State, type Task, Time } from "./state.ts";

/**
 * What becomes of a record and of what it holds, whatever the cause: its place, its slots and its unique key.
 */

/** A task as it is scheduled. */
export interface NewTask {
  name: string;
  queue: string;
  priority: number;
  notBefore: Time;
  params: string;
  uniqueKey?: string | null;
  uniqueAmong?: string[] | null;
  uniqueFor?: number | null;
  concurrencyKey?: string | null;
  rateKey?: string | null;
  onConflict?: "keep" | "replace" | "error";
  dependencies?: number;
  dependants?: boolean;
}

/** The trigger `place_inserted`, for one row. */
export function insertTask(state: State, id: number, fresh: NewTask): void {
  place(state, insertRecord(state, id, fresh));
}

/** The same, but for its place. */
export function insertRecord(state: State, id: number, fresh: NewTask): Task {
  const { onConflict: _, ...given } = fresh;
  const task: Task = {
    id,
    claimSeq: 0,
    status: "created",
    started: false,
    completed: false,
    failed: false,
    cancelled: false,
    returned: null,
    retryAttempts: 0,
    rescues: 0,
    snoozes: 0,
    crashCount: 0,
    errors: [],
    progress: null,
    uniqueKey: null,
    uniqueAmong: null,
    uniqueFor: null,
    concurrencyKey: null,
    rateKey: null,
    dependencies: 0,
    dependants: false,
    ...given,
  };
  state.tasks.set(id, task);
  if (task.uniqueKey !== null) takeUniqueKey(state, keyOf(task), id);
  return task;
}

/** What a unique key is stored under. */
export function keyOf({ name, uniqueKey }: { name: string; uniqueKey?: string | null }): string {
  return `${name} ${uniqueKey}`;
}

/** `_take_unique_key`: who holds the key afterwards. */
export function takeUniqueKey(state: State, key: string, id: number): number {
  const held = state.uniqueKeys.get(key);
  const isFree = !held || held.until?.hasCome(state.clock) || held.until !== null && held.taskId === id;
  if (!isFree) return held.taskId;
  state.uniqueKeys.set(key, { taskId: id, until: null });
  return id;
}

/** `_place`: puts a record that stands nowhere where it belongs, into quarantine from its second crash on. */
export function place(state: State, task: Task): void {
  const row = placeOf(task, task.crashCount >= 2);
  const pending = state.openEdges(task.id).length;
  if (pending > 0) state.waiting.push({ ...row, reason: "dependencies", pending });
  else if (task.notBefore.hasCome(state.clock)) enter(state, row);
  else state.waiting.push({ ...row, reason: "time" });
}

/** What is due goes to `ready`, and what is limited into the line of its key, to be let in. */
export function enter(state: State, row: Place): void {
  const free = { ...row, pending: null, signals: null, suspended: false };
  if (row.concurrencyKey !== null) state.waiting.push({ ...free, reason: "concurrency" });
  else if (row.rateKey !== null) state.waiting.push({ ...free, reason: "rate" });
  else state.ready.push({ ...free, reason: null });
}

export function placeOf(task: Task, quarantined = false): Place {
  const { id, claimSeq, notBefore, priority, queue, name, concurrencyKey, rateKey } = task;
  const place = { id, claimSeq, notBefore, priority, queue, name, concurrencyKey, rateKey, quarantined };
  return { ...place, reason: null, pending: null, signals: null, suspended: false };
}

/** Whether the record's columns lead to this row of `ready`: it has no index on the id alone. */
export function isAt(row: Place, task: Task): boolean {
  return row.id === task.id && row.queue === task.queue && row.priority === task.priority &&
    row.notBefore.at === task.notBefore.at;
}

/** `_unplace`: false if the record stood in neither table, as its columns say, with its fence if `fenced`. */
export function unplace(state: State, task: Task, fenced = false): boolean {
  const isCurrent = (row: Place) => !fenced || row.claimSeq === task.claimSeq;
  const ready = state.ready.filter((row) => !(isAt(row, task) && isCurrent(row)));
  if (ready.length < state.ready.length) {
    state.ready = ready;
    return true;
  }
  const waiting = state.waiting.filter((row) => !(row.id === task.id && isCurrent(row)));
  const stood = waiting.length < state.waiting.length;
  state.waiting = waiting;
  return stood;
}

/** `_take_place`: false if a batch of claims holds the record. */
export function takePlace(state: State, task: Task): boolean {
  return unplace(state, task, true) || state.places().get(task.id) !== "running";
}

/**
 * The trigger `release`, to be called after every change of `status` or `claim_seq`: releases slots and the
 * unique key, or takes the key again; where a duplicate has it, the task ends `failed`. An end is noted for the
 * dependants of the task. `began` says that an attempt
 * began, or may have: then the slot of its rate expires.
 */
export function release(
  state: State,
  task: Task,
  { began = false, attempt = task.retryAttempts + task.rescues + 1 } = {},
): void {
  releaseHeld(state, task, { began, attempt });
  if (task.status !== "cancelled") state.unmet.delete(task.id);
  if (task.status === "created") {
    if (state.over.delete(task.id)) state.retried.add(task.id);
    return;
  }
  if (task.dependants && !state.over.has(task.id)) state.ended.push(task.id);
  state.over.add(task.id);
}

function releaseHeld(state: State, task: Task, { began, attempt }: { began: boolean; attempt: number }): void {
  if (task.concurrencyKey !== null || task.rateKey !== null) {
    releaseSlots(state, task.id, began || task.status !== "created");
  }
  if (task.uniqueKey === null) return;
  const key = keyOf(task);
  const keeps = (task.uniqueAmong ?? ["created", "running"]).includes(task.status);
  const outlasts = !keeps && task.status === "completed" && task.uniqueFor !== null;
  if (!keeps && !outlasts) {
    if (state.uniqueKeys.get(key)?.taskId === task.id) state.uniqueKeys.delete(key);
  } else if (takeUniqueKey(state, key, task.id) === task.id) {
    if (outlasts) state.uniqueKeys.get(key)!.until = new Time(task.uniqueFor!);
  } else if (task.status === "created") {
    task.status = "failed";
    task.failed = true;
    task.errors.push(`TaskExists ${attempt}`);
  }
}

export function releaseSlots(state: State, id: number, began: boolean): void {
  for (const slot of state.slots) {
    if (began && slot.taskId === id && slot.until === "infinity") slot.until = new Time(slot.per!);
  }
  state.slots = state.slots.filter(({ taskId, until }) => taskId !== id || until instanceof Time);
}

/** `_replace`: whether the duplicate was waiting to run and has no steps, and so is overwritten. */
export function replaceTask(state: State, id: number, fresh: NewTask): boolean {
  const task = state.tasks.get(id);
  if (task?.status !== "created" || state.steps.some(({ taskId }) => taskId === id)) return false;
  if (!unplace(state, task)) return false;
  Object.assign(task, { params: fresh.params, notBefore: fresh.notBefore, claimSeq: task.claimSeq + 1 });
  release(state, task);
  if (task.status === "created") place(state, task);
  return true;
}
