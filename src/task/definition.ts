import { checkRetryDelay, type RetryDelay } from "./backoff.ts";
import { parseCron } from "./cron_expression.ts";
import { toSeconds } from "../duration.ts";
import type {
  Concurrency,
  CronOptions,
  RateLimit,
  Retention,
  ScheduleOptions,
  TaskOptions,
  Unique,
} from "./options.ts";
import { TASK_STATUSES } from "./record.ts";
import { resultSourceOf } from "./result_of.ts";
import { refuseUnknownKeys } from "../suggest.ts";

// deno-lint-ignore no-explicit-any
export type Handler = (...args: any[]) => unknown;

/** The checked options of a task, with its handler. */
export interface TaskDefinition extends Omit<TaskOptions, "aliases" | "retryDelay">, Partial<CronOptions> {
  readonly aliases: readonly string[];
  readonly retryDelay?: RetryDelay;
  readonly handler: Handler;
}

const KNOWN_OPTIONS = [
  "name",
  "aliases",
  "queue",
  "maxRetries",
  "retryDelay",
  "priority",
  "timeout",
  "unique",
  "concurrency",
  "rateLimit",
  "input",
  "output",
  "retention",
  "keepLogs",
  "version",
  "maxSteps",
  "cron",
  "timezone",
  "missed",
];
/** The longest unique key or key of a limit, in bytes. */
const LONGEST_KEY = 1000;
const TASK_NAME = /^[\p{L}\p{N}_][\p{L}\p{N}_.:/-]{0,199}$/u;
const QUEUE_NAME = /^[a-z0-9][a-z0-9_.-]*$/;

/**
 * Checks the options of a task, and joins them with its handler.
 *
 * @throws {TypeError} If an option is unknown or of the wrong type.
 * @throws {RangeError} If an option is out of range.
 */
// deno-lint-ignore no-explicit-any
export function defineTask(spec: string | TaskOptions<any>, handler: Handler): TaskDefinition {
  const { aliases = [], ...options } = typeof spec === "string" ? { name: spec } : { ...spec };
  const name = JSON.stringify(options.name);
  const action = `define task ${name}`;
  if (!Array.isArray(aliases)) throw new TypeError(`Cannot ${action} as "aliases" must be a list of names`);
  for (const taskName of [options.name, ...aliases]) checkTaskName(taskName, action);
  refuseUnknownKeys(options, KNOWN_OPTIONS, action);
  if (typeof handler !== "function") throw new TypeError(`Cannot ${action} as its handler is not a function`);
  if (options.queue !== undefined) checkQueueName(options.queue, action);
  checkNumbers(options, action);
  if (options.retryDelay !== undefined) checkRetryDelay(options.retryDelay);
  if (options.unique !== undefined && options.unique !== true) checkUnique(options.unique, action);
  if (options.concurrency !== undefined) checkLimit("concurrency", options.concurrency, action);
  if (options.rateLimit !== undefined) checkLimit("rateLimit", options.rateLimit, action);
  if (options.retention !== undefined) checkRetention(options.retention, action);
  checkKeepLogs(options.keepLogs, action);
  checkPositive("version", options.version, action);
  checkPositive("maxSteps", options.maxSteps, action);
  for (const option of ["input", "output"] as const) checkSchema(option, options[option], action);
  checkCron(options as Partial<CronOptions>, action);
  return { ...options, aliases, handler } as TaskDefinition;
}

/**
 * Checks the options of one call of `schedule()`.
 *
 * @throws {TypeError} If an option is unknown, of the wrong type, or excludes another one.
 * @throws {RangeError} If an option is out of range.
 */
