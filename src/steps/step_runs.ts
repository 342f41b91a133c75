import { attemptTransaction } from "../database/attempt_transaction.ts";
import { LeaseLost } from "../errors.ts";
import { commitStep } from "../settle/commit_step.ts";
import { hasDatabaseFailed } from "../settle/database_failure.ts";
import { encodeResult } from "../settle/encode_result.ts";
import type { NewStep } from "../store/steps.ts";
import type { TaskContext } from "../task/scope.ts";
import { checkStep, type StepCompensation, type StepFunction, type StepOptions } from "../task/step_options.ts";
import { isInstance } from "../thrown.ts";
import { never, type StepsCore, type Turn } from "./host.ts";
import { describeStepError, toServerFault } from "./step_error.ts";
import { delayOfRetry } from "./step_retry.ts";
import { StepReport } from "./step_report.ts";
import { StepRun } from "./step_run.ts";

/** What is known of a step that runs. */
interface Running extends Turn {
  readonly options: StepOptions;
  readonly canCompensate: boolean;
  /** How often it has failed in this attempt of the task. */
  readonly failures: number;
}

/** The functions of an attempt's steps: runs them, and stores what they return. */
export class StepRuns {
  readonly #core: StepsCore;
  /** The steps whose functions run, or whose results are being stored. */
  readonly #runs = new Set<StepRun>();
  /** The steps by the contexts in their functions. */
  readonly #contexts = new WeakMap<TaskContext, string>();
  #onEnd: (() => void) | undefined;

  constructor(core: StepsCore) {
    this.#core = core;
  }

