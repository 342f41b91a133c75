import type { Tag } from "../database/driver.ts";
import type { KeyRing } from "../privacy/encryption.ts";
import { LeaseLost } from "../errors.ts";
import { readParams } from "../store/claim.ts";
import type { ClaimedTask } from "../store/claimed_task.ts";

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
