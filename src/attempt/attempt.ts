import { LazyAbortController } from "./lazy_abort.ts";
import { AttemptContext } from "./context.ts";
import type { AttemptEnvironment } from "./environment.ts";
import { isServerFault } from "../database/error_codes.ts";
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
import { settleFailure } from "../settle/settle_outcome.ts";
import type { PendingSettle } from "../settle/settler.ts";
import type { ClaimedTask } from "../store/claim.ts";
import type { Outcome } from "../store/settle.ts";
import { isInstance } from "../thrown.ts";
import { Transaction } from "../database/transaction.ts";
import { decideRetry, maxRetriesOf, type RetryRules } from "../settle/retry_decision.ts";
import { encode } from "../wire/encode.ts";

/** Ends an attempt from outside without counting it: its task goes back to its queue. */
export class Shutdown extends FireflyError {
  override name = "Shutdown";
}

/**
 * One attempt: calls the handler, and settles the task by the result. The steps, in order:
 *
 * 1. `start` takes a slot and emits `started`; `loadParams` reads long arguments, which a claim leaves in the database.
 * 2. `#call` runs the handler: `callHandler` enters the scope, calls middleware, decodes and validates the arguments.
 * 3. `#onReturned` encodes the result, and encrypts it.
 * 4. `#complete` commits it together with the handler's transaction (`commitWithTask`); without one, the attempt gives its
 *    slot back, and the `Settler` completes it together with others.
 * 5. `onSettled` and `#onCompleted` emit `completed`, or `lost` if the consumer no longer held the task.
 * 6. `#onError` and `#fail` handle an error of any step: they roll back, choose between a retry and the end
 *    (`decideRetry`), settle, and emit `retried` or `failed`.
 * 7. `#end` reports the outcome, and gives the slot back if it is still taken.
 *
 * A step whose value is there at once awaits nothing: the promises around a short handler would cost more than all the
 * rest of its attempt. The attempt is also the scope of its handler; the context and the transaction, which few handlers
 * ask for, are made on first use.
 */
export class Attempt implements Scope, PendingSettle, AttemptEvents {
  readonly task: ClaimedTask;
  readonly info: AttemptInfo;
  readonly #definition: TaskDefinition;
  readonly #env: AttemptEnvironment;
  readonly #abort = new LazyAbortController();
  #transaction: Transaction | undefined;
  #context: AttemptContext | undefined;
  /** What is settled: completed fields as far as the attempt has come. */
  readonly outcome: Outcome;
  tries = 0;
  uncertain = false;
  #inSlot = true;
  #onEnded: ((attempt: Attempt, outcome: AttemptOutcome) => void) | undefined;
  #called = false;
  /** Whether the handler has returned or was abandoned, so that it can begin no transaction. */
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

  /** Where the attempt emits its events. */
  get events(): Emitter {
    return this.#env.events;
  }

  /** The instance that the handler's calls of `schedule()` use. */
  get instance(): CurrentInstance {
    return this.#env.instance;
  }

  /** What `current()` returns in the handler. */
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

