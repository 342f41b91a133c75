import { DEFAULT_RETRY_DELAY, type RetryDelay, secondsUntilRetry } from "./backoff.ts";
import { isFail, isRetry } from "./context.ts";
import type { Tag } from "./driver.ts";
import type { TaskDefinition, TaskOptions } from "./definition.ts";
import { toSeconds } from "./duration.ts";
import { CommitUnknown, DatabaseUnreachable, FireflyError, LeaseLost } from "./errors.ts";
import type { AttemptInfo, Emitter } from "./events.ts";
import { describeError } from "./failure.ts";
import { type Instance, type Logger, type TaskContext, withScope } from "./scope.ts";
import type { Sessions } from "./session.ts";
import { isOwnEnd, type Settler } from "./settler.ts";
import type { ClaimedTask } from "./store/claim.ts";
import { lockClaim, type Outcome, settleTasks, storeProgress } from "./store/settle.ts";
import { Transaction } from "./transaction.ts";
import { decode } from "./wire/decode.ts";
import { encode } from "./wire/encode.ts";

/** What all attempts of a consumer share. */
export interface AttemptEnvironment {
  readonly instance: Instance;
  readonly sql: Tag;
  readonly sessions: Sessions;
  readonly settler: Settler;
  readonly events: Emitter;
  readonly defaults: Pick<TaskOptions, "maxRetries" | "retryDelay" | "timeout">;
  /** Seconds after which the server ends a transaction whose consumer shows no life. */
  readonly lease: number;
}

/** Why an attempt is ended from outside without being counted: its task goes back. */
export class Shutdown extends FireflyError {
  override name = "Shutdown";
}

/** How an attempt ended, for the consumer's statistics. */
export type Ending = "completed" | "failed" | "retried" | "returned" | "lost";

/** How long a task rests whose attempt lost the database, in seconds: longer each time, so that it cannot storm. */
const REST_AFTER_LOSS = (snoozes: number) => Math.min(2 ** snoozes, 60);
/** The longest time between two attempts, in seconds: a hundred years. The database's calendar has an end. */
const LONGEST_DELAY = 100 * 365.25 * 86_400;
/** The time between two stored reports of progress, in milliseconds. */
const PROGRESS_INTERVAL = 500;

