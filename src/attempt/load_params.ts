import type { Tag } from "../database/driver.ts";
import type { LazyAbortController } from "./lazy_abort.ts";
import type { KeyRing } from "../privacy/encryption.ts";
import { LeaseLost } from "../errors.ts";
import { readParams } from "../store/params.ts";
import type { Steps } from "../steps/steps.ts";
import type { ClaimedTask } from "../store/claimed_task.ts";
import type { TaskDefinition } from "../task/definition.ts";

/** A claimed task whose params are loaded. */
export type LoadedTask = ClaimedTask & { params: string };

/** Whether the params of a claimed task are loaded: long ones stay in the database until they are needed. */
export function areParamsLoaded(task: ClaimedTask): task is LoadedTask {
  return task.params !== null;
}

/**
 * Loads the params of a claimed task, and decrypts them if it can.
 *
 * @throws {LeaseLost} If the consumer no longer holds the task.
 */
export async function loadParams(
  task: ClaimedTask,
  { sql, keys }: { sql: Tag; keys: KeyRing | undefined },
): Promise<void> {
  const params = await readParams(sql, task);
  if (params === undefined) throw new LeaseLost(`Cannot run task ${task.id} as it is not held any more`);
  const { funcName, queue } = task;
  task.params = keys ? await keys.decrypt(params, { funcName, queue, column: "params" }) : params;
}

/** An attempt that is about to begin. */
export interface AttemptToLoad {
  readonly task: ClaimedTask;
  readonly definition: TaskDefinition;
  readonly env: { readonly sql: Tag; readonly keys: KeyRing | undefined };
  readonly abortController: LazyAbortController;
}

/** Whether the handler of an attempt can be called: its params are there, and its steps if it asks for their version. */
export function isLoaded({ task, definition }: AttemptToLoad): boolean {
  return areParamsLoaded(task) && !needsSteps(task, definition);
}

/** Loads what the handler of an attempt needs. */
export async function loadAttempt(attempt: AttemptToLoad, getSteps: () => Steps): Promise<void> {
  const { task, definition, env, abortController } = attempt;
  if (!areParamsLoaded(task)) await loadParams(task, env);
  if (!needsSteps(task, definition)) return;
  await new Promise<void>((resolve, reject) => {
    abortController.onAbort = reject;
    getSteps().load().then(() => resolve(), reject);
  });
}

/**
 * Whether the steps are read before the handler runs: `current().version` may be that of an earlier attempt, or the task
 * may have steps to compensate, however the handler ends.
 */
function needsSteps({ claimSeq, compensates }: ClaimedTask, { version }: TaskDefinition): boolean {
  return (version !== undefined || compensates) && claimSeq > 0;
}
