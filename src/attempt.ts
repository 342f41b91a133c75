import { Aborting } from "./aborting.ts";
import { AttemptContext } from "./attempt_context.ts";
import { isExhausted, type Tag } from "./driver.ts";
import type { TaskDefinition } from "./definition.ts";
import type { KeyRing } from "./encryption.ts";
import { CommitUnknown, DatabaseUnreachable, FireflyError, LeaseLost, TaskCancelled } from "./errors.ts";
import type { AttemptInfo, Emitter } from "./events.ts";
import { callHandler } from "./handler_call.ts";
import type { Hooks } from "./hooks.ts";
import type { TaskOptions } from "./options.ts";
import type { Redactor } from "./redaction.ts";
import type { Instance } from "./scope.ts";
import type { Sessions } from "./session.ts";
import { isOwnEnd, type Settler } from "./settler.ts";
import type { ClaimedTask } from "./store/claim.ts";
import { completeTask, isNotHeld, readFreeClaim } from "./store/complete.ts";
import { type ClaimState, type Outcome, readClaims } from "./store/settle.ts";
import { Transaction } from "./transaction.ts";
import { judgeError, maxRetriesOf, type RetryRules } from "./verdict.ts";
import { encode } from "./wire/encode.ts";

/** What all attempts of a consumer share. */
export interface AttemptEnvironment {
  readonly instance: Instance;
  readonly sql: Tag;
  readonly sessions: Sessions;
  readonly settler: Settler;
  readonly events: Emitter;
  readonly hooks: Hooks;
  /** What arguments and results are encrypted with, if they are. */
  readonly keys: KeyRing | undefined;
  readonly redactor: Redactor;
  readonly defaults: Pick<TaskOptions, "maxRetries" | "retryDelay" | "timeout">;
  /** Seconds after which the server ends a transaction whose consumer shows no life. */
  readonly lease: number;
}

/** Why an attempt is ended from outside without being counted: its task goes back. */
export class Shutdown extends FireflyError {
  override name = "Shutdown";
}

/** How an attempt ended, for the consumer's statistics. */
export type Ending = "completed" | "failed" | "retried" | "returned" | "cancelled" | "lost";

/** One attempt: calls the handler, and settles by what came of it. */
export class Attempt {
  readonly task: ClaimedTask;
  readonly info: AttemptInfo;
  readonly #definition: TaskDefinition;
  readonly #env: AttemptEnvironment;
  readonly #abort = new Aborting();
  readonly #transaction: Transaction;
  #context: AttemptContext | undefined;
  #began = 0;

