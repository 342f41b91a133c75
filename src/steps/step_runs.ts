import { encodeResult } from "../settle/encode_result.ts";
import type { NewStep } from "../store/steps.ts";
import type { TaskContext } from "../task/scope.ts";
import { checkStep, type StepCompensation, type StepFunction, type StepOptions } from "../task/step_options.ts";
import { never, type StepsCore, type Turn } from "./host.ts";
import { toNewStep } from "./new_step.ts";
import { newRun, storeRun, undoRun } from "./run_effects.ts";
import { describeStepError, toServerFault } from "./step_error.ts";
import { delayOfRetry } from "./step_retry.ts";
import type { StepRun } from "./step_run.ts";

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
    const { task, context: { signal }, env: { keys } } = host;
    const run = this.#begin(running);
    let seq: number | undefined;
    try {
      if (canCompensate) await compensation.note();
      const result = await run.call(fn);
      const returned = await encodeResult(result, task, keys, "step.returned");
      seq = replay.end();
      const step = this.#toNewStep(run, { ...running, seq, returned, error: null });
      const ended = { id: task.id, claimSeq: task.claimSeq, step, failures: facts.toStore(caught) };
      await storeRun(run, ended, host, signal);
      facts.onStored(ended.failures);
      run.report.completed();
      if (canCompensate) compensation.onCompleted(step);
      this.#end(run);
      if (signal.aborted) return await never();
      await replay.give(seq);
      return result;
    } catch (error) {
      if (seq !== undefined) replay.drop(seq);
      const isLost = await undoRun(run, error, signal.aborted);
      this.#end(run);
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
    const run = newRun(this.#core.host, { name, key, kind: "step", timeout });
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
    return toNewStep(this.#core, { name, key, kind: "step", failures, seq, began, due, returned, error });
  }
}
