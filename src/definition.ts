import { checkRetryDelay, type RetryDelay } from "./backoff.ts";
import { type Duration, toSeconds } from "./duration.ts";
import type { Backoff } from "./backoff.ts";
import type { TaskStatus } from "./record.ts";
import type { Queryable, Sql } from "./sql.ts";
import { refuseUnknownKeys } from "./suggest.ts";

/** How a task is run, given once where it is defined. */
export interface TaskOptions<A extends unknown[] = unknown[]> {
  /**
   * The identity of the task, stored with every record as `func_name`: letters, digits, `_`, `-`, `:`, `/` and dots,
   * such as `mail.welcome`. It is never derived from the function, whose name a bundler may change.
   */
  name: string;
  /** Names that this task had before, so that their records still run. */
  aliases?: string[];
  /** The queue it is scheduled into. @default "default" */
  queue?: string;
  /** How many retries follow a failed first attempt. @default 0 */
  maxRetries?: number;
  /** The delay before a retry. @default 120 */
  retryDelay?: Duration | Backoff | ((attempt: number, error: Error) => Duration);
  /** Larger goes first. @default 0 */
  priority?: number;
  /** Aborts `current().signal` and fails the attempt after this time. @default none */
  timeout?: Duration;
  /** Keeps twins away. Not available in this release: defining a task with it throws. */
  unique?: true | Unique<A>;
}

/** What makes two tasks twins, and what happens to the second. */
export interface Unique<A extends unknown[] = unknown[]> {
  /** What twins share. @default the name and the arguments */
  key?: string | ((...args: A) => string);
  /** The statuses in which a task keeps its twins away. @default ["created", "running"] */
  among?: TaskStatus[];
  /** Keeps twins away for this time after completion, too. */
  for?: Duration;
  /** What scheduling a twin does. @default "keep" */
  onConflict?: "keep" | "replace" | "error";
}

/** When a task is scheduled by itself. Not available in this release: defining a task with it throws. */
export interface CronOptions {
  /** Five fields: minute, hour, day of month, month, day of week. */
  cron: string;
  /** An IANA time zone. @default "UTC" */
  timezone?: string;
  /** What becomes of slots that passed while no consumer ran. @default "skip" */
  missed?: "skip" | "one" | "all";
}

/** The earliest start: a time, or a delay from now, never both. */
export type When = { notBefore?: Date; delay?: never } | { notBefore?: never; delay?: Duration };

/** What differs for one call from the task's definition. */
export type ScheduleOptions = When & {
  /** The queue to schedule into. */
  queue?: string;
  /** Larger goes first. */
  priority?: number;
  /** How many retries follow a failed first attempt. */
  maxRetries?: number;
  /** The delay before a retry. */
  retryDelay?: Duration | Backoff;
  /** Fails an attempt after this time. */
  timeout?: Duration;
  /** Keeps twins away. Not available in this release: scheduling with it throws. */
  unique?: string | Unique;
  /** Labels to find the task by. */
  tags?: string[];
  /** The transaction to insert in; null for none, not even the handler's own. */
  tx?: Sql | Queryable | null;
};

// deno-lint-ignore no-explicit-any
export type Handler = (...args: any[]) => unknown;

/** A task's options, checked, with its handler. */
export interface TaskDefinition extends Omit<TaskOptions, "aliases" | "retryDelay"> {
  readonly aliases: readonly string[];
  readonly retryDelay?: RetryDelay;
  readonly handler: Handler;
}

const KNOWN_OPTIONS = ["name", "aliases", "queue", "maxRetries", "retryDelay", "priority", "timeout"];
const LATER_OPTIONS = [
  "unique",
  "cron",
  "timezone",
  "missed",
  "concurrency",
  "rateLimit",
  "input",
  "output",
  "retention",
];
const TASK_NAME = /^[\p{L}\p{N}_][\p{L}\p{N}_.:/-]{0,199}$/u;
const QUEUE_NAME = /^[a-z0-9][a-z0-9_.-]*$/;

/**
 * Checks the options of a task and joins them with its handler.
 *
 * @throws {TypeError} If an option is unknown or of the wrong type.
 * @throws {RangeError} If an option is out of its range.
 */
