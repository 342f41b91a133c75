import type { Aborting } from "./aborting.ts";
import type { TaskDefinition } from "./definition.ts";
import { type Duration, toSeconds } from "./duration.ts";
import { asFail } from "./context.ts";
import { decodeOpened, type KeyRing } from "./encryption.ts";
import type { AttemptInfo } from "./events.ts";
import { callThrough, type Middleware } from "./middleware.ts";
import { type Scope, withScope } from "./scope.ts";
import { validate, validateArguments, ValidationFailed } from "./validation.ts";

/** Everything that one call of a handler needs. */
export interface HandlerCall {
  readonly definition: TaskDefinition;
  /** The arguments, encoded, and decrypted if `keys` can do that. */
  readonly params: string;
  readonly keys: KeyRing | undefined;
  /** The attempt, as middleware is told of it. */
  readonly info: AttemptInfo;
  readonly middleware: readonly Middleware[];
  /** What `current()` and `schedule()` see. */
  readonly scope: Scope;
  /** Aborts at the timeout; the call is over when it aborts, by whomever. */
  readonly abort: Aborting;
  readonly timeout: Duration | undefined;
}

/**
 * Calls a handler: decodes and checks its arguments, and checks what it returns, all of it inside the middleware and for
 * as long as the timeout and the signal allow.
 */
export async function callHandler(call: HandlerCall): Promise<unknown> {
  const { info, middleware, scope, abort } = call;
  const timer = startTimeout(call);
  const handle = () => handleTask(call);
  try {
    return await new Promise((resolve, reject) => {
      if (abort.aborted) return reject(abort.reason);
      abort.onAbort = reject;
      withScope(scope, middleware.length === 0 ? handle : () => callThrough(middleware, info, handle))
        .then(resolve, reject);
    });
  } finally {
    clearTimeout(timer);
  }
}

/** An async function, so that what a synchronous handler throws is a rejection too. */
async function handleTask({ definition, params, keys, abort }: HandlerCall): Promise<unknown> {
  const { name, input, output, handler } = definition;
  let args = decodeOpened(params, keys);
  if (!Array.isArray(args)) throw new TypeError("Cannot call the handler as params is no list of arguments");
  if (input) {
    const refusal = `Cannot run task "${name}" as its arguments are not valid`;
    args = await noRetryHelps(validateArguments(input, args as unknown[], refusal));
  }
  if (abort.aborted) throw abort.reason; // whatever came before may have taken its time
  const returned = await handler(...args as unknown[]);
  if (!output) return returned;
  return await noRetryHelps(validate(output, returned, `Cannot complete task "${name}" as its result is not valid`));
}

/** The same value fails the same check again. A validator that throws is another matter. */
async function noRetryHelps<T>(validated: Promise<T>): Promise<T> {
  return await validated.catch((error) => {
    throw error instanceof ValidationFailed ? asFail(error) : error;
  });
}

function startTimeout({ abort, timeout }: HandlerCall): ReturnType<typeof setTimeout> | undefined {
  if (timeout === undefined) return undefined;
  const seconds = toSeconds(timeout, "timeout");
  const late = new DOMException(`The attempt took longer than its timeout of ${seconds} s`, "TimeoutError");
  return setTimeout(() => abort.abort(late), Math.min(seconds * 1000, 2 ** 31 - 1));
}
