import { FireflyError, FireflyLimitError } from "../errors.ts";
import { markAsFail } from "../task/context.ts";
import { currentScope } from "../task/scope.ts";
import type { Step } from "../task/step.ts";
import { Calls } from "./calls.ts";
import { CLOCK } from "./clock.ts";
import { Compensation, type Planned } from "./compensation.ts";
import { Facts } from "./facts.ts";
import { giveBack, isFailedCall, NONE } from "./give_back.ts";
import { type AskedStep, type Awaited, never, type StepsCore, type StepsHost, type Turn } from "./host.ts";
import { type LoadedStep, type LoadedSteps, stepsChangedError } from "./load_steps.ts";
import { Replay } from "./replay.ts";
import { StepNames } from "./step_names.ts";
import { countWait } from "./step_report.ts";
import { StepRuns } from "./step_runs.ts";
import { type SuspendedSteps, Suspension } from "./suspension.ts";
import { Waits } from "./waits.ts";

/** How many steps a task may have unless its option `maxSteps` says otherwise. */
const MAX_STEPS = 10_000;

/** The stored steps of a task, and their replay. */
interface Loaded {
  readonly replay: Replay<LoadedStep>;
  readonly loaded: LoadedSteps;
}

/** The steps of an attempt: what `current().step` is there. */
export class Steps implements StepsCore {
  readonly host: StepsHost;
  readonly facts: Facts = new Facts();
  readonly compensation: Compensation;
  readonly #names = new StepNames();
  readonly #runs: StepRuns;
  readonly #suspension: Suspension;
  #loading: Promise<Loaded> | undefined;
  #loaded: Loaded | undefined;
  #begun = 0;
  #hasFailed = false;
  #isOver = false;
  /** Runs a step, or waits. Never settles once the attempt has ended from outside. */
  readonly step: Step;

  constructor(host: StepsHost) {
    this.host = host;
    this.compensation = new Compensation(host);
    const runs = this.#runs = new StepRuns(this);
    const [waits, calls] = [new Waits(this), new Calls(this)];
    this.#suspension = new Suspension(this);
    this.step = Object.assign(runs.run, {
      sleep: waits.sleep,
      waitFor: waits.waitFor,
      call: calls.call,
      callMany: calls.callMany,
    }) as Step;
    const { signal } = host.context;
    signal.addEventListener("abort", () => {
      this.stop();
      runs.abandon(signal.reason);
    }, { once: true });
  }

  /** The version of the code that the task began with, as far as its steps say. */
  get firstVersion(): number {
    return this.#loaded?.loaded.steps[0]?.version ?? this.version;
  }

  /** The version of the task's code. */
  get version(): number {
    return this.host.definition.version ?? 1;
  }

  /** Whether the handler failed, so that no step begins any more. */
  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  /** With what the attempt was suspended, if it was. */
  get suspended(): SuspendedSteps | undefined {
    return this.#suspension.suspended;
  }

  /** The name of the step in whose function the calling code runs; undefined outside of steps. */
  get current(): string | undefined {
    return this.#runs.outer(currentScope().attempt);
  }

  /** Reads what earlier attempts have stored. The first attempt has nothing to read. */
  load(): Promise<Loaded> {
    return this.#loading ??= this.#load();
  }