  /** Runs a function as a step. */
  readonly run = async (
    spec: string | StepOptions,
    fn: StepFunction,
    compensate?: StepCompensation,
  ): Promise<unknown> => {
    const options = checkStep(spec, fn, compensate);
    const asked = { ...options, kind: "step" as const, options, compensate };
    const canCompensate = compensate !== undefined;
    return await this.#core.enter(
      options.name,
      () => asked,
      (turn) => this.#take(turn, { options, canCompensate }, fn),
    );
  };

  /** The name of the step in whose function a context is the current one. */
  outer(context: TaskContext | undefined): string | undefined {
    return context && this.#contexts.get(context);
  }

  /** Keeps the transactions of steps alive. */
  ping(): void {
    for (const run of this.#runs) run.ping();
  }

  /** Aborts the signals of the steps that run, and resolves when they have ended. */
  async end(reason: unknown): Promise<void> {
    for (const run of this.#runs) run.warn(reason);
    if (this.#runs.size > 0) await new Promise<void>((resolve) => this.#onEnd = resolve);
  }

  /** Waits for none of them any more. */
  abandon(reason: unknown): void {
    for (const run of this.#runs) run.abandon(reason);
  }

  async #take(
    turn: Turn,
    asked: Pick<Running, "options" | "canCompensate">,
    fn: StepFunction,
  ): Promise<unknown> {
    const { stored, loaded, name, key } = turn;
    const { task: { attempt } } = this.#core.host;
    // After an attempt that failed, the step has all of its retries again.
    const failures = stored?.attempt === attempt ? stored.failures : 0;
    const now = loaded.now && loaded.now.getTime() + performance.now() - loaded.at;
    if (stored?.due && now !== undefined && stored.due.getTime() > now) {
      return await this.#core.wait({ name, key, kind: "step", due: stored.due });
    }
    return await this.#run({ ...turn, ...asked, failures }, fn);
  }

  async #run(running: Running, fn: StepFunction): Promise<unknown> {
    const { replay, caught, canCompensate } = running;
    const { host, facts, compensation } = this.#core;
    const { task, context: { signal }, env: { keys, sql, stepSettler } } = host;
    const run = this.#begin(running);
    let seq: number | undefined;
    try {
      if (canCompensate) await compensation.note();
      const result = await run.call(fn);
      const returned = await encodeResult(result, task, keys, "step.returned");
      seq = replay.end();
      const step = this.#toNewStep(run, { ...running, seq, returned, error: null });
      const ended = { id: task.id, claimSeq: task.claimSeq, step, failures: facts.toStore(caught) };
      const transaction = run.usedTransaction;
      if (transaction?.begun) await commitStep(sql, ended, transaction);
      else {
        transaction?.abandon(); // from here on, nothing can begin it
        await stepSettler.store(ended, signal);
      }
      facts.onStored(ended.failures);
      run.report.completed();
      if (canCompensate) compensation.onCompleted(step);
      this.#end(run);
      if (signal.aborted) return await never();
      await replay.give(seq);
      return result;
    } catch (error) {
      if (seq !== undefined) replay.drop(seq);
      const databaseFailed = await hasDatabaseFailed(error, run.usedTransaction, signal.aborted);
      if (signal.aborted) run.usedTransaction?.abandon();
      else await run.usedTransaction?.rollback();
      this.#end(run);
      const isLost = databaseFailed || isInstance(error, LeaseLost);
      if (signal.aborted || isLost) run.report.lost();
      else if (this.#core.hasFailed) run.report.failed(error);
      // Where the handler has failed, it waits for nothing: a rejection would end the process as an unhandled one.
      if (signal.aborted || this.#core.hasFailed) return await never();
      if (isLost) return await this.#core.leave(toServerFault(error));
      return await this.#fail(run, running, error);
    }
  }

  /**
   * Waits until the step is tried again, if it has retries left. Else gives the error to the handler: it is stored once
   * the handler goes on with another step.
   */
  async #fail(run: StepRun, running: Running, thrown: unknown): Promise<never> {
    const { replay, name, key, caught, options } = running;
    const { host, facts } = this.#core;
    const again = delayOfRetry(thrown, { options, failures: running.failures, host });
    const error = describeStepError(again?.error ?? thrown, host.env.redactor);
    if (again) {
      const { delay, failures } = again;
      run.report.retried(again.error ?? thrown, delay);
      const at = performance.now() + delay * 1000;
      facts.add(this.#toNewStep(run, { ...running, failures, seq: null, due: delay, returned: null, error }), caught);
      return await this.#core.wait({ name, key, kind: "step", due: at });
    }
    run.report.failed(thrown);
    const seq = replay.end();
    const failures = options.maxRetries ? running.failures + 1 : running.failures;
    const failure = this.#toNewStep(run, { ...running, failures, seq, returned: null, error });
    await replay.give(seq);
    facts.add(failure, caught);
    throw thrown;
  }

  #begin({ name, key, options: { timeout } }: Running): StepRun {
    const { host } = this.#core;
    const { task: { id }, context, env: { instance, sessions, sql: { schemaName: schema }, config: { leaseMs } } } =
      host;
    const run = new StepRun({
      name,
      key,
      timeout,
      idempotencyKey: [schema, id, name, key].join(":"),
      context,
      instance,
      openTransaction: () => attemptTransaction(sessions, { schema, leaseMs }),
      report: new StepReport(host.observers, { name, key, kind: "step" }),
    });
    this.#runs.add(run);
    this.#contexts.set(run.context, name);
    return run;
  }

  #end(run: StepRun): void {
    this.#runs.delete(run);
    if (this.#runs.size === 0) this.#onEnd?.();
  }

  #toNewStep(
    { began }: StepRun,
    { name, key, failures, seq, due = null, returned, error }:
      & Pick<NewStep, "name" | "key" | "failures" | "seq" | "returned" | "error">
      & { due?: number | null },
  ): NewStep {
    const { version, host: { task: { attempt } } } = this.#core;
    return {
      name,
      key,
      kind: "step",
      status: seq === null ? "waiting" : error === null ? "completed" : "failed",
      seq,
      version,
      attempt,
      failures,
      began,
      ended: seq === null ? null : performance.now(),
      due,
      received: null,
      returned,
      error,
    };
  }
}
