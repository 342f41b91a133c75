import type { LazyAbortController } from "./lazy_abort.ts";
import { AttemptContext } from "./context.ts";
import { coarseNow, msSince } from "./clock.ts";
import type { AttemptEnvironment } from "./environment.ts";
import type { TaskDefinition } from "../task/definition.ts";
import { commitWithTask } from "../settle/commit.ts";
import { encodeResult } from "../settle/encode_result.ts";
import {
  type AttemptEvents,
  type AttemptOutcome,
  emitCompleted,
  emitLost,
  readLossReason,
} from "../settle/outcome_events.ts";
import { FireflyError } from "../errors.ts";
import type { AttemptInfo } from "../events.ts";
import { callHandler, type HandlerCall } from "./call_handler.ts";
import { finishSteps } from "./finish_steps.ts";
import { isLoaded, loadAttempt } from "./load_params.ts";
import { completeArguments } from "./results.ts";
import type { CurrentInstance, Scope, TaskContext } from "../task/scope.ts";
import type { PendingCompletion } from "../settle/settle_statements.ts";
import type { ClaimedTask } from "../store/claimed_task.ts";
import type { Outcome } from "../store/settle.ts";
import type { AttemptSpan } from "../telemetry/attempt_span.ts";
import { AttemptCompensation } from "./compensate.ts";
import { failAttempt, type FailingAttempt, isSuspendedBy } from "./fail.ts";
import type { Steps } from "../steps/steps.ts";
import type { Transaction } from "../database/transaction.ts";
import type { Incomplete } from "../wire/missing.ts";
import type { Duration } from "../duration.ts";

/** Called with an attempt that has ended, and how. */
export type OnEnded = (attempt: Attempt, outcome: AttemptOutcome) => void;

/**
 * One attempt: calls the handler, and settles the task by the result. The steps, in order:
 *
 * 1. `start` takes a slot and emits `started`; `loadParams` reads long arguments, which a claim leaves in the database.
 * 2. `#call` runs the handler: `callHandler` enters the scope, calls middleware, decodes and validates the arguments.
 * 3. `#onReturned` waits for steps that the handler left behind (`finishSteps`), then encodes the result, and encrypts it.
 * 4. `#complete` commits it together with the handler's transaction (`commitWithTask`); without one, the attempt gives its
 *    slot back, and the `Settler` completes it together with others.
 * 5. `onSettled` emits `completed`, or `lost` if the consumer no longer held the task.
 * 6. `onError` and `failAttempt` handle an error of any step: they roll back, choose between a retry and the end
 *    (`decideRetry`), compensate the handler's steps before the end (`AttemptCompensation`), settle, and emit `retried` or
 *    `failed`.
 * 7. `#end` reports the outcome, and gives the slot back if it is still taken.
 *
 * A step whose value is there at once awaits nothing: the promises around a short handler would cost more than all the
 * rest of its attempt. For the same reason such an attempt is one object: it is also the call and the scope of its
 * handler, and its completion. What few handlers ask for is in a context that is made on first use.
 */
export class Attempt implements Scope, HandlerCall, FailingAttempt, PendingCompletion, AttemptEvents {
  /** The task of the attempt that started last in this process. */
  static latest: ClaimedTask | undefined;
  readonly task: ClaimedTask;
  readonly definition: TaskDefinition;
  readonly env: AttemptEnvironment;
  /** When it started, by `performance.now()`. */
  began = 0;
  /** How long its handler ran, in whole milliseconds. */
  ran = 0;
  /** The encoded result, once the handler has returned; null if that is undefined. */
  returned: string | null = null;
  tries = 0;
  uncertain = false;
  /** Whether its arguments, or results that are among them, are being read, so that its handler was not called. */
  isLoading = false;
  /** Its span, if it has one. */
  span: AttemptSpan | undefined;
  #context: AttemptContext | undefined;
  #onEnded: OnEnded | undefined;
  #inSlot = true;
  #compensation: AttemptCompensation | undefined;
  /** Why it was ended from outside, other than by itself. */
  #abortedBy: Error | undefined;
  /** Whether the handler has returned or was abandoned, so that it can begin no transaction. */
  #closed = false;