export function checkScheduleOptions(options: ScheduleOptions, action: string): void {
  refuseUnknownKeys(options, [
    "notBefore",
    "delay",
    "queue",
    "priority",
    "maxRetries",
    "retryDelay",
    "timeout",
    "unique",
    "tags",
    "after",
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
  if (options.after !== undefined) checkAfter(options.after, action);
  checkNumbers(options, action);
  if (options.retryDelay !== undefined) checkRetryDelay(options.retryDelay);
  if (typeof options.unique === "string") checkKey("unique", options.unique, action);
  else if (options.unique !== undefined) checkUnique(options.unique, action);
}

function checkAfter(after: NonNullable<ScheduleOptions["after"]>, action: string): void {
  const isList = typeof (after as Partial<typeof after> | null)?.[Symbol.iterator] === "function";
  for (const task of isList ? after : [undefined]) {
    if (Number.isSafeInteger(task) || resultSourceOf(task)) continue;
    throw new TypeError(`Cannot ${action} as "after" must be a list of tasks: records, promises of schedule(), or ids`);
  }
}

/**
 * Checks a unique key or a key of a limit, configured or computed, and returns it.
 *
 * @throws {TypeError} If it is not text.
 * @throws {RangeError} If it is empty, too long, or contains characters that PostgreSQL's `text` cannot hold.
 */
export function checkKey(option: string, key: unknown, action: string): string {
  if (typeof key !== "string") {
    throw new TypeError(`Cannot ${action} as the key of "${option}" must be text: current value is ${String(key)}`);
  }
  const bytes = new TextEncoder().encode(key).length;
  if (bytes > 0 && bytes <= LONGEST_KEY && !key.includes("\0") && key.isWellFormed()) return key;
  throw new RangeError(
    `Cannot ${action} as the key of "${option}" must be 1 to ${LONGEST_KEY} bytes of text without NUL: current value has ${bytes} bytes`,
  );
}

/**
 * Checks the name of a queue. The database checks its length too, since that depends on the schema's name.
 *
 * @throws {RangeError} If it does not match `^[a-z0-9][a-z0-9_.-]*$`, or makes the name of its channel too long.
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

/** The names under which records of a task may be stored. */
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

/**
 * Checks the defaults that an instance has for the options of tasks.
 *
 * @throws {TypeError | RangeError} If one is wrong.
 */
export function checkDefaults(
  defaults: Pick<TaskOptions, "maxRetries" | "retryDelay" | "timeout" | "retention" | "keepLogs">,
  action: string,
): void {
  checkNumbers(defaults, action);
  if (defaults.retryDelay !== undefined) checkRetryDelay(defaults.retryDelay);
  if (defaults.retention !== undefined) checkRetention(defaults.retention, action);
  checkKeepLogs(defaults.keepLogs, action);
}

function checkNumbers(
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

function checkPositive(option: string, value: number | undefined, action: string): void {
  if (value === undefined || Number.isInteger(value) && value > 0 && value < 2 ** 31) return;
  throw new RangeError(`Cannot ${action} as "${option}" must be a positive integer: current value is ${value}`);
}

function checkUnique(unique: Unique<never[]>, action: string): void {
  checkObject("unique", unique, action);
  refuseUnknownKeys(unique, ["key", "among", "for", "onConflict"], action);
  const { key, among, onConflict } = unique;
  checkKeyOption("unique", key, action);
  if (among !== undefined) {
    if (!Array.isArray(among) || !among.every((status) => TASK_STATUSES.includes(status))) {
      throw new TypeError(`Cannot ${action} as "unique.among" must be a list of statuses: ${TASK_STATUSES.join(", ")}`);
    }
    if (!among.includes("created")) {
      throw new TypeError(`Cannot ${action} as "unique.among" must have "created" in it`);
    }
  }
  if (unique.for !== undefined && toSeconds(unique.for, "unique.for") === 0) {
    throw new RangeError(`Cannot ${action} as "unique.for" must be longer than 0 seconds`);
  }
  if (onConflict !== undefined && !["keep", "replace", "error"].includes(onConflict)) {
    throw new TypeError(
      `Cannot ${action} as "unique.onConflict" must be "keep", "replace" or "error": current value is ${
        JSON.stringify(onConflict)
      }`,
    );
  }
}

function checkLimit(
  option: "concurrency" | "rateLimit",
  limit: Concurrency<never[]> | RateLimit<never[]>,
  action: string,
): void {
  checkObject(option, limit, action);
  refuseUnknownKeys(limit, option === "rateLimit" ? ["limit", "per", "key"] : ["limit", "key"], action);
  if (!(Number.isInteger(limit.limit) && limit.limit > 0 && limit.limit < 2 ** 31)) {
    throw new RangeError(
      `Cannot ${action} as "${option}.limit" must be a positive integer: current value is ${limit.limit}`,
    );
  }
  if (option === "rateLimit" && toSeconds((limit as RateLimit).per, "rateLimit.per") === 0) {
    throw new RangeError(`Cannot ${action} as "rateLimit.per" must be longer than 0 seconds`);
  }
  checkKeyOption(option, limit.key, action);
}

function checkKeyOption(option: string, key: unknown, action: string): void {
  if (key !== undefined && typeof key !== "function") checkKey(option, key, action);
}

/**
 * Checks how long to keep records.
 *
 * @throws {TypeError | RangeError} If it is neither a duration nor `{ completed, failed }`.
 */
export function checkRetention(retention: Retention, action: string): void {
  if (typeof retention === "object") {
    checkObject("retention", retention, action);
    refuseUnknownKeys(retention, ["completed", "failed"], action);
  }
  const { completed, failed } = typeof retention === "object" ? retention : { completed: retention, failed: retention };
  for (const [status, duration] of Object.entries({ completed, failed })) {
    if (duration !== undefined && duration !== Infinity) toSeconds(duration, `retention.${status}`);
  }
}

function checkKeepLogs(keepLogs: unknown, action: string): void {
  if (keepLogs === undefined || typeof keepLogs === "boolean") return;
  const lines = (keepLogs as { lines?: unknown } | null)?.lines;
  if (Number.isInteger(lines) && lines as number > 0) return;
  const given = JSON.stringify(keepLogs);
  throw new TypeError(`Cannot ${action} as "keepLogs" must be true, false or { lines }: current value is ${given}`);
}

function checkCron({ cron, timezone, missed }: Partial<CronOptions>, action: string): void {
  if (cron === undefined) {
    const option = timezone !== undefined ? "timezone" : missed !== undefined ? "missed" : undefined;
    if (option) throw new TypeError(`Cannot ${action} as "${option}" requires "cron"`);
    return;
  }
  parseCron(cron, timezone ?? "UTC", action);
  if (missed === undefined || ["skip", "one", "all"].includes(missed)) return;
  throw new TypeError(
    `Cannot ${action} as "missed" must be "skip", "one" or "all": current value is ${JSON.stringify(missed)}`,
  );
}

function checkSchema(option: "input" | "output", schema: unknown, action: string): void {
  if (schema === undefined) return;
  const standard = (schema as { "~standard"?: { version?: unknown; validate?: unknown } } | null)?.["~standard"];
  if (standard?.version === 1 && typeof standard.validate === "function") return;
  throw new TypeError(
    `Cannot ${action} as "${option}" must be a schema of zod, valibot, arktype or another library with Standard Schema`,
  );
}

function checkObject(option: string, value: unknown, action: string): void {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return;
  throw new TypeError(`Cannot ${action} as "${option}" must be an object: current value is ${JSON.stringify(value)}`);
}
