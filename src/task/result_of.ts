import { readProperty } from "../thrown.ts";
import type { TaskError } from "./record.ts";
import type { ScheduledCall } from "./scheduled_call.ts";

/**
 * The key under which a value says whose result it stands for: a {@linkcode ResultSource}. For the compiler, it is the
 * type of that result.
 *
 * @internal
 */
export const RESULT: unique symbol = Symbol.for("firefly.result") as never;

/**
 * Stands for the result of a scheduled task, of type `R`: its record, or the promise of it that `schedule()` returns. It
 * may be an argument where `R` may, and makes the task that takes it depend on the one that it stands for.
 */
export interface ResultOf<R> {
  /** @internal */
  readonly [RESULT]: R;
}

/** How a task ended: the value that `Promise.allSettled` gives for its promise. The reason is the task's last error. */
export type Settled<R> =
  | { readonly status: "fulfilled"; readonly value: R }
  | { readonly status: "rejected"; readonly reason: TaskError };

/** An argument of type `T`; or the task whose result it is; or, for a list, a list in which some elements are such. */
export type Argument<T> =
  | T
  | ResultOf<T>
  | (T extends readonly (infer E)[] ? readonly (E | ResultOf<E>)[] | ResultOf<readonly E[]> : never);

/** The arguments that `schedule()` takes for those of a handler. */
export type Arguments<A extends unknown[]> = { [K in keyof A]: Argument<A[K]> };

/** The tasks that a value stands for the results of: one, or those of a list. */
export interface ResultSource {
  /** The call that schedules them, while their ids are not known; they are the first `count` of it. */
  readonly call: ScheduledCall | undefined;
  /** The id of the one, where no call schedules it. */
  readonly id: number;
  /** How many they are, of a list. */
  readonly count: number | undefined;
  /** Whether any end of them will do. */
  readonly settled: boolean;
}

/** Returns the tasks that a value stands for the results of; undefined if it is any other value. */
export function resultSourceOf(value: unknown): ResultSource | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const source = readProperty(value, RESULT);
  return typeof source === "object" && source !== null ? source as ResultSource : undefined;
}

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
export function settled<R>(task: ResultOf<R>): ResultOf<Settled<R>>;
export function settled(task: ResultOf<unknown>): ResultOf<unknown> {
  const source = resultSourceOf(task);
  if (!source) {
    throw new TypeError("Cannot wait for the end of a task as this is no record, and no promise of schedule()");
  }
  const { call, id, count } = source;
  return { [RESULT]: { call, id, count, settled: true } satisfies ResultSource };
}