  constructor(task: ClaimedTask, definition: TaskDefinition, env: AttemptEnvironment) {
    this.task = task;
    this.definition = definition;
    this.env = env;
  }

  /** The id of the task. */
  get id(): number {
    return this.task.id;
  }

  /** The fence of the claim. */
  get claimSeq(): number {
    return this.task.claimSeq;
  }

  /** The attempt as events and middleware have it. */
  get info(): AttemptInfo {
    const { id, funcName, queue, attempt } = this.task;
    return { id, funcName, queue, attempt };
  }

  /** What is settled if the handler has returned. */
  get outcome(): Outcome {
    const { id, claimSeq, began, returned } = this;
    return { id, claimSeq, began, returned, status: "completed", error: null, delay: null, counts: null };
  }

  /** How long the handler may take. */
  get timeout(): Duration | undefined {
    return this.task.timeout ?? this.definition.timeout ?? this.env.config.defaults.timeout;
  }

  /** The handler's steps, if it has asked for them. */
  get usedSteps(): Steps | undefined {
    return this.#context?.usedSteps;
  }

  /** The handler's transaction, if it has asked for it. */
  get usedTransaction(): Transaction | undefined {
    return this.#context?.usedTransaction;
  }

  /** Whether it takes a slot of the consumer. */
  get inSlot(): boolean {
    return this.#inSlot;
  }

  /** Whether it was ended from outside. */
  get aborted(): boolean {
    return this.#context !== undefined && this.#context.abortController.aborted;
  }

  /** What ends it from outside. */
  get abortController(): LazyAbortController {
    return this.#contextOnUse.abortController;
  }

  /** The instance that the handler's calls of `schedule()` use. */
  get instance(): CurrentInstance {
    return this.env.instance;
  }

  /** What `current()` returns in the handler. */
  get attempt(): TaskContext {
    return this.#contextOnUse.context;
  }

  /** The handler's transaction, which commits together with the task. */
  get transaction(): Transaction {
    return this.#contextOnUse.transaction;
  }

  get #contextOnUse(): AttemptContext {
    if (!this.#context) {
      const { task, definition, info, env } = this;
      this.#context = new AttemptContext({ task, definition, info, env, span: this.span });
      if (this.#closed) this.#context.end();
    }
    return this.#context;
  }

  /** Ends the attempt from outside: aborts its signal, and settles it without waiting for the handler. */
  abort(reason: Error): void {
    this.#abortedBy = reason;
    this.abortController.abort(reason);
    this.#compensation?.abort(reason);
  }

  /**
   * Completes arguments in which results of other tasks are missing. Meanwhile a failure of the database is none of the
   * handler's.
   */
  async readResults(incomplete: Incomplete): Promise<unknown> {
    this.isLoading = true;
    const args = await completeArguments(this.task, incomplete, this.env);
    this.isLoading = false;
    return args;
  }

  /** Called when the handler has ended, and what stands around it has not. */
  onHandled(): void {
    this.usedSteps?.onHandled();
  }

