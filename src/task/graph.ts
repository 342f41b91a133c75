import type { TaskStatus } from "./record.ts";

/** A task among those that hang together by their dependencies. */
export interface GraphNode {
  /** The id of the task. */
  readonly id: number;
  /** The name of the task. */
  readonly funcName: string;
  /** The status of the task. */
  readonly status: TaskStatus;
  /** The ids of the tasks that it depends on, in the order of its arguments; those of deleted tasks as well. */
  readonly dependencies: readonly number[];
}
