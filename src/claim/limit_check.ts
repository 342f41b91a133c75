import type { TaskDefinition } from "../task/definition.ts";
import { decodeStored, type KeyRing } from "../privacy/encryption.ts";
import { computeLimitKeys, isLimited } from "../task/limit_keys.ts";
import { ClaimedTask } from "../store/claimed_task.ts";

/** Claimed tasks, sorted by the next step. */
export interface Partition {
  /** May begin. */
  runnable: ClaimedTask[];
  /** Must wait for their slots first, in the limit queues of their keys. */
  unadmitted: ClaimedTask[];
  /** Errors of key functions: these tasks begin, but only to fail. */
  keyErrors: Map<ClaimedTask, unknown>;
}

/**
 * Partitions claimed tasks: a limited task begins only with its slots. Most have them, since `ready` admits no others.
 * Exceptions are tasks that SQL scheduled, which have no keys yet, and tasks that got into `ready` past their limits,
 * as from an older release. A task whose definition no longer has limits just runs.
 */
export function partitionByLimits(
  tasks: ClaimedTask[],
  { definitions, keys }: { definitions: ReadonlyMap<string, TaskDefinition>; keys: KeyRing | undefined },
): Partition {
  const partition: Partition = { runnable: [], unadmitted: [], keyErrors: new Map() };
  for (const task of tasks) {
    const definition = definitions.get(task.funcName)!;
    if (!isLimited(definition) || task.hasSlots && hasKeys(task, definition)) {
      partition.runnable.push(task);
      continue;
    }
    try {
      partition.unadmitted.push(withKeys(task, definition, keys));
    } catch (error) {
      partition.runnable.push(task);
      partition.keyErrors.set(task, error);
    }
  }
  return partition;
}

/** Whether the keys of a task must still be computed from its arguments. */
export function needsKeys(task: ClaimedTask, definition: TaskDefinition): boolean {
  return isLimited(definition) && !hasKeys(task, definition);
}

function hasKeys({ concurrencyKey, rateKey }: ClaimedTask, { concurrency, rateLimit }: TaskDefinition): boolean {
  return (!concurrency || concurrencyKey !== null) && (!rateLimit || rateKey !== null);
}

/** The task with keys for all of its limits: a key stored with its record stays as it is. */
function withKeys(task: ClaimedTask, definition: TaskDefinition, keys: KeyRing | undefined): ClaimedTask {
  if (hasKeys(task, definition)) return task;
  const args = decodeStored(task.params!, "params", keys);
  if (!Array.isArray(args)) throw new TypeError("Cannot tell the key of a limit as params is no list of arguments");
  const { concurrencyKey, rateKey } = computeLimitKeys(definition, args);
  const { id, params, run } = task;
  const both = { concurrencyKey: task.concurrencyKey ?? concurrencyKey, rateKey: task.rateKey ?? rateKey };
  return new ClaimedTask(id, params, { ...run, ...both });
}