  /** Begins to compensate its steps, until it is ended from outside. */
  startCompensation(steps: Steps): AttemptCompensation {
    const compensation = this.#compensation = new AttemptCompensation(this, steps);
    if (this.#abortedBy) compensation.abort(this.#abortedBy);
    return compensation;
  }

  /** Keeps the attempt's transactions alive. */
  ping(): void {
    this.usedTransaction?.ping();
    this.usedSteps?.ping();
    this.#compensation?.ping();
  }

  /** Runs the attempt; calls `onEnded` with its outcome. */
  start(onEnded: OnEnded): void {
    const { slots, events } = this.env;
    this.#onEnded = onEnded;
    slots.take();
    this.began = coarseNow();
    Attempt.latest = this.task;
    this.span = this.env.tracing?.startAttempt(this.task, this.began);
    if (events.has("started")) events.emit("started", this.info);
    if (isLoaded(this)) this.#call();
    else {
      this.isLoading = true;
      loadAttempt(this, () => this.#contextOnUse.steps).then(() => this.#call(), (error) => this.onError(error));
    }
  }

  #call(): void {
    this.isLoading = false;
    try {
      const returned = this.span ? this.span.run(() => callHandler(this)) : callHandler(this);
      if (returned instanceof Promise) {
        returned.then((value) => this.#onReturned(value), (error) => this.#onThrown(error));
      } else this.#onReturned(returned);
    } catch (error) {
      this.#onThrown(error);
    }
  }

  #onThrown(error: unknown): void {
    if (!this.usedSteps || this.aborted) return this.onError(error);
    const end = () => this.onError(error);
    void finishSteps(this, { error }).then(end, end);
  }

  #onReturned(returned: unknown): void {
    if (this.#context === undefined || !this.usedSteps) return this.#store(returned);
    void finishSteps(this).then(() => this.#store(returned), (error) => this.onError(error));
  }

  #store(returned: unknown): void {
    this.ran = msSince(this.began);
    try {
      const encoded = encodeResult(returned, this.task, this.env.keys, "returned");
      if (encoded === null || typeof encoded === "string") this.#complete(encoded);
      else encoded.then((text) => this.#complete(text), (error) => this.onError(error));
    } catch (error) {
      this.onError(error);
    }
  }

  /** Completes the task: in the handler's transaction if it began one, else together with others. */
  #complete(returned: string | null): void {
    this.#close();
    this.task.params = null; // thousands may wait to be settled
    this.returned = returned;
    const transaction = this.usedTransaction;
    if (transaction?.begun) {
      void commitWithTask({ task: this.task, outcome: this.outcome, transaction }, this.env).then(
        () => this.onSettled("completed"),
        (error) => this.onError(error),
      );
      return;
    }
    transaction?.abandon(); // from here on, nothing can begin it
    this.#inSlot = false;
    this.env.slots.giveBack();
    this.env.settler.complete(this);
  }

  /** Called when the settler has completed the task, or found that the consumer no longer held it. */
  onSettled(status: Outcome["status"] | false): void {
    if (status) this.#end(emitCompleted(this, this.began));
    else void readLossReason(this.env.sql, this.task.id).then((reason) => this.#end(emitLost(this, reason)));
  }

  /** Called when the database refuses the result. */
  onRefused(cause: unknown): void {
    this.onError(new FireflyError("Cannot store the result as the database refuses it", { cause }));
  }

  /** Ends the attempt with an error of any of its steps. */
  onError(error: unknown): void {
    this.#close();
    if (!isSuspendedBy(this, error)) {
      this.span ??= this.env.tracing?.startFailed(this.task, this.began);
      this.span?.fail(error);
    }
    // Whatever happens meanwhile, the attempt ends: a slot that is never given back is lost to the consumer.
    void failAttempt(this, error).catch((fault) => this.lose(fault)).then((outcome) => this.#end(outcome));
  }

  #end(outcome: AttemptOutcome): void {
    const { slots } = this.env;
    this.span?.end(outcome);
    this.#onEnded!(this, outcome);
    if (this.#inSlot) slots.giveBack();
    else slots.onRoom();
  }

  /** Takes no more from the handler, which has returned or was abandoned: no report, and no transaction. */
  #close(): void {
    this.#closed = true;
    this.#context?.end();
  }

  /** Settles nothing, as the consumer no longer holds the task. */
  lose(reason: unknown): AttemptOutcome {
    this.env.settler.untrackTask(this.task);
    return emitLost(this, reason);
  }
}
