import type { Tag } from "../database/driver.ts";
import { decryptTasks, type KeyRing } from "../privacy/encryption.ts";
import { LeaseLost } from "../errors.ts";
import { type ClaimedTask, readParams } from "../store/claim.ts";

/** A claimed task whose params are at hand. */
export type LoadedTask = ClaimedTask & { params: string };

/** Whether the params of a claimed task are at hand: long ones stay in the database until they are needed. */
export function areParamsLoaded(task: ClaimedTask): task is LoadedTask {
  return task.params !== null;
}

/**
 * Brings the params of a claimed task, and decrypts them if that can be done.
 *
 * @throws {LeaseLost} If the task is not held any more.
 */
export async function loadParams(
  task: ClaimedTask,
  { sql, keys }: { sql: Tag; keys: KeyRing | undefined },
): Promise<void> {
  const params = await readParams(sql, task);
  if (params === undefined) throw new LeaseLost(`Cannot run task ${task.id} as it is not held any more`);
  const [opened] = keys ? await decryptTasks([{ ...task, params }], keys) : [{ params }];
  task.params = opened!.params;
}
