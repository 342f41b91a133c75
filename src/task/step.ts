import { checkKey } from "./definition.ts";
import { type Duration, toSeconds } from "../duration.ts";
import type { Storability } from "./storable.ts";
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
  /** The number of the task's attempt, from 1. */
  readonly attempt: number;
  /**
   * The same in every attempt of this step of this task, and in no other step, such as `firefly:17:charge:`. Pass it to
   * APIs that take one: a step whose consumer crashes after the call and before the result is stored runs again.
   */
  readonly idempotencyKey: string;
  /** Aborts at the timeout of the step, and when its attempt ends. */
  readonly signal: AbortSignal;
}

/**
 * Runs a function once for each task: its result is stored, and later attempts of the task get it back without calling
 * the function. What the function writes through `current().sql`, and the tasks that it schedules, commit together with
 * the result, or not at all. See docs/steps.md.
 *
 * @example
 * ```ts
 * import { current, task } from "@firefly/tasks";
 * import { assertEquals } from "@std/assert";
 *
 * const order = task({ name: "docs.order.steps", maxRetries: 3 }, async (id: number) => {
 *   const { step } = current();
 *   const charge = await step("charge", ({ idempotencyKey }) => ({ id: `charge of ${id}`, idempotencyKey }));
 *   await step("book", () => {}); // if this fails, the next attempt charges nothing
 *   return charge.id;
 * });
 *
 * assertEquals(await order(7), "charge of 7");
 * ```
 */
export interface Step {
  /**
   * Runs `fn`, unless an earlier attempt of the task has, and resolves to what it returned.
   *
   * What `fn` throws goes to the caller. If that lets it fail the attempt, the next attempt calls `fn` again. If it
   * catches the error and begins another step, the failure is stored with that, and later attempts throw it again.
   *
   * @throws {FireflyError} Within another step, after `current().sql` was used outside of steps, or while a step of the
   * same name and key is under way.
   * @throws {FireflyLimitError} If the task has `maxSteps` steps already.
   */
  <R>(
    spec: string | StepOptions,
    fn: ((info: StepInfo) => R) & Storability<[], Awaited<R>>,
  ): Promise<Awaited<R>>;
}

/** The function of a step. */
export type StepFunction = (info: StepInfo) => unknown;

const KNOWN_OPTIONS = ["name", "key", "aliases", "timeout"];
const LONGEST_NAME = 200;

/**
 * Checks what a step is called with.
 *
 * @throws {TypeError} If an option is unknown or of the wrong type, or `fn` is no function.
 * @throws {RangeError} If an option is out of range.
 */
export function checkStep(spec: string | StepOptions, fn: unknown): StepOptions {
  const options = typeof spec === "string" ? { name: spec } : spec;
  if (typeof options !== "object" || options === null) {
    throw new TypeError("Cannot begin a step as its name must be text: step(name, fn), or step({ name }, fn)");
  }
  const { name, key, aliases = [], timeout } = options;
  const action = `begin step ${JSON.stringify(name)}`;
  refuseUnknownKeys(options, KNOWN_OPTIONS, action);
  if (!Array.isArray(aliases)) throw new TypeError(`Cannot ${action} as "aliases" must be a list of names`);
  for (const each of [name, ...aliases]) checkStepName(each, action);
  if (key !== undefined) checkKey("step", key, action);
  if (timeout !== undefined && toSeconds(timeout, "timeout") === 0) {
    throw new RangeError(`Cannot ${action} as "timeout" must be longer than 0 seconds`);
  }
  if (typeof fn !== "function") throw new TypeError(`Cannot ${action} as its second argument is not a function`);
  return options;
}

function checkStepName(name: unknown, action: string): void {
  const isName = typeof name === "string" && name.length > 0 && name.length <= LONGEST_NAME && !name.includes("\0") &&
    name.isWellFormed();
  if (isName) return;
  throw new TypeError(
    `Cannot ${action} as a step's name must be 1 to ${LONGEST_NAME} characters of text without NUL: current value is ${
      JSON.stringify(name) ?? String(name)
    }`,
  );
}

/** Runs the functions of steps where no attempt runs, each time that they are called. */
export const DETACHED_STEP: Step = async function step(spec: string | StepOptions, fn: StepFunction) {
  const { name, key = "", timeout } = checkStep(spec, fn);
  const idempotencyKey = ["direct", crypto.randomUUID(), name, key].join(":");
  if (timeout === undefined) return await fn({ name, key, attempt: 1, idempotencyKey, signal: NEVER });
  const controller = new AbortController();
  const { timer, late } = startStepTimeout(name, timeout);
  try {
    const call = (async () => await fn({ name, key, attempt: 1, idempotencyKey, signal: controller.signal }))();
    return await Promise.race([call, late.catch((error) => (controller.abort(error), Promise.reject(error)))]);
  } finally {
    clearTimeout(timer);
  }
} as Step;

const NEVER = new AbortController().signal;

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
