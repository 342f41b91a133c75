import type { Database } from "../database/pools.ts";
import { decodeParams, type KeyRing, mapInChunks } from "../privacy/encryption.ts";
import type { StepRecord } from "../task/step_record.ts";
import { readSteps, type StepRow } from "../store/steps.ts";

/** The connections that steps are read through. */
export interface StepAccess {
  readonly keys: KeyRing | undefined;
  database(): Promise<Database>;
}

/** Reads the steps of a task, in the order in which they ended; those that wait come last. */
export async function readStepRecords({ keys, database }: StepAccess, taskId: number): Promise<StepRecord[]> {
  const { records: sql } = await database();
  const { steps } = await readSteps(sql, taskId);
  return await mapInChunks(steps, async ({ func_name: funcName, queue, ...row }) => {
    const { returned } = row;
    if (!keys || returned === null) return toStepRecord(row, keys);
    const decrypted = await keys.decrypt(returned, { funcName, queue, column: "step.returned" });
    return toStepRecord({ ...row, returned: decrypted }, keys);
  });
}

/** The result is decoded when it is read, so that one that cannot be decoded does not break a list of steps. */
function toStepRecord(
  { returned, ...row }: Omit<StepRow, "func_name" | "queue">,
  keys: KeyRing | undefined,
): StepRecord {
  const { attempt, ended, due, began, callees } = row;
  // What a task stores that compensates its steps is for its next attempt.
  const { plan: _, by: __, ...error } = (row.error ?? {}) as
    & NonNullable<StepRow["error"]>
    & Record<"plan" | "by", unknown>;
  return {
    ...row,
    due: due && isFinite(due.getTime()) ? due : null,
    callees: callees ?? [],
    error: row.error && { ...error, at: ended ?? began, attempt },
    get returned() {
      return returned === null ? undefined : decodeParams(returned, keys);
    },
  };
}
