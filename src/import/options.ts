import type { Firefly } from "../firefly/firefly.ts";
import { refuseUnknownKeys } from "../suggest.ts";
import { checkQueueName } from "../task/definition.ts";
import { registry } from "../task/scope.ts";
import { didYouMean } from "../suggest.ts";

/**
 * Why jobs that wait are left unless {@linkcode ImportOptions.ignore} has the reason: they use what no option of one task
 * can express.
 *
 * - `backoff`: a custom backoff strategy of BullMQ, where the task has no `retryDelay`
 * - `dead-letter`: a dead letter queue of pg-boss
 * - `flags`: flags of graphile-worker, by which workers leave jobs out
 * - `group`: a group of pg-boss, where the task has no `concurrency`
 * - `policy`: a policy of a pg-boss queue that runs jobs one by one, where the task has no `concurrency`
 * - `serial-queue`: a named queue of graphile-worker, whose jobs run one by one, where the task has no `concurrency`; or
 *   a job of that queue runs at this moment
 * - `throttle`: `singletonSeconds` of pg-boss or `deduplication.ttl` of BullMQ, where the task has no `unique`
 */
export type IgnorableReason =
  | "backoff"
  | "dead-letter"
  | "flags"
  | "group"
  | "policy"
  | "serial-queue"
  | "throttle";

/** All reasons that `ignore` may have. */
export const IGNORABLE_REASONS: readonly IgnorableReason[] = [
  "backoff",
  "dead-letter",
  "flags",
  "group",
  "policy",
  "serial-queue",
  "throttle",
];

/** How far an import is. */
export interface ImportProgress {
  /** How many jobs it has looked at. */
  readonly read: number;
  /** How many of them it has scheduled, or in a dry run would schedule. */
  readonly imported: number;
}

/** What all importers take. */
export interface ImportOptions {
  /** The instance to import into. @default the current one */
  firefly?: Firefly;
  /**
   * The task of each name in the other queue, where it is another one: `{ "welcome-mail": "mail.welcome" }`.
   *
   * @default the task of the same name or alias
   */
  map?: Record<string, string>;
  /**
   * The queue for all tasks, or one for each queue in the other system. For pg-boss that is the name of the job, for
   * graphile-worker the named queue, for BullMQ the queue.
   *
   * @default the queue of the task's definition
   */
  queue?: string | Record<string, string>;
  /** The names of jobs to import, as the other queue has them. @default all */
  names?: string[];
  /** The queues to import from, as the other system names them. @default all, and for graphile-worker jobs without one */
  sourceQueues?: string[];
  /**
   * What a handler gets: the job's data as its only argument, or, for `spread`, the members of data that is a list.
   *
   * @default "data"
   */
  arguments?: "data" | "spread";
  /** Reasons that do not keep a job from being imported: what they say of it is then lost. @default none */
  ignore?: IgnorableReason[];
  /** Whether to change nothing, and only report what an import would do. @default false */
  dryRun?: boolean;
  /** Ends the import: nothing is imported then. @default none */
  signal?: AbortSignal;
  /** Is called after each batch of jobs. */
  onProgress?: (progress: ImportProgress) => void;
}

const KEYS: readonly (keyof ImportOptions)[] = [
  "firefly",
  "map",
  "queue",
  "names",
  "sourceQueues",
  "arguments",
  "ignore",
  "dryRun",
  "signal",
  "onProgress",
];

/**
 * Checks the options of an import; `own` are the keys that only one importer has.
 *
 * @throws {TypeError} If an option is unknown or of the wrong type, or if `map` names no task.
 * @throws {RangeError} If a queue's name is not valid.
 */
export function checkImportOptions(options: ImportOptions, own: readonly string[], action: string): void {
  refuseUnknownKeys(options, [...KEYS, ...own], action);
  for (const name of Object.values(options.map ?? {})) {
    if (registry.has(name)) continue;
    const hint = didYouMean(name, [...registry.keys()]) || ": import the module that defines it first";
    throw new TypeError(`Cannot ${action} as "map" names "${name}", and there is no such task${hint}`);
  }
  const { queue = {} } = options;
  for (const name of typeof queue === "string" ? [queue] : Object.values(queue)) checkQueueName(name, action);
  for (const key of ["names", "sourceQueues", "ignore"] as const) {
    const list: unknown = options[key];
    if (list === undefined || Array.isArray(list) && list.every((item) => typeof item === "string")) continue;
    throw new TypeError(`Cannot ${action} as "${key}" must be a list of texts`);
  }
  for (const reason of options.ignore ?? []) {
    if (IGNORABLE_REASONS.includes(reason)) continue;
    const hint = didYouMean(reason, IGNORABLE_REASONS) || `: known are ${IGNORABLE_REASONS.join(", ")}`;
    throw new TypeError(`Cannot ${action} as "ignore" cannot have "${reason}" in it${hint}`);
  }
  if (!["data", "spread"].includes(options.arguments ?? "data")) {
    throw new TypeError(`Cannot ${action} as "arguments" must be "data" or "spread"`);
  }
}
