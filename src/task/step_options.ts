import { type Backoff, checkRetryDelay } from "./backoff.ts";
import { checkKey } from "./definition.ts";
import { type Duration, toSeconds } from "../duration.ts";
import { refuseUnknownKeys } from "../suggest.ts";

/** The options of a step. Only `name` is required. */
export interface StepOptions {
  /** Identifies the step among those of its task: text of 1 to 200 characters. */
  name: string;
  /** Tells steps of one name apart where several are under way: text of 1 to 1,000 bytes. @default none */
  key?: string;
  /** Former names of this step: results stored under them are still its own. @default none */
  aliases?: string[];
  /**
   * How many times the step is tried again after it failed. The task waits in between as it does in `step.sleep()`, and
   * its own retries are not used up. A failed attempt of the task gives the step all of its retries again.
   *
   * @default 0: a failure goes to the handler
   */
  maxRetries?: number;
  /** The delay before the step is tried again: a duration, or a backoff by the number of its failures. @default that of the task */
  retryDelay?: Duration | Backoff;
  /**
   * The longest that the step may take, in seconds or as text with a unit: it then fails with a `TimeoutError`, and the
   * signal of its `info` aborts.
   *
   * @default none
   */
  timeout?: Duration;
}

/** What the function of a step gets. */
export interface StepInfo {
  /** The name of the step. */
  readonly name: string;
  /** Its key, or the number of the call from the second on; empty for neither. */
  readonly key: string;
  /** The number of the task's attempt, from 1. Retries of the step do not count. */
  readonly attempt: number;
  /**
   * The same in every attempt of this step of this task, and in no other step, such as `firefly:17:charge:`. Pass it to
   * APIs that take one: a step whose consumer crashes after the call and before the result is stored runs again.
   */
  readonly idempotencyKey: string;
  /** Aborts at the timeout of the step, and when its attempt ends. */
  readonly signal: AbortSignal;
}

/** The function of a step. */
export type StepFunction = (info: StepInfo) => unknown;

/** The function that compensates a step: undoes what it did, given what it returned. */
export type StepCompensation = (result: never, info: StepInfo) => unknown;

/** The first word of the names of compensations, which no step may have. */
export const COMPENSATE = "compensate";

const KNOWN_OPTIONS = ["name", "key", "aliases", "maxRetries", "retryDelay", "timeout"];
const LONGEST_NAME = 200;

/**
 * Checks what a step is called with.
 *
 * @throws {TypeError} If an option is unknown or of the wrong type, or `fn` is no function.
 * @throws {RangeError} If an option is out of range.
 */
export function checkStep(spec: string | StepOptions, fn: unknown, compensate?: unknown): StepOptions {
  const options = typeof spec === "string" ? { name: spec } : spec;
  if (typeof options !== "object" || options === null) {
    throw new TypeError("Cannot begin a step as its name must be text: step(name, fn), or step({ name }, fn)");
  }
  const { name, key, aliases = [], maxRetries, retryDelay, timeout } = options;
  const action = `begin step ${JSON.stringify(name)}`;
  refuseUnknownKeys(options, KNOWN_OPTIONS, action);
  if (!Array.isArray(aliases)) throw new TypeError(`Cannot ${action} as "aliases" must be a list of names`);
  for (const each of [name, ...aliases]) checkStepName(each, action);
  if (key !== undefined) checkKey("step", key, action);
  if (maxRetries !== undefined && !(Number.isInteger(maxRetries) && maxRetries >= 0 && maxRetries < 2 ** 31)) {
    throw new RangeError(
      `Cannot ${action} as "maxRetries" must be a non-negative integer: current value is ${maxRetries}`,
    );
  }
  if (retryDelay !== undefined) checkRetryDelay(retryDelay);
  if (timeout !== undefined && toSeconds(timeout, "timeout") === 0) {
    throw new RangeError(`Cannot ${action} as "timeout" must be longer than 0 seconds`);
  }
  if (typeof fn !== "function") throw new TypeError(`Cannot ${action} as its second argument is not a function`);
  if (compensate !== undefined && typeof compensate !== "function") {
    throw new TypeError(`Cannot ${action} as its third argument, which compensates it, is not a function`);
  }
  return options;
}

/**
 * Checks the name of a step or a signal.
 *
 * @throws {TypeError} If it is not 1 to 200 characters of text that can be stored.
 */
export function checkStepName(name: unknown, action: string, what = "step"): void {
  const isName = typeof name === "string" && name.length > 0 && name.length <= LONGEST_NAME && !name.includes("\0") &&
    name.isWellFormed();
  if (isName && name.split(" ", 1)[0] !== COMPENSATE) return;
  if (isName) {
    throw new TypeError(
      `Cannot ${action} as a ${what}'s name must not begin with "${COMPENSATE}": compensations are called so`,
    );
  }
  throw new TypeError(
    `Cannot ${action} as a ${what}'s name must be 1 to ${LONGEST_NAME} characters of text without NUL: current value is ${
      JSON.stringify(name) ?? String(name)
    }`,
  );
}

/** The arguments of `step.sleep()`: its name, and when it ends. */
export interface Sleep {
  readonly name: string;
  /** Seconds from now, or a time. */
  readonly time: number | Date;
}

/**
 * Checks what `step.sleep()` is called with.
 *
 * @throws {TypeError | RangeError} If the name or the time is not valid.
 */
export function checkSleep(args: readonly [time: unknown] | readonly [name: unknown, time?: unknown]): Sleep {
  const [name, time] = args.length > 1 ? args : ["sleep", args[0]];
  checkStepName(name, "sleep");
  return { name: name as string, time: checkTime(time, `sleep in step ${JSON.stringify(name)}`, "time") };
}

/**
 * Converts when a wait ends to seconds from now, or to a time.
 *
 * @throws {TypeError} If it is a Date that is not valid.
 * @throws {RangeError} If it is no duration.
 */
export function checkTime(time: unknown, action: string, subject: string): number | Date {
  if (!(time instanceof Date)) return toSeconds(time as Duration, subject);
  if (Number.isFinite(time.getTime())) return new Date(time);
  throw new TypeError(`Cannot ${action} as "${subject}" is an invalid Date`);
}

/** Starts the timeout of a step: `late` rejects with a `TimeoutError` once it has passed. */
export function startStepTimeout(
  name: string,
  timeout: Duration,
): { timer: ReturnType<typeof setTimeout>; late: Promise<never> } {
  const seconds = toSeconds(timeout, "timeout");
  const { promise: late, reject } = Promise.withResolvers<never>();
  const error = new DOMException(`The step "${name}" took longer than its timeout of ${seconds} s`, "TimeoutError");
  return { timer: setTimeout(() => reject(error), Math.min(seconds * 1000, 2 ** 31 - 1)), late };
}
