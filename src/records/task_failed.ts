import { DependencyFailed, FireflyError } from "../errors.ts";
import type { TaskError, TaskRecord } from "../task/record.ts";

/**
 * The awaited task failed or was cancelled.
 *
 * @example
 * ```ts ignore
 * try {
 *   console.log(await record.result());
 * } catch (error) {
 *   if (error instanceof TaskFailed) console.error(error.task.status, error.message);
 * }
 * ```
 */
export class TaskFailed extends FireflyError {
  /** The name of the class. */
  override name = "TaskFailed";
  /** The record of the task. */
  readonly task: TaskRecord;

  /** Creates an error whose message says how `task` ended. */
  constructor(task: TaskRecord) {
    // A record whose errors the database refused has none.
    const why = task.status === "failed"
      ? `failed: ${task.error?.message ?? "its error is not stored"}`
      : "was cancelled";
    const { error } = task;
    const failed = isDependencyError(error) ? new DependencyFailed(error.message, error) : undefined;
    super(
      `Task ${task.id} "${task.funcName}" ${why}${failed ? `: ${failed.message}` : ""}`,
      failed && { cause: failed },
    );
    this.task = task;
  }
}

/** Whether the error of a record says that a task which it depends on did not complete. */
function isDependencyError(error: TaskError | null): error is TaskError & { dependency: number; root: number } {
  return error?.name === "DependencyFailed" && typeof error.dependency === "number" && typeof error.root === "number";
}