  constructor(task: ClaimedTask, definition: TaskDefinition, env: AttemptEnvironment) {
    this.task = task;
    this.info = { id: task.id, funcName: task.funcName, queue: task.queue, attempt: task.attempt };
    this.#definition = definition;
    this.#env = env;
    this.#transaction = Transaction.on(env.sessions, {
      schema: env.sql.schemaName,
      // A consumer that is stopped with an open transaction would block its successor on the user's own keys.
      setup: `SET LOCAL idle_in_transaction_session_timeout = ${Math.ceil(env.lease * 1000)};`,
    });
  }

  /** Ends the attempt from outside: its signal aborts, and it is settled without waiting for its handler. */
  abort(reason: Error): void {
    this.#abort.abort(reason);
  }

  /** Keeps the attempt's transaction alive. */
  ping(): void {
    this.#transaction.ping();
  }

  /**
   * Runs the attempt to its end; never throws. `onHandled` is called once the handler is done with: what is left is
   * to settle, which needs no slot.
   */
  async run(onHandled: () => void): Promise<Ending> {
    this.#began = performance.now();
    this.#env.events.emit("started", this.info);
    try {
      const returned = await this.#encode(await this.#call());
      if (!this.#transaction.begun) {
        this.#transaction.abandon(); // from here on nothing can begin it
        onHandled();
      }
      return await this.#complete(returned);
    } catch (error) {
      return await this.#fail(error);
    }
  }

  async #encode(returned: unknown): Promise<string> {
    const text = await encode(returned);
    const { keys } = this.#env;
    if (!keys) return text;
    const { funcName, queue } = this.task;
    return await keys.seal(text, { funcName, queue, column: "returned" });
  }

  #call(): Promise<unknown> {
    const { instance, hooks, keys, defaults } = this.#env;
    this.#context = new AttemptContext({
      task: this.task,
      info: this.info,
      env: this.#env,
      lastAttempt: this.task.retryAttempts >= maxRetriesOf(this.#rules),
      abort: this.#abort,
      transaction: this.#transaction,
    });
    return callHandler({
      definition: this.#definition,
      params: this.task.params,
      keys,
      info: this.info,
      middleware: hooks.middleware,
      scope: { instance, attempt: this.#context.context, transaction: this.#transaction },
      abort: this.#abort,
      timeout: this.task.timeout ?? this.#definition.timeout ?? defaults.timeout,
    });
  }

  /** Settles as completed: in the attempt's transaction if the handler used one, else together with others. */
  async #complete(returned: string): Promise<Ending> {
    this.#context?.end();
    const outcome = this.#outcome({ status: "completed", returned });
    if (this.#transaction.begun) await this.#commit(outcome);
    else if (!await this.#env.settler.settle(this.task, outcome)) return this.#announceLoss(await this.#findLoss());
    this.#env.events.emit("completed", { ...this.info, seconds: (performance.now() - this.#began) / 1000 });
    return "completed";
  }

  /** Commits the handler's effects together with `outcome`, or neither. */
  async #commit(outcome: Outcome): Promise<void> {
    const { settler, sql } = this.#env;
    const { id, claimSeq, leaseId } = this.task;
    const isLast = settler.remaining(leaseId) === 1;
    try {
      await this.#transaction.commit({
        run: (statements) => completeTask(statements, outcome, isLast ? leaseId : null),
        isWaiting: async () => await readFreeClaim(sql, id) === "locked",
      });
    } catch (error) {
      const isUnknown = error instanceof CommitUnknown;
      if (!isUnknown && !isNotHeld(error)) throw error;
      const state = await untilAnswered(() => readFreeClaim(sql, id));
      if (!isUnknown || !isOwnEnd(state, outcome)) {
        throw state?.claimSeq === claimSeq ? isUnknown ? error.cause : error : lossOf(id, state);
      }
    }
    if (isLast) settler.forget(leaseId);
    settler.ended(this.task);
  }

  /** Undoes the handler's effects, and settles by what was thrown. */
  async #fail(error: unknown): Promise<Ending> {
    this.#context?.end();
    const databaseFailed = await this.#hasDatabaseFailed(error);
    if (this.#abort.aborted) this.#transaction.abandon();
    else await this.#transaction.rollback();
    if (error instanceof LeaseLost) return this.#lost(error);
    const outcome = this.#outcomeOf(error, databaseFailed);
    try {
      const status = await this.#env.settler.settle(this.task, outcome);
      if (!status) return this.#announceLoss(await this.#findLoss(error));
      if (status !== outcome.status) return this.#announceTwin(error);
    } catch (refusal) {
      // The database refuses even this: the consumer hands back what it holds and knows nothing of any more.
      return this.#lost(refusal);
    }
    return this.#announce(outcome, error);
  }

  /** Whether it was the connection or the server that failed, and not the handler. */
  async #hasDatabaseFailed(error: unknown): Promise<boolean> {
    if (error instanceof DatabaseUnreachable && this.#transaction.begun) return true;
    if (isExhausted(error)) return true;
    // An aborted attempt waits for nothing; and one that COMMIT refused has lost no connection, but discarded it.
    if (this.#abort.aborted || this.#transaction.ended) return false;
    return isExhausted(this.#transaction.failure) || await this.#transaction.isLost();
  }

  #outcomeOf(thrown: unknown, databaseFailed: boolean): Outcome {
    if (thrown instanceof Shutdown) return this.#outcome({ status: "created", counts: "snooze" });
    return this.#outcome(judgeError(thrown, this.#rules, databaseFailed));
  }

  get #rules(): RetryRules {
    const { defaults, redactor } = this.#env;
    return { task: this.task, definition: this.#definition, defaults, redactor };
  }

  #outcome(outcome: Partial<Outcome> & Pick<Outcome, "status">): Outcome {
    const { id, claimSeq } = this.task;
    const began = this.#began;
    return { id, claimSeq, returned: null, error: null, began, delay: null, counts: null, ...outcome };
  }

  #announce(outcome: Outcome, error: unknown): Ending {
    const { events } = this.#env;
    if (outcome.status === "failed") {
      events.emit("failed", { ...this.info, error });
      return "failed";
    }
    if (outcome.error === null) {
      events.emit("returned", { ...this.info, reason: error });
      return "returned";
    }
    events.emit("retried", { ...this.info, error, delay: outcome.delay ?? 0 });
    return "retried";
  }

  /** The task was to be tried again, and cannot be: a twin has taken its unique key since the claim released it. */
  #announceTwin(cause: unknown): Ending {
    const error = new FireflyError(`Cannot run task ${this.task.id} again as a twin has its unique key`, { cause });
    this.#env.events.emit("failed", { ...this.info, error });
    return "failed";
  }

  /** The task is somebody else's: there is nothing to settle, only the lease to leave. */
  #lost(reason: unknown): Ending {
    this.#env.settler.ended(this.task);
    return this.#announceLoss(reason);
  }

  #announceLoss(reason: unknown): Ending {
    const ending = reason instanceof TaskCancelled ? "cancelled" : "lost";
    this.#env.events.emit(ending, { ...this.info, reason });
    return ending;
  }

  /** Why a settle did not find the task as this attempt's own; `thrown` is what the handler made of it. */
  async #findLoss(thrown?: unknown): Promise<unknown> {
    const { id } = this.task;
    const states = await readClaims(this.#env.sql, [id]).catch(() => undefined);
    const loss = lossOf(id, states?.get(id));
    return loss instanceof TaskCancelled ? loss : thrown ?? loss;
  }
}

/** Why a task is not an attempt's any more. */
export function lossOf(id: number, state: ClaimState | undefined): LeaseLost {
  if (state?.status === "cancelled") return new TaskCancelled(`Task ${id} was cancelled`);
  return new LeaseLost(`Task ${id} was taken away from this attempt: it was rescued, deleted or ended by another`);
}

/** Asks until the database answers, and nobody is at the record any more: what became of a COMMIT is not to be guessed. */
async function untilAnswered(
  ask: () => Promise<ClaimState | "locked" | undefined>,
): Promise<ClaimState | undefined> {
  for (let delay = 50;; delay = Math.min(delay * 2, 1000)) {
    try {
      const state = await ask();
      if (state !== "locked") return state;
    } catch (error) {
      if (!(error instanceof DatabaseUnreachable)) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, delay));
  }
}
