import type { TaskDefinition } from "../task/definition.ts";
import { decodeParams, type KeyRing } from "../privacy/encryption.ts";
import { computeLimitKeys, isLimited } from "../task/limit_keys.ts";
import type { ClaimedTask } from "../store/claim.ts";

/** Claimed tasks by what is to be done with them. */
export interface Partition {
  /** May begin. */
  runnable: ClaimedTask[];
  /** Must wait for their slots first, by the keys that they have now. */
  unadmitted: ClaimedTask[];
  /** May begin, but only to fail: their definition's function could not tell a key. */
  mistakes: Map<ClaimedTask, unknown>;
}

/**
 * Parts what a claim has brought: a limited task begins only with its slots. Most have them, since `ready` takes no
 * others in. Without are those that came from SQL and have no keys yet, and those that came into `ready` past their
 * limits, as by the hand of an older release. A task whose definition has no limits any more just runs.
 */
export function partitionByLimits(
  tasks: ClaimedTask[],
  { definitions, keys }: { definitions: ReadonlyMap<string, TaskDefinition>; keys: KeyRing | undefined },
): Partition {
  const parted: Partition = { runnable: [], unadmitted: [], mistakes: new Map() };
  for (const task of tasks) {
    const definition = definitions.get(task.funcName)!;
    if (!isLimited(definition) || task.hasSlots && hasKeys(task, definition)) {
      parted.runnable.push(task);
      continue;
    }
    try {
      parted.unadmitted.push(withKeys(task, definition, keys));
    } catch (mistake) {
      parted.runnable.push(task);
      parted.mistakes.set(task, mistake);
    }
  }
  return parted;
}

/** Whether the keys of a task are still to be told from its arguments. */
export function needsKeys(task: ClaimedTask, definition: TaskDefinition): boolean {
  return isLimited(definition) && !hasKeys(task, definition);
}

function hasKeys({ concurrencyKey, rateKey }: ClaimedTask, { concurrency, rateLimit }: TaskDefinition): boolean {
  return (!concurrency || concurrencyKey !== null) && (!rateLimit || rateKey !== null);
}

/** The task with keys for all of its limits: what is stored with a record stays as it is. */
function withKeys(task: ClaimedTask, definition: TaskDefinition, keys: KeyRing | undefined): ClaimedTask {
  if (hasKeys(task, definition)) return task;
  const args = decodeParams(task.params!, keys);
  if (!Array.isArray(args)) throw new TypeError("Cannot tell the key of a limit as params is no list of arguments");
  const { concurrencyKey, rateKey } = computeLimitKeys(definition, args);
  return { ...task, concurrencyKey: task.concurrencyKey ?? concurrencyKey, rateKey: task.rateKey ?? rateKey };
}