export function defineTask(spec: string | TaskOptions<never[]>, handler: Handler): TaskDefinition {
  const { aliases = [], ...options } = typeof spec === "string" ? { name: spec } : { ...spec };
  const name = JSON.stringify(options.name);
  const action = `define task ${name}`;
  if (!Array.isArray(aliases)) throw new TypeError(`Cannot ${action} as "aliases" must be a list of names`);
  for (const taskName of [options.name, ...aliases]) checkTaskName(taskName, action);
  refuseLaterOptions(options, LATER_OPTIONS, action);
  refuseUnknownKeys(options, KNOWN_OPTIONS, action);
  if (typeof handler !== "function") throw new TypeError(`Cannot ${action} as its handler is not a function`);
  if (options.queue !== undefined) checkQueueName(options.queue, action);
  checkLimits(options, action);
  if (options.retryDelay !== undefined) checkRetryDelay(options.retryDelay);
  return { ...options, aliases, handler } as TaskDefinition;
}

/**
 * Checks the options of one call.
 *
 * @throws {TypeError} If an option is unknown, of the wrong type, or excludes another one.
 * @throws {RangeError} If an option is out of its range.
 */
export function checkScheduleOptions(options: ScheduleOptions, action: string): void {
  refuseLaterOptions(options, ["unique"], action);
  refuseUnknownKeys(options, [
    "notBefore",
    "delay",
    "queue",
    "priority",
    "maxRetries",
    "retryDelay",
    "timeout",
    "tags",
    "tx",
  ], action);
  if (options.notBefore !== undefined && options.delay !== undefined) {
    throw new TypeError(`Cannot ${action} as "delay" and "notBefore" exclude each other`);
  }
  if (
    options.notBefore !== undefined &&
    !(options.notBefore instanceof Date && !Number.isNaN(options.notBefore.getTime()))
  ) {
    throw new TypeError(`Cannot ${action} as "notBefore" must be a valid Date: current value is ${options.notBefore}`);
  }
  if (options.delay !== undefined) toSeconds(options.delay, "delay");
  if (options.queue !== undefined) checkQueueName(options.queue, action);
  if (
    options.tags !== undefined && !(Array.isArray(options.tags) && options.tags.every((tag) => typeof tag === "string"))
  ) {
    throw new TypeError(`Cannot ${action} as "tags" must be a list of strings`);
  }
  checkLimits(options, action);
  if (options.retryDelay !== undefined) checkRetryDelay(options.retryDelay);
}

/**
 * Checks the name of a queue; the database checks its length too, since that depends on the schema's name.
 *
 * @throws {RangeError} If it is not of the form `^[a-z0-9][a-z0-9_.-]*$`, or can be no part of a channel's name.
 */
export function checkQueueName(queue: string, action: string, schema = ""): void {
  if (typeof queue !== "string" || !QUEUE_NAME.test(queue)) {
    throw new RangeError(
      `Cannot ${action} as a queue's name must be lower-case letters, digits, "_", "." and "-", and start with a letter or digit: current value is ${
        JSON.stringify(queue)
      }`,
    );
  }
  const bytes = new TextEncoder().encode(`${schema}_${queue}`).length;
  if (schema && bytes > 63) {
    throw new RangeError(
      `Cannot ${action} as the channel of queue "${queue}" in schema "${schema}" would have ${bytes} bytes, and PostgreSQL allows 63`,
    );
  }
}

/** The names under which records of a task may stand. */
export function namesOf(definition: TaskDefinition): string[] {
  return [definition.name, ...definition.aliases];
}

function checkTaskName(name: unknown, action: string): void {
  if (typeof name !== "string" || !TASK_NAME.test(name)) {
    throw new TypeError(
      `Cannot ${action} as a task's name must be 1 to 200 letters, digits, "_", ".", ":", "/" or "-": current value is ${
        JSON.stringify(name) ?? String(name)
      }`,
    );
  }
}

function checkLimits(
  { maxRetries, priority, timeout }: Pick<TaskOptions, "maxRetries" | "priority" | "timeout">,
  action: string,
): void {
  if (maxRetries !== undefined && !(Number.isInteger(maxRetries) && maxRetries >= 0 && maxRetries < 2 ** 31)) {
    throw new RangeError(
      `Cannot ${action} as "maxRetries" must be a non-negative integer: current value is ${maxRetries}`,
    );
  }
  if (priority !== undefined && !(Number.isInteger(priority) && Math.abs(priority) < 2 ** 31)) {
    throw new RangeError(`Cannot ${action} as "priority" must be an integer: current value is ${priority}`);
  }
  if (timeout !== undefined && toSeconds(timeout, "timeout") === 0) {
    throw new RangeError(`Cannot ${action} as "timeout" must be longer than 0 seconds`);
  }
}

/** An option that does nothing yet must not be taken for one that works. */
function refuseLaterOptions(options: object, later: readonly string[], action: string): void {
  for (const key of later) {
    if (key in options) throw new TypeError(`Cannot ${action} as option "${key}" is not available in this release`);
  }
}
