import type { TaskStatus } from "./state.ts";
import type { TaskError } from "./task_error.ts";

/** A step of a task as it is stored: one that has ended, or one that waits. */
export interface StepRecord {
  /** The name of the step; that of the signal or the task that it waits for. */
  readonly name: string;
  /** What tells it apart from others of its name: its key, or the number of the call from the second on. */
  readonly key: string;
  /**
   * What it does. `step`: it calls a function; `sleep`, `signal`, `call`: it waits for a time, a signal, or tasks that it
   * called; `compensation`: it undoes another one.
   */
  readonly kind: "step" | "sleep" | "signal" | "call" | "compensation";
  /**
   * How it ended, or `waiting`: its wait has not ended, or it has failed and is tried again. A failure is stored only if
   * the handler caught it and began another step.
   */
  readonly status: "waiting" | "completed" | "failed";
  /** Its place in the order in which steps ended; null while it waits. */
  readonly seq: number | null;
  /** The `version` of the task's code that ran it. */
  readonly version: number;
  /** The number of the attempt that ran it, from 1. */
  readonly attempt: number;
  /** How often it has failed, of a step with retries of its own. */
  readonly failures: number;
  /** When it first began. */
  readonly began: Date;
  /** When it ended; null while it waits. */
  readonly ended: Date | null;
  /** When a sleep ends, a signal is waited for no longer, or a step is tried again; null for none of these. */
  readonly due: Date | null;
  /** The ids of the tasks that it called, in the order of its calls. */
  readonly callees: readonly number[];
  /** What it returned: the payload of a signal, the results of tasks. Reading it throws if it cannot be decrypted or decoded. */
  readonly returned: unknown;
  /** What it threw, or threw last if it is tried again; null if it has not failed. */
  readonly error: TaskError | null;
}

/** A task among those that hang together by their dependencies and calls. */
export interface GraphNode {
  /** The id of the task. */
  readonly id: number;
  /** The name of the task. */
  readonly funcName: string;
  /** The status of the task. */
  readonly status: TaskStatus;
  /** The ids of the tasks that it depends on, in the order of its arguments; those of deleted tasks as well. */
  readonly dependencies: readonly number[];
  /** The id of the task whose handler called it; null if none did. */
  readonly calledBy: number | null;
}
