import type { Tag } from "../database/driver.ts";
import { TaskNotFound } from "../errors.ts";
import type { KeyRing } from "../privacy/encryption.ts";
import { readRecords } from "../store/records.ts";
import { sendSignal as send } from "../store/signals.ts";
import type { Signal, SignalTarget } from "../task/signal.ts";
import { checkStepName } from "../task/step_options.ts";
import { validate } from "../task/validation.ts";
import { encode } from "../wire/encode.ts";

/**
 * Sends a signal to a task. Resolves to whether there is such a task that has not ended.
 *
 * @throws {ValidationFailed} If the payload does not fit the schema of the signal.
 */
export async function sendSignal(
  { sql, keys }: { sql: () => Promise<Tag>; keys: KeyRing | undefined },
  task: number | SignalTarget,
  { signal, payload }: { signal: Pick<Signal, "name" | "input">; payload: unknown },
): Promise<boolean> {
  const { name, input } = signal;
  checkStepName(name, "send a signal", "signal");
  const value = input
    ? await validate(input, payload, `Cannot send signal "${name}" as its payload is not valid`)
    : payload;
  const text = value === undefined ? null : await encode(value);
  const connection = await sql();
  if (text === null || !keys) return await send(connection, task, name, text);
  try {
    const funcName = typeof task === "number" ? await readName(connection, task) : task.funcName;
    // The payload stays readable when the task is moved to another queue.
    const encrypted = await keys.encrypt(text, { funcName, queue: "", column: "signal.payload" }, { anyQueue: true });
    return await send(connection, task, name, encrypted);
  } catch (error) {
    if (error instanceof TaskNotFound) return false;
    throw error;
  }
}

async function readName(sql: Tag, id: number): Promise<string> {
  const [row] = await readRecords(sql, [id]);
  if (!row) throw new TaskNotFound(id);
  return row.func_name;
}
