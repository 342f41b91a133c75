import { hostname } from "node:os";
import process from "node:process";
import type { ConsumerConfig } from "../attempt/consumer_config.ts";
import { type Duration, toSeconds } from "../duration.ts";
import { FireflyError } from "../errors.ts";
import { refuseUnknownKeys } from "../suggest.ts";
import { checkQueueName, namesOf, type TaskDefinition } from "../task/definition.ts";
import { registry } from "../task/scope.ts";
import type { Task } from "../task/signature.ts";
import { DEFINITION } from "../task/task.ts";
import { toStorable } from "../wire/format.ts";

/** How a consumer works. */
export interface ConsumeOptions {
  /**
   * The queues to consume. `"*"` stands for all, also those that appear later; made for up to about a hundred queues.
   *
   * @default the queues of its tasks, as their options name them
   */
  queues?: string | string[];
  /** How many handlers may run at a time. @default 10 */
  concurrency?: number;
  /** The tasks to run. @default all that this process has defined */
  // deno-lint-ignore no-explicit-any
  tasks?: Iterable<Task<any, any>>;
  /** Ends once no task is ready; leaves tasks that are due later. @default false */
  drain?: boolean;
  /** Ends after this many attempts. @default no limit */
  maxTasks?: number;
  /** Stops the consumer when it aborts. */
  signal?: AbortSignal;
  /** How long stopping waits for handlers before it aborts them: seconds, or text with a unit. @default "30s" */
  shutdownTimeout?: Duration;
  /** How often to poll in case a notification is missed: seconds, or text with a unit. @default "5s" */
  pollInterval?: Duration;
  /**
   * How long after a consumer crashed, or lost the database, other consumers run its tasks: seconds, or text with a unit.
   *
   * @default "30s"
   */
  lease?: Duration;
  /**
   * Schedules the tasks with a `cron` when their slots come, in any queue. A consumer that drains never does.
   *
   * @default true
   */
  cron?: boolean;
  /**
   * Ends the process (SIGKILL) when its event loop was blocked for 0.6 of the lease, as by a handler that computes in an
   * endless loop: the consumer cannot renew its lease then, and nothing else in the process can run. Without the watchdog,
   * the event `consumer.blocked` reports a block once it is over.
   *
   * @default false, but true in the command line
   */
  watchdog?: boolean;
  /**
   * The release of your application, such as a version or a commit, up to 200 characters: stored with the consumer, with
   * each task that it attempts, and with each error.
   *
   * @default `FIREFLY_RELEASE`, else `DENO_DEPLOYMENT_ID`, else none
   */
  release?: string;
  /**
   * What operators call this consumer, such as `mail-2`, up to 200 characters: shown by the command `consumers`. Several
   * may have one name.
   *
   * @default none
   */
  name?: string;
}