/** One attempt: decode, call the handler within its time, and settle. */
export class Attempt {
  readonly task: ClaimedTask;
  readonly info: AttemptInfo;
  readonly #definition: TaskDefinition;
  readonly #env: AttemptEnvironment;
  readonly #abort = new AbortController();
  readonly #transaction: Transaction;
  #began = 0;
  #progressAt = -Infinity;

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
      const returned = await encode(await this.#call());
      if (!this.#transaction.begun) {
        await this.#transaction.rollback(); // of nothing: from here on nothing can begin it
        onHandled();
      }
      return await this.#complete(returned);
    } catch (error) {
      return await this.#fail(error);
    }
  }

  /** Calls the handler, for as long as the timeout and the signal allow. */
  async #call(): Promise<unknown> {
    const params = decode(this.task.params);
    if (!Array.isArray(params)) throw new TypeError("Cannot call the handler as params is no list of arguments");
    const { signal } = this.#abort;
    const timer = this.#startTimeout();
    let stop = () => {};
    const aborted = new Promise<never>((_, reject) => {
      stop = () => reject(signal.reason);
      if (signal.aborted) stop();
      else signal.addEventListener("abort", stop, { once: true });
    });
    try {
      const scope = { instance: this.#env.instance, attempt: this.#context(), transaction: this.#transaction };
      // The async function turns what a synchronous handler throws into a rejection.
      return await Promise.race([withScope(scope, async () => await this.#definition.handler(...params)), aborted]);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    }
  }

  #startTimeout(): ReturnType<typeof setTimeout> | undefined {
    const timeout = this.task.timeout ?? this.#definition.timeout ?? this.#env.defaults.timeout;
    if (timeout === undefined) return undefined;
    const seconds = toSeconds(timeout, "timeout");
    const late = new DOMException(`The attempt took longer than its timeout of ${seconds} s`, "TimeoutError");
    return setTimeout(() => this.#abort.abort(late), Math.min(seconds * 1000, 2 ** 31 - 1));
  }

  #context(): TaskContext {
    const transaction = this.#transaction;
    return {
      queued: true,
      id: this.task.id,
      attempt: this.task.attempt,
      lastAttempt: this.task.retryAttempts >= this.#maxRetries,
      signal: this.#abort.signal,
      sql: transaction.sql,
      log: this.#logger(),
      progress: (value, note) => this.#progress(value, note),
    };
  }

  #logger(): Logger {
    const log = (level: keyof Logger) => (message: string, fields: object = {}) =>
      this.#env.events.emit("log", { ...this.info, level, message, fields });
    return { debug: log("debug"), info: log("info"), warn: log("warn"), error: log("error") };
  }

  async #progress(value: number, note?: string): Promise<void> {
    if (!(value >= 0 && value <= 1)) {
      throw new RangeError(`Cannot report progress as it must be between 0 and 1: current value is ${value}`);
    }
    const now = performance.now();
    if (value < 1 && now - this.#progressAt < PROGRESS_INTERVAL) return;
    this.#progressAt = now;
    const { id, claimSeq } = this.task;
    await storeProgress(this.#env.sql, { id, claimSeq, value, note: note ?? null });
  }

  /** Settles as completed: in the attempt's transaction if the handler used one, else together with others. */
  async #complete(returned: string): Promise<Ending> {
    const outcome = this.#outcome({ status: "completed", returned });
    if (this.#transaction.begun) await this.#commit(outcome);
    else if (!await this.#env.settler.settle(this.task, outcome)) return this.#announceLoss();
    this.#env.events.emit("completed", { ...this.info, seconds: (performance.now() - this.#began) / 1000 });
    return "completed";
  }

  /** Commits the handler's effects together with `outcome`, or neither. */
  async #commit(outcome: Outcome): Promise<void> {
    const { settler, sql } = this.#env;
    const { id, claimSeq, leaseId } = this.task;
    const leases = settler.remaining(leaseId) === 1 ? [leaseId] : [];
    const { statements } = this.#transaction;
    let settled = await settleTasks(statements, [outcome], leases);
    if (!settled.has(id) && (await lockClaim(statements, id))?.claimSeq === claimSeq) {
      settled = await settleTasks(statements, [outcome], leases); // somebody held the record's lock for a moment
    }
    if (!settled.has(id)) throw new LeaseLost(`Cannot complete task ${id} as this attempt does not hold it any more`);
    try {
      await this.#transaction.commit();
    } catch (error) {
      if (!(error instanceof CommitUnknown)) throw error;
      const state = await untilAnswered(() => lockClaim(sql, id));
      if (!isOwnEnd(state, outcome)) {
        throw state?.claimSeq === claimSeq ? error.cause : new LeaseLost(`Cannot complete task ${id} as it was lost`);
      }
    }
    settler.release(leaseId);
  }

  /** Undoes the handler's effects, and settles by what was thrown. */
  async #fail(error: unknown): Promise<Ending> {
    const lostDatabase = await this.#hasLostDatabase(error);
    if (this.#abort.signal.aborted) this.#transaction.abandon();
    else await this.#transaction.rollback();
    if (error instanceof LeaseLost) return this.#lost(error);
    const outcome = this.#outcomeOf(error, lostDatabase);
    try {
      if (!await this.#env.settler.settle(this.task, outcome)) return this.#announceLoss(error);
    } catch (refusal) {
      // The database refuses even this: the consumer hands back what it holds and knows nothing of any more.
      return this.#lost(refusal);
    }
    return this.#announce(outcome, error);
  }

  /** Whether it was the connection that failed, and not the handler. */
  async #hasLostDatabase(error: unknown): Promise<boolean> {
    if (error instanceof DatabaseUnreachable && this.#transaction.begun) return true;
    // An aborted attempt waits for nothing; and one that COMMIT refused has lost no connection, but discarded it.
    if (this.#abort.signal.aborted || this.#transaction.ended) return false;
    return await this.#transaction.isLost();
  }

  #outcomeOf(thrown: unknown, lostDatabase: boolean): Outcome {
    if (thrown instanceof Shutdown) return this.#outcome({ status: "created", counts: "snooze" });
    let error = thrown;
    let delay: number | null = null;
    let counts: Outcome["counts"] = null;
    try {
      if (lostDatabase) {
        [delay, counts] = [REST_AFTER_LOSS(this.task.snoozes), "snooze"];
      } else if (isRetry(thrown)) {
        [delay, counts] = [
          thrown.delay === undefined ? this.#retryDelay(thrown) : toSeconds(thrown.delay, "delay"),
          "snooze",
        ];
      } else if (!isFail(thrown) && this.task.retryAttempts < this.#maxRetries) {
        [delay, counts] = [this.#retryDelay(thrown), "retry"];
      }
    } catch (mistake) {
      // A retryDelay function that throws must not keep the attempt from ending.
      [error, delay, counts] = [
        new Error("Cannot tell when to try again", { cause: mistake }),
        DEFAULT_RETRY_DELAY,
        "retry",
      ];
    }
    if (delay !== null) delay = Math.min(delay, LONGEST_DELAY);
    const description = { ...describeError(error), ...(delay === null ? {} : { delay }) };
    return this.#outcome({ status: counts ? "created" : "failed", error: JSON.stringify(description), delay, counts });
  }

  get #maxRetries(): number {
    return this.task.maxRetries ?? this.#definition.maxRetries ?? this.#env.defaults.maxRetries ?? 0;
  }

  #retryDelay(error: unknown): number {
    const delay: RetryDelay = this.task.backoff ?? this.task.retryDelay ?? this.#definition.retryDelay ??
      this.#env.defaults.retryDelay ?? DEFAULT_RETRY_DELAY;
    return secondsUntilRetry(delay, this.task.attempt, error instanceof Error ? error : new Error(String(error)));
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

  /** The task is somebody else's: there is nothing to settle, only the lease to leave. */
  #lost(reason: unknown): Ending {
    this.#env.settler.release(this.task.leaseId);
    return this.#announceLoss(reason);
  }

  #announceLoss(reason: unknown = new LeaseLost(`Task ${this.task.id} was taken away from this attempt`)): Ending {
    this.#env.events.emit("lost", { ...this.info, reason });
    return "lost";
  }
}

/** Asks until the database answers: what became of a COMMIT is not to be guessed. */
async function untilAnswered<T>(ask: () => Promise<T>): Promise<T> {
  for (let delay = 50;; delay = Math.min(delay * 2, 1000)) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof DatabaseUnreachable)) throw error;
      await new Promise((resolve) => setTimeout(resolve, delay));
    }
  }
}
