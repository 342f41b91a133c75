import type { Tag } from "../database/driver.ts";
import { attemptTransaction } from "../database/attempt_transaction.ts";
import type { Sessions } from "../database/sessions.ts";
import { FireflyError, FireflyLimitError, LeaseLost } from "../errors.ts";
import { decodeParams, type KeyRing } from "../privacy/encryption.ts";
import type { Redactor } from "../privacy/redaction.ts";
import { commitStep } from "../settle/commit_step.ts";
import type { StepSettler } from "../settle/step_settler.ts";
import type { ClaimedTask } from "../store/claimed_task.ts";
import type { NewStep, StepRow } from "../store/steps.ts";
import { markAsFail } from "../task/context.ts";
import { type CurrentInstance, currentScope, type TaskContext } from "../task/scope.ts";
import { checkStep, type Step, type StepFunction, type StepOptions } from "../task/step.ts";
import { isInstance } from "../thrown.ts";
import { CLOCK } from "./clock.ts";
import { Replay } from "./replay.ts";
import { loadSteps, stepsChangedError } from "./load_steps.ts";
import { encodeResult } from "../settle/encode_result.ts";
import { hasDatabaseFailed } from "../settle/database_failure.ts";
import { describeStepError, toServerFault, toThrown } from "./step_error.ts";
import { StepNames } from "./step_names.ts";
import { StepRun } from "./step_run.ts";

/** How many steps a task may have unless its option `maxSteps` says otherwise. */
const MAX_STEPS = 10_000;

/** The attempt that steps belong to. */
export interface StepsHost {
  readonly task: ClaimedTask;
  readonly definition: { readonly version?: number; readonly maxSteps?: number };
  readonly env: {
    readonly config: { readonly leaseMs: number };
    readonly instance: CurrentInstance;
    readonly keys: KeyRing | undefined;
    readonly redactor: Redactor;
    readonly sessions: Sessions;
    readonly sql: Tag;
    readonly stepSettler: StepSettler;
  };
  /** What `current()` returns in the handler. */
  readonly context: TaskContext;
  /** Whether the attempt's own transaction has begun. */
  readonly hasBegun: boolean;
  /** Ends the attempt from outside, without its handler. */
  abort(reason: unknown): void;
}

/** The steps of an attempt: what `current().step` is there. */
export class Steps {
  readonly #host: StepsHost;
  readonly #names = new StepNames();
  /** The steps whose functions run, or whose results are being stored. */
  readonly #runs = new Set<StepRun>();
  /** The steps by the contexts in their functions. */
  readonly #contexts = new WeakMap<TaskContext, string>();
  /** Failures that the handler got, and that are not stored. */
  readonly #failures = new Set<NewStep>();
  #replay: Promise<Replay<StepRow>> | undefined;
  #loaded: Replay<StepRow> | undefined;
  #firstVersion: number | undefined;
  #begun = 0;
  /** How many steps the handler waits for, or has begun without waiting. */
  #underWay = 0;
  /** Whether the handler failed, so that no step begins any more. */
  #hasFailed = false;
  #isOver = false;
  #onIdle: (() => void) | undefined;

