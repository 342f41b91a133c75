import { LazyAbortController } from "./lazy_abort.ts";
import { AttemptContext } from "./context.ts";
import type { AttemptEnvironment } from "./environment.ts";
import { isExhausted } from "../database/driver.ts";
import type { TaskDefinition } from "../task/definition.ts";
import { commitWithTask } from "../settle/commit.ts";
import {
  type AttemptEvents,
  type AttemptOutcome,
  emitCompleted,
  emitDuplicate,
  emitLost,
  emitOutcome,
  readLossReason,
} from "../settle/outcome_events.ts";
import { DatabaseUnreachable, FireflyError, LeaseLost } from "../errors.ts";
import type { AttemptInfo, Emitter } from "../events.ts";
import { callHandler } from "./call_handler.ts";
import { areParamsLoaded, loadParams } from "./load_params.ts";
import type { CurrentInstance, Scope, TaskContext } from "../task/scope.ts";
import type { PendingSettle } from "../settle/settler.ts";
import type { ClaimedTask } from "../store/claim.ts";
import type { Outcome } from "../store/settle.ts";
import { Transaction } from "../database/transaction.ts";
import { decideRetry, maxRetriesOf, type RetryRules } from "../settle/retry_decision.ts";
import { encode } from "../wire/encode.ts";

/** Why an attempt is ended from outside without being counted: its task goes back. */
export class Shutdown extends FireflyError {
  override name = "Shutdown";
}

/** Who is told how far an attempt is. */
export interface AttemptOwner {
  /** The handler is done with: what is left is to settle, which needs no slot. */
  onHandled(attempt: Attempt): void;
  /** It is over. */
  onEnded(attempt: Attempt, ending: AttemptOutcome): void;
}

/**
 * One attempt: calls the handler, and settles by what came of it. It is the scope of its handler, of which most ask for
 * nothing: the context and the transaction are made when they are needed.
 */
export class Attempt implements Scope, PendingSettle, AttemptEvents {
  readonly task: ClaimedTask;
  readonly info: AttemptInfo;
  readonly #definition: TaskDefinition;
  readonly #env: AttemptEnvironment;
  readonly #abort = new LazyAbortController();
  #transaction: Transaction | undefined;
  #context: AttemptContext | undefined;
  /** How it ends. */
  readonly outcome: Outcome;
  /** Whether it takes a slot of its consumer. */
  inSlot = true;
  tries = 0;
  uncertain = false;
  #owner: AttemptOwner | undefined;
  #called = false;
  /** Whether nothing may begin the transaction any more. */
  #closed = false;

  constructor(task: ClaimedTask, definition: TaskDefinition, env: AttemptEnvironment) {
    this.task = task;
    this.info = { id: task.id, funcName: task.funcName, queue: task.queue, attempt: task.attempt };
    this.#definition = definition;
    this.#env = env;
    this.outcome = {
      id: task.id,
      claimSeq: task.claimSeq,
      status: "created",
      returned: null,
      error: null,
      began: null,
      delay: null,
      counts: null,
    };
  }

  /** Who is told of it. */
  get events(): Emitter {
    return this.#env.events;
  }

  /** Where the handler's calls of `schedule()` go. */
  get instance(): CurrentInstance {
    return this.#env.instance;
  }

  /** What `current()` is for the handler. */
  get attempt(): TaskContext {
    if (!this.#context) {
      this.#context = new AttemptContext({
        task: this.task,
        info: this.info,
        env: this.#env,
        lastAttempt: this.task.retryAttempts >= maxRetriesOf(this.#rules),
        abort: this.#abort,
        transaction: this.transaction,
      });
      if (this.#closed) this.#context.end();
    }
    return this.#context.context;
  }