  /** The handler's transaction, which commits together with the task. */
  get transaction(): Transaction {
    if (!this.#transaction) {
      const { sessions, sql, config: { leaseMs } } = this.#env;
      this.#transaction = Transaction.on(sessions, {
        schema: sql.schemaName,
        // A consumer that is stopped with an open transaction would block its successor on the user's own keys.
        setup: `SET LOCAL idle_in_transaction_session_timeout = ${Math.ceil(leaseMs)};`,
      });
      if (this.#closed) this.#transaction.abandon();
    }
    return this.#transaction;
  }

  /** Ends the attempt from outside: aborts its signal, and settles it without waiting for the handler. */
  abort(reason: Error): void {
    this.#abort.abort(reason);
  }

  /** Keeps the attempt's transaction alive. */
  ping(): void {
    this.#transaction?.ping();
  }

  /** Runs the attempt; calls `onEnded` with its outcome. */
  start(onEnded: (attempt: Attempt, outcome: AttemptOutcome) => void): void {
    this.#onEnded = onEnded;
    this.#env.slots.take();
    this.outcome.began = performance.now();
    this.#env.events.emit("started", this.info);
    if (areParamsLoaded(this.task)) this.#call();
    else loadParams(this.task, this.#env).then(() => this.#call(), (error) => this.#onError(error));
  }

  #call(): void {
    const { hooks, keys, config } = this.#env;
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
        timeout: this.task.timeout ?? this.#definition.timeout ?? config.defaults.timeout,
      });
      if (called instanceof Promise) {
        called.then((returned) => this.#onReturned(returned), (error) => this.#onError(error));
      } else this.#onReturned(called);
    } catch (error) {
      this.#onError(error);
    }
  }

  #onReturned(returned: unknown): void {
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
    return Promise.resolve(text).then((text) => keys.encrypt(text, { funcName, queue, column: "returned" }));
  }

  /** Completes the task: in the handler's transaction if it began one, else together with others. */
  #complete(returned: string): void {
    this.#close();
    this.task.params = null; // thousands may wait to be settled
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
    transaction?.abandon(); // from here on, nothing can begin it
    this.#inSlot = false;
    this.#env.slots.giveBack();
    this.#env.settler.add(this);
  }

  /** Called when the settler has completed the task, or found that the consumer no longer held it. */
  onSettled(status: Outcome["status"] | false): void {
    if (status) this.#onCompleted();
    else void readLossReason(this.#env.sql, this.task.id).then((reason) => this.#end(emitLost(this, reason)));
  }

  /** Called when the database refuses the result. */
  onRefused(cause: unknown): void {
    this.#onError(new FireflyError("Cannot store the result as the database refuses it", { cause }));
  }

  #onCompleted(): void {
    this.#end(emitCompleted(this, this.outcome.began!));
  }

  #onError(error: unknown): void {
    this.#close();
    // Whatever happens meanwhile, the attempt ends: a slot that is never given back is lost to the consumer.
    void this.#fail(error).catch((fault) => this.#lose(fault)).then((outcome) => this.#end(outcome));
  }

  #end(outcome: AttemptOutcome): void {
    const { slots } = this.#env;
    this.#onEnded!(this, outcome);
    if (this.#inSlot) slots.giveBack();
    else slots.onRoom();
  }

  /** Takes no more from the handler, which has returned or was abandoned: no report, and no transaction. */
  #close(): void {
    this.#closed = true;
    this.#context?.end();
  }

  /** Rolls the handler's transaction back, and settles the task by the error. */
  async #fail(error: unknown): Promise<AttemptOutcome> {
    const seconds = Math.round((performance.now() - this.outcome.began!) * 1000) / 1e6;
    const databaseFailed = await this.#hasDatabaseFailed(error);
    if (this.#abort.aborted) this.#transaction?.abandon();
    else await this.#transaction?.rollback();
    if (isInstance(error, LeaseLost)) return this.#lose(error);
    const { settler, sql } = this.#env;
    const decided = { ...this.outcome, returned: null, ...this.#decide(error, databaseFailed, seconds) };
    // If the database refuses all of it, this throws. The next renewal finds the claim, which is tracked no longer.
    const { status, outcome } = await settleFailure(settler, this.task, decided);
    if (!status) return emitLost(this, await readLossReason(sql, this.task.id, error));
    if (status !== outcome.status) return emitDuplicate(this, error);
    return emitOutcome(this, outcome, error);
  }

  /** Whether the connection or the server failed, not the handler. */
  async #hasDatabaseFailed(error: unknown): Promise<boolean> {
    const transaction = this.#transaction;
    if (isServerFault(error) || isServerFault(transaction?.failure)) return true;
    if (isInstance(error, DatabaseUnreachable) && !this.#called) return true;
    // An aborted attempt waits for nothing. One that COMMIT refused has discarded its connection, not lost it.
    if (!transaction || this.#abort.aborted || transaction.ended) return false;
    return await transaction.isLost();
  }

  #decide(thrown: unknown, databaseFailed: boolean, seconds: number): Partial<Outcome> & Pick<Outcome, "status"> {
    if (isInstance(thrown, Shutdown)) return { status: "created", counts: "snooze" };
    return decideRetry(thrown, { ...this.#rules, seconds }, databaseFailed);
  }

  get #rules(): RetryRules {
    const { config: { defaults }, redactor } = this.#env;
    return { task: this.task, definition: this.#definition, defaults, redactor };
  }

  /** Settles nothing, as the consumer no longer holds the task. */
  #lose(reason: unknown): AttemptOutcome {
    this.#env.settler.untrackTask(this.task);
    return emitLost(this, reason);
  }
}
