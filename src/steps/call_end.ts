import { FireflyError, TaskNotFound } from "../errors.ts";
import { decodeParams, isEncrypted, type KeyRing } from "../privacy/encryption.ts";
import type { Redactor } from "../privacy/redaction.ts";
import { TaskFailed } from "../records/task_failed.ts";
import type { CalleeRow } from "../store/calls.ts";
import type { StepRow } from "../store/steps.ts";
import type { CurrentInstance } from "../task/scope.ts";
import { encode } from "../wire/encode.ts";
import { describeStepError } from "./step_error.ts";

/** How a wait has ended: its result in the wire format, or its error as JSON. */
export interface Outcome {
  readonly returned: string | null;
  readonly error: string | null;
  /** Why the result cannot be read, so that it is none. */
  readonly unreadable?: unknown;
}

/** What reads the records and decrypts the results of called tasks. */
export interface CalleeReader {
  readonly keys: KeyRing | undefined;
  readonly instance: CurrentInstance;
  readonly redactor: Redactor;
}

/** The beginning of the key of a call of many tasks, whose result is a list. */
const MANY = "many:";

/** The key of a call, by the digest of its arguments. */
export function keyOfCall(digest: string, isMany: boolean): string {
  return isMany ? `${MANY}${digest}` : digest;
}

/** What a call gives to its handler once all that it called have ended: the results, or the first failure. */
export async function callEnd(
  { key, callees }: Pick<StepRow, "key" | "callees">,
  rows: ReadonlyMap<number, CalleeRow>,
  reader: CalleeReader,
): Promise<Outcome> {
  const ids = callees ?? [];
  const failed = ids.find((id) => rows.get(id)?.status !== "completed");
  if (failed !== undefined) {
    const described = describeStepError(await calleeError(failed, reader.instance), reader.redactor);
    return { returned: null, error: JSON.stringify({ ...JSON.parse(described), task: failed }) };
  }
  const results = await Promise.all(ids.map((id) => readResult(rows.get(id)!, reader.keys)));
  try {
    if (!key.startsWith(MANY)) {
      const [text = null] = results;
      if (text !== null) decodeParams(text, reader.keys); // so that one that cannot be read is told from its copy
      return { returned: text, error: null };
    }
    const values = results.map((text) => text === null ? undefined : decodeParams(text, reader.keys));
    return { returned: await encode(values), error: null };
  } catch (error) {
    return { returned: null, error: null, unreadable: error };
  }
}

async function readResult(
  { func_name, queue, returned }: CalleeRow,
  keys: KeyRing | undefined,
): Promise<string | null> {
  if (returned === null || !keys || !isEncrypted(returned)) return returned;
  return await keys.decrypt(returned, { funcName: func_name, queue, column: "returned" });
}

/** The error of a called task that did not complete. */
export async function calleeError(id: number, instance: CurrentInstance): Promise<FireflyError> {
  try {
    const record = await instance.tasks.get(id);
    return record.status === "failed" || record.status === "cancelled"
      ? new TaskFailed(record)
      : new FireflyError(`Task ${id} "${record.funcName}" did not complete`);
  } catch (error) {
    if (error instanceof TaskNotFound) return error;
    throw error;
  }
}
