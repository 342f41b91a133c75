import type { TaskDefinition } from "./definition.ts";
import type { ScheduleOptions } from "./options.ts";
import { readProperty } from "../thrown.ts";

/** The key under which a task, and a task with options for one call, has what it schedules. */
const TARGET: unique symbol = Symbol.for("firefly.target") as never;

/** What a call schedules: a task, with the options of `with()`. */
export interface CallTarget {
  readonly definition: TaskDefinition;
  readonly options: ScheduleOptions;
}

/** Makes an object one that `step.call()` can schedule. */
export function withTarget<T extends object>(schedulable: T, target: CallTarget): T {
  return Object.assign(schedulable, { [TARGET]: target });
}

/**
 * Returns what a task schedules.
 *
 * @throws {TypeError} If it is no task, or has options with which nothing can wait for it.
 */
export function targetOf(task: unknown): CallTarget {
  const target = readProperty(task, TARGET) as CallTarget | undefined;
  if (!target) throw new TypeError("Cannot call a task as this is none: pass a task, or what its with() returns");
  if (target.options.tx === undefined) return target;
  throw new TypeError(
    `Cannot call task "${target.definition.name}" with "tx": it is scheduled by the statement that stores the wait`,
  );
}
