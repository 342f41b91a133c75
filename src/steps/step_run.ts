import type { Transaction } from "../database/transaction.ts";
import { type CurrentInstance, enterScope, type TaskContext } from "../task/scope.ts";
import { startStepTimeout, type StepFunction, type StepInfo } from "../task/step_options.ts";
import type { Duration } from "../duration.ts";
import type { StepReport } from "./step_report.ts";

/** What a step runs with. */
export interface StepRunParts {
  readonly name: string;
  readonly key: string;
  readonly idempotencyKey: string;
  readonly timeout: Duration | undefined;
  /** The context of the attempt. */
  readonly context: TaskContext;
  readonly instance: CurrentInstance;
  openTransaction(): Transaction;
  /** What reports the run. */
  readonly report: StepReport;
}

/** One call of a step's function: its scope, its signal, and the transaction that its first statement begins. */
export class StepRun {
  readonly began: number = performance.now();
  readonly name: string;
  readonly report: StepReport;
  /** What `current()` returns in the function. */
  readonly context: TaskContext;
  readonly #parts: StepRunParts;
  readonly #controller = new AbortController();
  readonly #isOver = Promise.withResolvers<never>();
  #transaction: Transaction | undefined;

  constructor(parts: StepRunParts) {
    this.#parts = parts;
    this.name = parts.name;
    this.report = parts.report;
    const { context } = parts;
    const { signal } = this.#controller;
    const sql = () => this.transaction.sql;
    this.context = {
      queued: true,
      id: context.id,
      attempt: context.attempt,
      lastAttempt: context.lastAttempt,
      version: context.version,
      signal,
      get sql() {
        return sql();
      },
      get log() {
        return context.log;
      },
      progress: context.progress,
      step: context.step,
    };
    this.#isOver.promise.catch(() => {}); // nothing waits for it once the function has returned
  }

  /** The transaction of the step, which commits together with its result. */
  get transaction(): Transaction {
    return this.#transaction ??= this.#parts.openTransaction();
  }

  /** The transaction, if the function has asked for it. */
  get usedTransaction(): Transaction | undefined {
    return this.#transaction;
  }

  /** Calls the function; rejects with what it throws, or when the step's timeout has passed. */
  async call(fn: StepFunction): Promise<unknown> {
    const { name, key, timeout, idempotencyKey, context: { attempt }, instance } = this.#parts;
    const transaction = () => this.transaction;
    const scope = {
      instance,
      attempt: this.context,
      get transaction() {
        return transaction();
      },
    };
    const info: StepInfo = { name, key, attempt, idempotencyKey, signal: this.#controller.signal };
    const limit = timeout === undefined ? undefined : startStepTimeout(name, timeout);
    limit?.late.catch((error) => this.abandon(error));
    try {
      return await this.report.run(() => {
        const called = (async () => await enterScope(scope, fn, info))();
        return Promise.race([called, this.#isOver.promise]);
      });
    } finally {
      clearTimeout(limit?.timer);
    }
  }

  /** Aborts the signal, and waits for the function nevertheless. */
  warn(reason: unknown): void {
    this.#controller.abort(reason);
  }

  /** Waits for the function no longer: its transaction is abandoned in the middle of a statement. */
  abandon(reason: unknown): void {
    this.#controller.abort(reason);
    this.#transaction ??= this.#parts.openTransaction(); // so that the function begins none from now on
    this.#transaction.abandon();
    this.#isOver.reject(reason);
  }

  /** Keeps its transaction alive. */
  ping(): void {
    this.#transaction?.ping();
  }
}