  /** The transaction of the handler's effects. */
  get transaction(): Transaction {
    if (!this.#transaction) {
      const { sessions, sql, lease } = this.#env;
      this.#transaction = Transaction.on(sessions, {
        schema: sql.schemaName,
        // A consumer that is stopped with an open transaction would block its successor on the user's own keys.
        setup: `SET LOCAL idle_in_transaction_session_timeout = ${Math.ceil(lease * 1000)};`,
      });
      if (this.#closed) this.#transaction.abandon();
    }
    return this.#transaction;
  }

  /** Ends the attempt from outside: its signal aborts, and it is settled without waiting for its handler. */
  abort(reason: Error): void {
    this.#abort.abort(reason);
  }

  /** Keeps the attempt's transaction alive. */
  ping(): void {
    this.#transaction?.ping();
  }

  /**
   * Runs the attempt to its end, and tells its owner how far it is. What is there at once is not awaited: the promises
   * around a short handler would cost more than all else of its attempt.
   */
  start(owner: AttemptOwner): void {
    this.#owner = owner;
    this.outcome.began = performance.now();
    this.#env.events.emit("started", this.info);
    if (areParamsLoaded(this.task)) this.#call();
    else loadParams(this.task, this.#env).then(() => this.#call(), (error) => this.#onError(error));
  }

  #call(): void {
    const { hooks, keys, defaults } = this.#env;
    this.#called = true;
    try {
      const called = callHandler({
        definition: this.#definition,
        params: this.task.params!,
        keys,
        info: this.info,
        middleware: hooks.middleware,
        scope: this,
        abort: this.#abort,
        timeout: this.task.timeout ?? this.#definition.timeout ?? defaults.timeout,
      });
      if (called instanceof Promise) {
        called.then((returned) => this.#handled(returned), (error) => this.#onError(error));
      } else this.#handled(called);
    } catch (error) {
      this.#onError(error);
    }
  }

  #handled(returned: unknown): void {
    try {
      const encoded = this.#encode(returned);
      if (typeof encoded === "string") this.#complete(encoded);
      else encoded.then((text) => this.#complete(text), (error) => this.#onError(error));
    } catch (error) {
      this.#onError(error);
    }
  }

  #encode(returned: unknown): string | Promise<string> {
    const text = encode(returned);
    const { keys } = this.#env;
    if (!keys) return text;
    const { funcName, queue } = this.task;
    return Promise.resolve(text).then((text) => keys.seal(text, { funcName, queue, column: "returned" }));
  }

  /** Settles as completed: in the attempt's transaction if the handler used one, else together with others. */
  #complete(returned: string): void {
    this.#close();
    this.task.params = null; // many may wait to be settled
    this.outcome.status = "completed";
    this.outcome.returned = returned;
    const transaction = this.#transaction;
    if (transaction?.begun) {
      void commitWithTask({ task: this.task, outcome: this.outcome, transaction }, this.#env).then(
        () => this.#onCompleted(),
        (error) => this.#onError(error),
      );
      return;
    }
    transaction?.abandon(); // from here on nothing can begin it
    this.inSlot = false;
    this.#owner!.onHandled(this);
    this.#env.settler.add(this);
  }

  /** The settler has completed the task, or found that it was no longer held. */
  onSettled(status: Outcome["status"] | false): void {
    if (status) this.#onCompleted();
    else void readLossReason(this.#env.sql, this.task.id).then((reason) => this.#end(emitLost(this, reason)));
  }

  /** The database refuses the result. */
  onRefused(error: unknown): void {
    this.#onError(error);
  }

  #onCompleted(): void {
    this.#end(emitCompleted(this, this.outcome.began!));
  }

  #onError(error: unknown): void {
    this.#close();
    void this.#fail(error).then((ending) => this.#end(ending));
  }

  #end(ending: AttemptOutcome): void {
    this.#owner!.onEnded(this, ending);
  }

  /** The handler is done with, or given up: it may report nothing any more, and begin no transaction. */
  #close(): void {
    this.#closed = true;
    this.#context?.end();
  }

  /** Undoes the handler's effects, and settles by what was thrown. */
  async #fail(error: unknown): Promise<AttemptOutcome> {
    const databaseFailed = await this.#hasDatabaseFailed(error);
    if (this.#abort.aborted) this.#transaction?.abandon();
    else await this.#transaction?.rollback();
    if (error instanceof LeaseLost) return this.#lost(error);
    const outcome = { ...this.outcome, returned: null, ...this.#decide(error, databaseFailed) };
    try {
      const status = await this.#env.settler.settle(this.task, outcome);
      if (!status) return emitLost(this, await readLossReason(this.#env.sql, this.task.id, error));
      if (status !== outcome.status) return emitDuplicate(this, error);
    } catch (refusal) {
      // The database refuses even this: the consumer hands back what it holds and knows nothing of any more.
      return this.#lost(refusal);
    }
    return emitOutcome(this, outcome, error);
  }

  /** Whether it was the connection or the server that failed, and not the handler. */
  async #hasDatabaseFailed(error: unknown): Promise<boolean> {
    const transaction = this.#transaction;
    if (error instanceof DatabaseUnreachable && (transaction?.begun || !this.#called)) return true;
    if (isExhausted(error)) return true;
    // An aborted attempt waits for nothing; and one that COMMIT refused has lost no connection, but discarded it.
    if (!transaction || this.#abort.aborted || transaction.ended) return false;
    return isExhausted(transaction.failure) || await transaction.isLost();
  }

  #decide(thrown: unknown, databaseFailed: boolean): Partial<Outcome> & Pick<Outcome, "status"> {
    if (thrown instanceof Shutdown) return { status: "created", counts: "snooze" };
    return decideRetry(thrown, this.#rules, databaseFailed);
  }

  get #rules(): RetryRules {
    const { defaults, redactor } = this.#env;
    return { task: this.task, definition: this.#definition, defaults, redactor };
  }

  /** The task is somebody else's: there is nothing to settle, only the lease to leave. */
  #lost(reason: unknown): AttemptOutcome {
    this.#env.settler.untrackTask(this.task);
    return emitLost(this, reason);
  }
}
