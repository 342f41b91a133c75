import type { Tag } from "../database/driver.ts";
import { StepsChanged } from "../errors.ts";
import { type KeyRing, mapInChunks } from "../privacy/encryption.ts";
import type { ClaimedTask } from "../store/claimed_task.ts";
import { readSteps, type StepRow } from "../store/steps.ts";

/**
 * Reads the steps that earlier attempts of a task have stored, and decrypts their results if it can. The first attempt
 * has nothing to read.
 *
 * @throws {StepsChanged} If one of them is of a higher version than `version`.
 */
export async function loadSteps(
  task: ClaimedTask,
  { sql, keys, version }: { readonly sql: Tag; readonly keys: KeyRing | undefined; readonly version: number },
): Promise<StepRow[]> {
  if (task.claimSeq === 0) return [];
  const rows = await readSteps(sql, task.id);
  const newest = rows.reduce((newest, { version }) => Math.max(newest, version), 0);
  if (newest > version) {
    throw new StepsChanged(
      `Cannot run version ${version} of task ${task.id} as version ${newest} has run steps of it`,
      { step: null, unasked: [] },
    );
  }
  if (!keys) return rows;
  const { funcName, queue } = task;
  return await mapInChunks(rows, async (row) => {
    const { returned } = row;
    if (returned === null) return row;
    return { ...row, returned: await keys.decrypt(returned, { funcName, queue, column: "step.returned" }) };
  });
}

/** The error of a task that begins `step` without having asked for stored ones. */
export function stepsChangedError(id: number, step: string, unasked: string[]): StepsChanged {
  const [first] = unasked;
  const names = unasked.map((name) => `"${name}"`).join(", ");
  const which = unasked.length === 1 ? `step ${names}, which has run, was` : `steps ${names}, which have run, were`;
  return new StepsChanged(
    `Cannot begin step "${step}" of task ${id} as its ${which} not asked for: ` +
      `renamed steps need aliases: ["${first}"], other changes a higher version`,
    { step, unasked },
  );
}
