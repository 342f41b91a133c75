import type { AttemptEnvironment } from "./environment.ts";
import type { LazyAbortController } from "./lazy_abort.ts";
import type { TaskDefinition } from "../task/definition.ts";
import { type Duration, toSeconds } from "../duration.ts";
import { markAsFail } from "../task/context.ts";
import { decodeTaskArguments } from "../privacy/encryption.ts";
import type { AttemptInfo } from "../events.ts";
import { callThrough } from "./middleware.ts";
import { enterScope, type Scope } from "../task/scope.ts";
import { isInstance } from "../thrown.ts";
import { Incomplete } from "../wire/missing.ts";
import { validate, validateArguments, ValidationFailed } from "../task/validation.ts";

/** One call of a handler, whose scope it is. */
export interface HandlerCall extends Scope {
  readonly definition: TaskDefinition;
  /** Its params are the encoded arguments, decrypted if `env.keys` can decrypt them. */
  readonly task: { readonly params: string | null };
  readonly env: Pick<AttemptEnvironment, "keys" | "hooks">;
  /** The attempt, as middleware gets it. */
  readonly info: AttemptInfo;
  readonly timeout: Duration | undefined;
  /** Whether `abortController` has aborted. */
  readonly aborted: boolean;
  /** Completes arguments in which results of other tasks are missing. */
  readResults(incomplete: Incomplete): Promise<unknown>;
  /** Called when the handler has ended, if middleware or a schema stands around it. */
  onHandled(): void;
  /** Aborts at the timeout. The call is over when it aborts, for whatever reason. */
  readonly abortController: LazyAbortController;
}

/**
 * Calls a handler: decodes and validates its arguments, and validates its result, inside the middleware and for as long
 * as the timeout and the signal allow. A value that is there at once is returned as it is, since the promises around a
 * short handler would cost more than the handler; otherwise returns a new promise.
 *
 * @throws The handler's error, or the reason why it was not called.
 */
export function callHandler(call: HandlerCall): unknown {
  throwIfAborted(call);
  const { task: { params }, env: { hooks: { middleware } } } = call;
  const timer = startTimeout(call);
  let isOver = true;
  try {
    const returned = middleware.length === 0
      ? enterScope(call, handleTask, call, params!)
      : enterScope(call, callThrough, middleware, call.info, () => handleWithin(call, params!));
    isOver = !isThenable(returned);
    if (!isOver) return unlessAborted(returned as PromiseLike<unknown>, call.abortController, timer);
    throwIfAborted(call);
    return returned;
  } finally {
    if (isOver && timer !== undefined) clearTimeout(timer);
  }
}

function throwIfAborted(call: HandlerCall): void {
  if (call.aborted) throw call.abortController.reason;
}

/** Whether a value must be awaited. */
function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (typeof value === "object" && value !== null || typeof value === "function") &&
    typeof (value as { then?: unknown }).then === "function";
}

async function unlessAborted(
  returned: PromiseLike<unknown>,
  abort: LazyAbortController,
  timer?: ReturnType<typeof setTimeout>,
): Promise<unknown> {
  try {
    return await new Promise((resolve, reject) => {
      abort.onAbort = reject;
      if (abort.aborted) reject(abort.reason);
      returned.then(resolve, reject);
    });
  } finally {
    clearTimeout(timer);
  }
}

function handleTask(call: HandlerCall, params: string): unknown {
  const args = decodeTaskArguments(params, call.env.keys);
  if (Array.isArray(args)) return handleArguments(call, args);
  if (args instanceof Incomplete) return handleIncomplete(call, args);
  throw notAList();
}

async function handleWithin(call: HandlerCall, params: string): Promise<unknown> {
  try {
    return await handleTask(call, params);
  } finally {
    call.onHandled();
  }
}

function notAList(): TypeError {
  return new TypeError("Cannot call the handler as params is no list of arguments");
}

function handleArguments(call: HandlerCall, args: unknown[]): unknown {
  const { input, output, handler } = call.definition;
  return input || output ? handleChecked(call, args) : handler(...args);
}

/** Reads the results that are missing among the arguments. */
async function handleIncomplete(call: HandlerCall, incomplete: Incomplete): Promise<unknown> {
  const args = await call.readResults(incomplete);
  if (!Array.isArray(args)) throw notAList();
  throwIfAborted(call);
  return await handleArguments(call, args);
}

async function handleChecked(call: HandlerCall, given: unknown[]): Promise<unknown> {
  const { name, input, output, handler } = call.definition;
  let args = given;
  if (input) {
    const refusal = `Cannot run task "${name}" as its arguments are not valid`;
    args = await failPermanently(validateArguments(input, args, refusal));
  }
  throwIfAborted(call); // validation may have taken its time
  const returned = await handler(...args);
  call.onHandled(); // the schema may take its time, too
  if (!output) return returned;
  return await failPermanently(validate(output, returned, `Cannot complete task "${name}" as its result is not valid`));
}

/** Makes a failed validation permanent: the same value would fail again. An error of the validator itself stays as it is. */
async function failPermanently<T>(validated: Promise<T>): Promise<T> {
  return await validated.catch((error) => {
    throw isInstance(error, ValidationFailed) ? markAsFail(error) : error;
  });
}

/** Starts the timeout of a call that has run for `elapsed` milliseconds; undefined if it has none. */
export function startTimeout(
  call: Pick<HandlerCall, "abortController" | "timeout">,
  elapsed = 0,
): ReturnType<typeof setTimeout> | undefined {
  const { timeout } = call;
  if (timeout === undefined) return undefined;
  const { abortController } = call;
  const seconds = toSeconds(timeout, "timeout");
  const late = new DOMException(`The attempt took longer than its timeout of ${seconds} s`, "TimeoutError");
  return setTimeout(() => abortController.abort(late), Math.min(seconds * 1000 - elapsed, 2 ** 31 - 1));
}