  constructor(host: StepsHost) {
    this.#host = host;
    const { signal } = host.context;
    signal.addEventListener("abort", () => {
      this.stop();
      for (const run of this.#runs) run.abandon(signal.reason);
    }, { once: true });
  }

  /** The version of the code that the task began with, as far as its steps say. */
  get version(): number {
    return this.#firstVersion ?? this.#version;
  }

  /** Runs a step. Never settles once the attempt has ended from outside. */
  readonly step: Step = async (spec: string | StepOptions, fn: StepFunction) => {
    const options = checkStep(spec, fn);
    this.#refuse(options.name);
    const key = this.#names.take(options);
    this.#underWay++;
    try {
      return await this.#answer({ ...options, key }, fn) as never;
    } finally {
      this.#names.release(options);
      if (--this.#underWay === 0) this.#onIdle?.();
    }
  };

  /** Reads what earlier attempts have stored. The first attempt has nothing to read. */
  load(): Promise<Replay<StepRow>> {
    return this.#replay ??= this.#load();
  }

  /** Keeps the transactions of steps alive. */
  ping(): void {
    for (const run of this.#runs) run.ping();
  }

  /**
   * Resolves when the steps have ended that a handler left behind which has returned. Those that follow them may begin,
   * too.
   */
  async finish(): Promise<void> {
    while (this.#underWay > 0) {
      await new Promise<void>((resolve) => this.#onIdle = resolve);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const unasked = this.#loaded?.unasked ?? [];
    if (unasked.length === 0) return;
    const names = unasked.map((name) => `"${name}"`).join(", ");
    this.#host.context.log.warn(`The handler ended without asking for its steps ${names}, which have run`);
  }

  /** Aborts the signals of the steps that run, as the handler failed with `reason`, and resolves when they have ended. */
  async fail(reason: unknown): Promise<void> {
    this.#hasFailed = true;
    for (const run of this.#runs) run.warn(reason);
    if (this.#runs.size > 0) await new Promise<void>((resolve) => this.#onIdle = resolve);
  }

  /** Takes no new steps. */
  stop(): void {
    this.#isOver = true;
    this.#loaded?.stop();
  }

  get #version(): number {
    return this.#host.definition.version ?? 1;
  }

  #refuse(name: string): void {
    const { attempt } = currentScope();
    const outer = attempt && this.#contexts.get(attempt);
    if (outer !== undefined) {
      throw new FireflyError(`Cannot begin step "${name}" within step "${outer}": begin it after that has ended`);
    }
    if (this.#isOver || this.#hasFailed) {
      throw new FireflyError(`Cannot begin step "${name}" as the attempt of this handler has ended`);
    }
    if (!this.#host.hasBegun) return;
    throw new FireflyError(
      `Cannot begin step "${name}" as current().sql or schedule() was used outside of a step: what that wrote commits with the task's end`,
    );
  }

  async #load(): Promise<Replay<StepRow>> {
    const { task, env: { sql, keys } } = this.#host;
    const version = this.#version;
    let stored: StepRow[];
    try {
      stored = await loadSteps(task, { sql, keys, version });
    } catch (error) {
      return await this.#leave(error);
    }
    this.#firstVersion = stored[0]?.version;
    const onChanged = (step: string, unasked: string[]) => void this.#leave(stepsChangedError(task.id, step, unasked));
    this.#loaded = new Replay({ stored, version, clock: CLOCK, onChanged });
    if (this.#isOver) this.#loaded.stop();
    return this.#loaded;
  }

  async #answer(options: StepOptions & { key: string }, fn: StepFunction): Promise<unknown> {
    const { name, key, aliases = [] } = options;
    const replay = await this.load();
    const stored = await replay.ask([name, ...aliases], key);
    if (stored) return await this.#giveBack(stored);
    if (this.#isOver || this.#hasFailed) return await never();
    const { task, definition: { maxSteps = MAX_STEPS } } = this.#host;
    if (replay.size + this.#begun >= maxSteps) {
      throw markAsFail(
        new FireflyLimitError(
          `Cannot begin step "${name}" as task ${task.id} has ${maxSteps} steps: schedule another task, or raise "maxSteps"`,
        ),
      );
    }
    this.#begun++;
    return await this.#run(replay, options, fn);
  }

  async #giveBack({ status, returned, error }: StepRow): Promise<unknown> {
    if (status === "failed") throw toThrown(error);
    if (returned === null) return undefined;
    try {
      return decodeParams(returned, this.#host.env.keys);
    } catch (error) {
      return await this.#leave(error);
    }
  }

  async #run(replay: Replay<StepRow>, options: StepOptions & { key: string }, fn: StepFunction): Promise<unknown> {
    const { task, context: { signal }, env: { keys, sql, stepSettler } } = this.#host;
    const run = this.#begin(options);
    // What the handler has got so far it has caught, as it goes on. A failure that it gets later, it may not catch.
    const caught = [...this.#failures];
    let seq: number | undefined;
    try {
      const result = await run.call(fn);
      const returned = await encodeResult(result, task, keys, "step.returned");
      seq = replay.end();
      const step = this.#toNewStep(run, { ...options, seq, returned, error: null });
      const ended = {
        id: task.id,
        claimSeq: task.claimSeq,
        step,
        failures: caught.filter((failure) => this.#failures.has(failure)),
      };
      const transaction = run.usedTransaction;
      if (transaction?.begun) await commitStep(sql, ended, transaction);
      else {
        transaction?.abandon(); // from here on, nothing can begin it
        await stepSettler.store(ended, signal);
      }
      for (const failure of ended.failures) this.#failures.delete(failure);
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
      // Where the handler has failed, it waits for nothing: a rejection would end the process as an unhandled one.
      if (signal.aborted || this.#hasFailed) return await never();
      if (databaseFailed || isInstance(error, LeaseLost)) return await this.#leave(toServerFault(error));
      return await this.#fail(replay, run, { ...options, error });
    }
  }

  /** Gives an error to the handler. It is stored once the handler goes on with another step. */
  async #fail(
    replay: Replay<StepRow>,
    run: StepRun,
    { name, key, error }: { name: string; key: string; error: unknown },
  ): Promise<never> {
    const seq = replay.end();
    const described = describeStepError(error, this.#host.env.redactor);
    const failure = this.#toNewStep(run, { name, key, seq, returned: null, error: described });
    await replay.give(seq);
    this.#failures.add(failure);
    throw error;
  }

  #begin({ name, key, timeout }: StepOptions & { key: string }): StepRun {
    const { task: { id }, context, env: { instance, sessions, sql: { schemaName: schema }, config: { leaseMs } } } =
      this.#host;
    const run = new StepRun({
      name,
      key,
      timeout,
      idempotencyKey: [schema, id, name, key].join(":"),
      context,
      instance,
      openTransaction: () => attemptTransaction(sessions, { schema, leaseMs }),
    });
    this.#runs.add(run);
    this.#contexts.set(run.context, name);
    return run;
  }

  #end(run: StepRun): void {
    this.#runs.delete(run);
    if (this.#hasFailed && this.#runs.size === 0) this.#onIdle?.();
  }

  #toNewStep(
    { began }: StepRun,
    { name, key, seq, returned, error }: Pick<NewStep, "name" | "key" | "seq" | "returned" | "error">,
  ): NewStep {
    const status = error === null ? "completed" : "failed";
    const { attempt } = this.#host.task;
    return {
      name,
      key,
      status,
      seq,
      version: this.#version,
      attempt,
      began,
      ended: performance.now(),
      returned,
      error,
    };
  }

  /** Ends the attempt, whose handler does not go on. */
  #leave(reason: unknown): Promise<never> {
    this.#host.abort(reason);
    return never();
  }
}

const never = () => new Promise<never>(() => {});
