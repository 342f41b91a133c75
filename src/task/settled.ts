import type { TaskError } from "./record.ts";
import { RESULT, type ResultOf, resultSourceOf } from "./result_of.ts";
import type { ResultSource } from "./scheduled_call.ts";

/** How a task ended: the value that `Promise.allSettled` gives for its promise. The reason is the task's last error. */
export type Settled<R> =
  | { readonly status: "fulfilled"; readonly value: R }
  | { readonly status: "rejected"; readonly reason: TaskError };

/**
 * Stands for how a task ended, whichever way it did: the argument is `{ status: "fulfilled", value }`, or
 * `{ status: "rejected", reason }` where the task failed, was cancelled or was deleted. Without it, such a task cancels
 * those that depend on it. Of a list of tasks, as `scheduleMany()` returns it, it is a list of these.
 *
 * @throws {TypeError} If `task` stands for no result.
 *
 * @example A task that runs whatever became of another one
 * ```ts ignore
 * await report.schedule(settled(merge.schedule(parts)));
 * ```
 */
export function settled<R>(tasks: Promise<unknown[]> & ResultOf<readonly R[]>): ResultOf<Settled<R>[]>;
/** Stands for how a task ended, whichever way it did. */
export function settled<R>(task: ResultOf<R>): ResultOf<Settled<R>>;
export function settled(task: ResultOf<unknown>): ResultOf<unknown> {
  const source = resultSourceOf(task);
  if (!source) {
    throw new TypeError("Cannot wait for the end of a task as this is no record, and no promise of schedule()");
  }
  const { call, id, count } = source;
  return { [RESULT]: { call, id, count, settled: true } satisfies ResultSource };
}
