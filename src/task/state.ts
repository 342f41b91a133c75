/**
 * The state of a task: `created` (waiting for its turn, its time or its next attempt), `running` (claimed by a
 * consumer), or ended: `completed`, `failed` or `cancelled`.
 */
export type TaskStatus = "created" | "running" | "completed" | "failed" | "cancelled";

/** Every status, in the order of a task's life. */
export const TASK_STATUSES: readonly TaskStatus[] = ["created", "running", "completed", "failed", "cancelled"];

/**
 * The state of a task: its status, with `created` told apart. `ready`: it may run now; `delayed`: its time has not come;
 * `retrying`: its time has not come, and an attempt was made before; `limited`: it waits for a slot of its limits;
 * `dependent`: it waits for other tasks to end; `suspended`: its handler sleeps, or waits for a signal, for tasks that it
 * called, or for the retry of a step; `unknown`: no consumer knows its name; `unplaced`: an edit by hand left it outside
 * of all of these, and a consumer will requeue it.
 */
export type TaskState =
  | "ready"
  | "delayed"
  | "retrying"
  | "limited"
  | "dependent"
  | "suspended"
  | "unknown"
  | "unplaced"
  | Exclude<TaskStatus, "created">;

/** Every state of a task whose status is `created`. */
export const CREATED_STATES: readonly TaskState[] = [
  "ready",
  "delayed",
  "retrying",
  "limited",
  "dependent",
  "suspended",
  "unknown",
  "unplaced",
];

/** Every state, in the order of a task's life. */
export const TASK_STATES: readonly TaskState[] = [
  ...CREATED_STATES,
  ...TASK_STATUSES.filter((status) => status !== "created"),
];

/** Numbers of tasks by state, and their sum over the states of `created`. */
export type TaskCounts = Record<TaskState | "created", number> & {
  /**
   * The states whose numbers are estimates, within a few percent where they are large; absent if all numbers are exact.
   * Above about 180,000 records, these are completed, cancelled and unplaced; the last is 0 then.
   */
  readonly estimated?: readonly TaskState[];
};