  /** Asks for a step, and lets it take its turn. */
  async enter(
    label: string,
    identify: () => AskedStep | Promise<AskedStep>,
    take: (turn: Turn) => Promise<unknown>,
  ): Promise<unknown> {
    this.#refuse(label);
    const caught = this.facts.failures();
    let named: AskedStep | undefined;
    this.#suspension.onEntered();
    try {
      const identified = identify();
      const asked = identified instanceof Promise ? await identified : identified;
      const key = this.#names.take(asked);
      named = asked;
      const { replay, loaded } = await this.load();
      const end = this.compensation.onAsked(asked, key);
      if (end) return await this.leave(end);
      const { name, aliases = [], formerKeys = [], kind } = asked;
      const number = key.slice(asked.key?.length ?? 0);
      const stored = await replay.ask([name, ...aliases], [key, ...formerKeys.map((each) => each + number)], kind);
      if (stored && stored.status !== "waiting") return await giveBack(stored, this);
      if (this.#isOver || this.#hasFailed || this.compensation.marker) return await never();
      if (!stored) this.#count(name, loaded);
      return await take({ replay, loaded, caught, stored, name: stored?.name ?? name, key: stored?.key ?? key });
    } finally {
      if (named) this.#names.release(named);
      this.#suspension.onLeft();
    }
  }

  /** Lets the handler wait. */
  wait(awaited: Awaited): Promise<never> {
    this.#suspension.onWaiting(awaited);
    return never();
  }

  /** Ends the attempt, whose handler does not go on. */
  leave(reason: unknown): Promise<never> {
    this.host.abort(reason);
    return never();
  }

  /** Says that the handler has ended, so that the attempt does, too, as soon as its middleware lets it. */
  onHandled(): void {
    this.#suspension.onHandled();
  }

  /** Keeps the transactions of steps alive. */
  ping(): void {
    this.#runs.ping();
  }

  /**
   * Resolves when the steps have ended that a handler left behind which has returned. Those that follow them may begin,
   * too. What it left waiting ends with the task; but it is suspended for a step that is to be tried again.
   */
  async finish(): Promise<void> {
    if (this.compensation.marker) throw this.compensation.changed();
    await this.#suspension.finish();
    const { task, context } = this.host;
    const ended = this.facts.ends > 0 ? this.facts.toStore(this.facts.failures()) : [];
    const [step, ...others] = ended.filter(({ status }) => status !== "waiting");
    if (step) {
      const { id, claimSeq } = task;
      await this.host.env.stepSettler.store({ id, claimSeq, step, failures: others }, context.signal);
    }
    const unasked = this.#loaded?.replay.unasked ?? [];
    if (unasked.length === 0) return;
    const names = unasked.map((name) => `"${name}"`).join(", ");
    context.log.warn(`The handler ended without asking for its steps ${names}, which have run`);
  }

  /** Aborts the signals of the steps that run, as the handler failed with `reason`, and resolves when they have ended. */
  async fail(reason: unknown): Promise<void> {
    this.#hasFailed = true;
    this.#suspension.stop();
    await this.#runs.end(reason);
  }

  /** What is to be compensated as the task fails. */
  planCompensation(isAborted: boolean): Planned[] {
    const wasAsked = (step: LoadedStep) => this.#loaded?.replay.wasAsked(step) ?? false;
    return this.compensation.plan({ wasAsked, isAborted, version: this.version });
  }

  /** The last place in the order of the steps that have ended. */
  get lastSeq(): number {
    return Math.max(this.compensation.lastSeq, this.#loaded?.replay.lastSeq ?? 0);
  }

  /** Takes no new steps. */
  stop(): void {
    this.#isOver = true;
    this.#suspension.stop();
    this.#loaded?.replay.stop();
  }

  #refuse(name: string): void {
    const outer = this.current;
    if (outer !== undefined) {
      throw new FireflyError(`Cannot begin step "${name}" within step "${outer}": begin it after that has ended`);
    }
    if (this.#isOver || this.#hasFailed) {
      throw new FireflyError(`Cannot begin step "${name}" as the attempt of this handler has ended`);
    }
    if (!this.host.hasBegun) return;
    throw new FireflyError(
      `Cannot begin step "${name}" as current().sql or schedule() was used outside of a step: what that wrote commits with the task's end`,
    );
  }

  async #load(): Promise<Loaded> {
    const { version, host } = this;
    let loaded: LoadedSteps;
    try {
      loaded = await host.read(version);
    } catch (error) {
      return await this.leave(error);
    }
    const { compensation } = this;
    const due = compensation.onLoaded(loaded.steps);
    const replay = new Replay({
      stored: loaded.steps.filter(({ kind }) => kind !== "compensation"),
      version,
      ...(compensation.marker ? { isRequired: (step: LoadedStep) => compensation.isMissing(step) } : {}),
      clock: CLOCK,
      onChanged: (change) => void this.leave(stepsChangedError(host.task.id, change)),
    });
    for (const step of loaded.steps) {
      if (!step.end || step.unreadable !== undefined || isFailedCall(step)) continue;
      this.facts.add(step.end, NONE);
      countWait(host.observers, step.end);
    }
    this.#loaded = { replay, loaded };
    if (this.#isOver) replay.stop();
    if (compensation.marker) this.#suspension.stop(); // what it waits for does not matter any more
    return due ? await this.leave(due) : this.#loaded;
  }

  #count(name: string, { steps }: LoadedSteps): void {
    const { task, definition: { maxSteps = MAX_STEPS } } = this.host;
    if (steps.length + this.#begun >= maxSteps) {
      throw markAsFail(
        new FireflyLimitError(
          `Cannot begin step "${name}" as task ${task.id} has ${maxSteps} steps: schedule another task, or raise "maxSteps"`,
        ),
      );
    }
    this.#begun++;
  }
}