const OPTION_KEYS = [
  "queues",
  "concurrency",
  "tasks",
  "drain",
  "maxTasks",
  "signal",
  "shutdownTimeout",
  "pollInterval",
  "lease",
  "cron",
  "watchdog",
  "release",
  "name",
];
const ACTION = "consume";
/** Stands for all queues. */
const ALL_QUEUES = "*";
/** The most characters of a release. */
const LONGEST_RELEASE = 200;
/** The most characters of a name. */
const LONGEST_NAME = 200;
/** In seconds. With a longer lease, the tasks of a crashed consumer would wait too long, and timers overflow. */
const LONGEST_LEASE = 86_400;
/** The longest time of a timer in milliseconds: it holds 31 bits, and fires at once beyond them. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** Checks the options, and fills in their defaults. */
export function checkConsumeOptions(
  options: ConsumeOptions,
  { schema, defaults }: { readonly schema: string; readonly defaults: ConsumerConfig["defaults"] },
): ConsumerConfig {
  refuseUnknownKeys(options, OPTION_KEYS, ACTION);
  const { concurrency = 10, maxTasks = Infinity, drain = false, cron = true, watchdog = false } = options;
  const given = options.queues === undefined ? undefined : [options.queues].flat();
  if (given?.length === 0) throw new TypeError(`Cannot ${ACTION} as "queues" is empty`);
  for (const queue of given ?? []) if (queue !== ALL_QUEUES) checkQueueName(queue, ACTION, schema);
  for (const [name, value] of Object.entries({ concurrency, maxTasks })) {
    if (value === Infinity && name === "maxTasks" || Number.isInteger(value) && value > 0) continue;
    throw new RangeError(`Cannot ${ACTION} as "${name}" must be a positive integer: current value is ${value}`);
  }
  const lease = toSeconds(options.lease ?? "30s", "lease");
  if (lease < 1 || lease > LONGEST_LEASE) {
    throw new RangeError(`Cannot ${ACTION} as "lease" must be from 1 second to 1 day: current value is ${lease}`);
  }
  const pollInterval = toSeconds(options.pollInterval ?? "5s", "pollInterval");
  if (pollInterval === 0) throw new RangeError(`Cannot ${ACTION} as "pollInterval" must be longer than 0 seconds`);
  const shutdownTimeout = toSeconds(options.shutdownTimeout ?? "30s", "shutdownTimeout");
  const attemptedBy = Object.freeze({ host: hostname(), pid: process.pid, release: releaseOf(options) });
  const definitions = definitionsOf(options.tasks);
  const own = queuesOf(definitions.values(), defaults.queue);
  for (const queue of own) checkQueueName(queue, ACTION, schema);
  const allQueues = given?.includes(ALL_QUEUES) ?? false;
  return Object.freeze({
    name: nameOf(options),
    queues: given && !allQueues ? [...new Set(given)] : own,
    allQueues,
    definitions,
    names: [...definitions.keys()],
    concurrency,
    maxTasks,
    drain,
    cron,
    watchdog,
    leaseMs: lease * 1000,
    pollIntervalMs: pollInterval * 1000,
    shutdownTimeoutMs: Math.min(shutdownTimeout * 1000, LONGEST_TIMER),
    attemptedBy,
    defaults,
  });
}

/** The queues of tasks, as their definitions or the defaults name them. */
export function queuesOf(definitions: Iterable<TaskDefinition>, byDefault = "default"): string[] {
  return [...new Set(Array.from(definitions, ({ queue }) => queue ?? byDefault))];
}

/** The release of the application: the option, else what the environment has. */
function releaseOf({ release }: ConsumeOptions): string | null {
  const { FIREFLY_RELEASE, DENO_DEPLOYMENT_ID } = process.env;
  const found = release ?? (FIREFLY_RELEASE || DENO_DEPLOYMENT_ID || null);
  if (found === null) return null;
  const source = release === undefined ? "FIREFLY_RELEASE or DENO_DEPLOYMENT_ID" : `"release"`;
  if (typeof found !== "string") {
    throw new TypeError(`Cannot ${ACTION} as ${source} must be a string: current value is ${String(found)}`);
  }
  if (found === "" || found.length > LONGEST_RELEASE || toStorable(found) !== found) {
    throw new RangeError(
      `Cannot ${ACTION} as ${source} must have 1 to ${LONGEST_RELEASE} characters that PostgreSQL can store: ` +
        `current value has ${found.length}`,
    );
  }
  return found;
}

function nameOf({ name }: ConsumeOptions): string | null {
  if (name === undefined) return null;
  if (typeof name === "string" && name !== "" && name.length <= LONGEST_NAME && toStorable(name) === name) return name;
  throw new RangeError(
    `Cannot ${ACTION} as "name" must have 1 to ${LONGEST_NAME} characters that PostgreSQL can store: ` +
      `current value is ${JSON.stringify(name)}`,
  );
}

// deno-lint-ignore no-explicit-any
function definitionsOf(tasks: Iterable<Task<any, any>> | undefined): Map<string, TaskDefinition> {
  const definitions = new Map<string, TaskDefinition>();
  if (tasks === undefined) {
    for (const [name, { definition }] of registry) definitions.set(name, definition);
  } else {
    for (const task of tasks) {
      const definition = (task as unknown as { [DEFINITION]: TaskDefinition })[DEFINITION];
      for (const name of namesOf(definition)) definitions.set(name, definition);
    }
  }
  if (definitions.size > 0) return definitions;
  throw new FireflyError(`Cannot ${ACTION} as no task is defined: import the modules that define them first`);
}
