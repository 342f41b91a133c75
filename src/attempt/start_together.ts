import { endsAtOnce, noteAtOnce, noteContext } from "./at_once.ts";
import type { Attempt, OnEnded } from "./attempt.ts";
import { callInScope } from "./call_handler.ts";
import { coarseNow } from "./clock.ts";
import { AttemptContext } from "./context.ts";
import { DETACHED } from "../task/context.ts";
import type { TaskDefinition } from "../task/definition.ts";
import { type CurrentInstance, enterScope, type Scope, type TaskContext } from "../task/scope.ts";
import type { Transaction } from "../database/transaction.ts";

/** Whether nothing but the call of its handler happens when an attempt starts, and the handler may end at once. */
export function isPlain(attempt: Attempt): boolean {
  return endsAtOnce(attempt.definition) !== false && isOnlyCalled(attempt);
}

/** Whether an attempt may start together with others: it is plain, and one of its task has ended at once before. */
export function mayJoin(attempt: Attempt): boolean {
  return endsAtOnce(attempt.definition) === true && isOnlyCalled(attempt);
}

function isOnlyCalled({ task, timeout, env: { hooks, events } }: Attempt): boolean {
  return task.params !== null && timeout === undefined && !task.quarantined && task.rateKey === null &&
    hooks.middleware.length === 0 && !events.has("started");
}

/**
 * Starts a plain attempt, and then those that `next` returns by the time now, which {@linkcode mayJoin}; returns all. It calls
 * their handlers one after another in one entry of AsyncLocalStorage: to enter it for each would cost as much as the rest
 * of an attempt that ends at once. Only handlers run inside; the attempts go on after the last call.
 */
export function startTogether(
  first: Attempt,
  { next, onEnded }: { readonly next: (now: number) => Attempt | undefined; readonly onEnded: OnEnded },
): Attempt[] {
  const attempts: Attempt[] = [];
  const results: unknown[] = [];
  const scope = new SharedScope(first);
  enterScope(scope, () => {
    let now = coarseNow();
    for (let attempt: Attempt | undefined = first; attempt; attempt = scope.isTaken ? undefined : next(now)) {
      attempt.begin(onEnded, now);
      attempts.push(attempt);
      results.push(scope.call(attempt));
      now = coarseNow();
    }
  });
  scope.end();
  attempts.forEach((attempt, i) => {
    const result = results[i];
    if (result instanceof Thrown) attempt.onError(result.error);
    else attempt.onCalled(result);
  });
  return attempts;
}

/**
 * The scope of handlers that are called one after another: for each, that of its attempt.
 *
 * A handler that asks for its scope, or returns a promise, takes it: no other handler is called in it. If none has taken
 * it, code that one of them left running, such as a timer, may belong to any of them. It finds the scope of an attempt
 * that has ended: without a task, and with a transaction that accepts neither statements nor tasks. In each of these
 * cases, later attempts of the task have scopes of their own.
 */
class SharedScope implements Scope {
  #attempt: Attempt;
  /** The tasks whose handlers were called, without repetitions in a row. */
  readonly #definitions: TaskDefinition[] = [];
  #isOver = false;
  /** Whether it belongs to one attempt. */
  isTaken = false;

  constructor(first: Attempt) {
    this.#attempt = first;
  }

  get instance(): CurrentInstance {
    return this.#attempt.instance;
  }

  get attempt(): TaskContext {
    if (!this.#isOver) return this.#take().attempt;
    this.#definitions.forEach(noteContext);
    return DETACHED;
  }

  get transaction(): Transaction {
    if (!this.#isOver) return this.#take().transaction;
    this.#definitions.forEach(noteContext);
    const context = new AttemptContext(this.#attempt);
    context.end();
    return context.transaction;
  }

  /** Calls the handler of an attempt. */
  call(attempt: Attempt): unknown {
    this.#attempt = attempt;
    const { definition } = attempt;
    const isAnother = definition !== this.#definitions.at(-1);
    if (isAnother) this.#definitions.push(definition);
    let result;
    try {
      result = callInScope(attempt);
    } catch (error) {
      result = new Thrown(error);
    }
    if (result instanceof Promise) this.#take();
    if (isAnother && !this.isTaken) noteAtOnce(definition);
    return result;
  }

  /** Ends the time in which handlers are called. */
  end(): void {
    this.#isOver = !this.isTaken;
  }

  #take(): Attempt {
    this.isTaken = true;
    return this.#attempt;
  }
}

/** What a handler threw at once. */
class Thrown {
  readonly error: unknown;

  constructor(error: unknown) {
    this.error = error;
  }
}
