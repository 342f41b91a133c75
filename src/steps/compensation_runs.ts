import { decodeParams } from "../privacy/encryption.ts";
import { encodeResult } from "../settle/encode_result.ts";
import { describeError } from "../settle/error_record.ts";
import type { NewStep } from "../store/steps.ts";
import type { Duration } from "../duration.ts";
import { type Compensation, MARKER, type Undo } from "./compensation.ts";
import { type Awaited, never, type StepsHost } from "./host.ts";
import { type KnownStep, toNewStep } from "./new_step.ts";
import { newRun, storeRun, undoRun } from "./run_effects.ts";
import { toServerFault } from "./step_error.ts";
import { delayOfRetry } from "./step_retry.ts";
import type { StepRun } from "./step_run.ts";
import type { SuspendedSteps } from "./suspension.ts";

/** What the compensations of an attempt run with. */
export interface CompensationRunsOptions {
  readonly host: StepsHost;
  readonly compensation: Compensation;
  /** The last place in the order of steps that have ended. */
  readonly lastSeq: number;
  /** How long a compensation may take, and how often it is tried again, unless its step has options for that. */
  readonly timeout: Duration | undefined;
  readonly maxRetries: number;
  /** The version of the task's code. */
  readonly version: number;
  /** The process that runs the attempt, as `consumer_process` has it. */
  readonly by: number | null;
}

/** What is stored of a compensation that has ended, or is tried again. */
type Ended = Omit<KnownStep, "name" | "key" | "kind" | "began">;

/** Runs the compensations of a task, one after the other, each as a step. */
export class CompensationRuns {
  readonly #options: CompensationRunsOptions;
  readonly #controller = new AbortController();
  #lastSeq: number;
  #run: StepRun | undefined;

  constructor(options: CompensationRunsOptions) {
    this.#options = options;
    this.#lastSeq = options.lastSeq;
    const { signal } = this.#controller;
    signal.addEventListener("abort", () => this.#run?.abandon(signal.reason), { once: true });
  }

  /** Aborts when the attempt is ended from outside. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Ends the attempt from outside: nothing more is stored. */
  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  /** Keeps the transaction of the one that runs alive. */
  ping(): void {
    this.#run?.ping();
  }

  /**
   * Compensates steps in their order, and goes on with the next one where a compensation has failed. Resolves to what the
   * attempt leaves behind if it is to be suspended, since one is tried again later; else to undefined. Never settles once
   * the attempt has ended from outside.
   *
   * @throws {LeaseLost} If the attempt no longer holds the task. Also throws the database's error, if it failed.
   */
  async run(undos: readonly Undo[]): Promise<SuspendedSteps | undefined> {
    for (const undo of undos) {
      const again = await this.#compensate(undo);
      if (again) return again;
    }
    return undefined;
  }

  async #compensate(undo: Undo): Promise<SuspendedSteps | undefined> {
    const { signal } = this;
    if (signal.aborted) return await never();
    const run = this.#run = this.#begin(undo);
    try {
      await this.#store(run, undo);
      run.report.completed();
      return undefined;
    } catch (error) {
      const isLost = await undoRun(run, error, signal.aborted);
      if (signal.aborted || isLost) run.report.lost();
      if (signal.aborted) return await never();
      if (isLost) throw toServerFault(error);
      return await this.#fail(run, undo, error);
    } finally {
      this.#run = undefined;
    }
  }

  /** Calls the function, and stores what it returns together with its transaction. */
  async #store(run: StepRun, undo: Undo): Promise<void> {
    const { task, env: { keys } } = this.#options.host;
    const result = undo.returned === null ? undefined : decodeParams(await this.#decrypt(undo.returned), keys);
    const given = await run.call((info) => undo.compensate(result as never, info));
    const returned = await encodeResult(given, task, keys, "step.returned");
    const seq = ++this.#lastSeq;
    const step = this.#toNewStep(run, undo, { seq, failures: this.#failuresOf(undo), returned, error: null });
    const ended = { id: task.id, claimSeq: task.claimSeq, step, failures: [] };
    await storeRun(run, ended, this.#options.host, this.signal);
  }

  /** Stores a failure, unless the compensation has retries left: then it resolves to what the attempt leaves behind. */
  async #fail(run: StepRun, undo: Undo, thrown: unknown): Promise<SuspendedSteps | undefined> {
    const { host, by, maxRetries } = this.#options;
    const { task, env: { redactor, stepSettler } } = host;
    const failed = this.#failuresOf(undo);
    const again = delayOfRetry(thrown, { options: { maxRetries, ...undo.options }, failures: failed, host });
    const error = JSON.stringify({ ...describeError(again?.error ?? thrown, redactor), by });
    if (again) {
      const { delay: due, failures } = again;
      run.report.retried(again.error ?? thrown, due);
      const step = this.#toNewStep(run, undo, { seq: null, due, failures, returned: null, error });
      const awaited: Awaited = { name: step.name, key: step.key, kind: step.kind, due: performance.now() + due * 1000 };
      return { steps: [step], awaits: [awaited] };
    }
    run.report.failed(thrown);
    const seq = ++this.#lastSeq;
    const step = this.#toNewStep(run, undo, { seq, failures: failed + 1, returned: null, error });
    await stepSettler.store({ id: task.id, claimSeq: task.claimSeq, step, failures: [] }, this.signal);
    return undefined;
  }

  #failuresOf(undo: Undo): number {
    return this.#options.compensation.storedOf(undo)?.failures ?? 0;
  }

  async #decrypt(text: string): Promise<string> {
    const { task: { funcName, queue }, env: { keys } } = this.#options.host;
    return keys ? await keys.decrypt(text, { funcName, queue, column: "step.returned" }) : text;
  }

  #begin({ name: undone, key, options }: Undo): StepRun {
    const { host, timeout } = this.#options;
    const name = `${MARKER} ${undone}`;
    return newRun(host, { name, key, kind: "compensation", timeout: options.timeout ?? timeout });
  }

  #toNewStep({ name, began }: StepRun, { key }: Undo, ended: Ended): NewStep {
    return toNewStep(this.#options, { name, key, kind: "compensation", began, ...ended });
  }
}
