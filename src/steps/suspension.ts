import { Suspended } from "../errors.ts";
import type { NewStep } from "../store/steps.ts";
import { type Awaited, never, type StepsCore } from "./host.ts";
import { identityOf } from "./replay.ts";

/** Milliseconds after which a handler is said to wait, perhaps, for what cannot end. */
const WARN_AFTER = 5000;

/** What an attempt that was suspended leaves behind. */
export interface SuspendedSteps {
  /** What is to be stored of its steps. */
  readonly steps: readonly NewStep[];
  /** What its handler waits for. */
  readonly awaits: readonly Awaited[];
}

/**
 * Finds out when a handler only waits, and ends its attempt then: no function of a step runs, no result is about to be
 * given, and that is still so one turn of the event loop later. What else the handler awaits is not known here.
 */
export class Suspension {
  readonly #core: StepsCore;
  readonly #awaited = new Map<string, Awaited>();
  /** How many steps the handler waits for, or has begun without waiting; those that wait are among them. */
  #underWay = 0;
  /** Grows with each change. */
  #changes = 0;
  /** Whether the handler has ended, and its middleware may have not. */
  #isHandled = false;
  #isFinishing = false;
  #isOver = false;
  #onIdle: (() => void) | undefined;
  #suspended: SuspendedSteps | undefined;
  #warning: ReturnType<typeof setTimeout> | undefined;

  constructor(core: StepsCore) {
    this.#core = core;
  }

  /** What the attempt leaves behind, if it was suspended. */
  get suspended(): SuspendedSteps | undefined {
    return this.#suspended;
  }

  /** Called when the handler asks for a step. */
  onEntered(): void {
    this.#underWay++;
    this.#changes++;
  }

  /** Called when it has got the result. */
  onLeft(): void {
    this.#underWay--;
    this.#look();
  }

  /** Called when a step waits. */
  onWaiting(awaited: Awaited): void {
    this.#awaited.set(identityOf(awaited.name, awaited.key), awaited);
    this.#isHandled = false; // a middleware may have steps, too
    this.#look();
  }

  /** Called when the handler has ended. */
  onHandled(): void {
    this.#isHandled = true;
  }

  /**
   * Resolves once only waits are left of the steps that a handler left behind which has returned. If one of them is a
   * step that is to be tried again, never settles: the attempt is suspended.
   */
  async finish(): Promise<void> {
    this.#isFinishing = true;
    while (this.#underWay > this.#awaited.size) {
      await new Promise<void>((resolve) => this.#onIdle = resolve);
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (!this.#awaited.values().some(({ kind }) => kind === "step")) return;
    this.#suspend();
    await never();
  }

  /** Suspends no more. */
  stop(): void {
    this.#isOver = true;
    clearTimeout(this.#warning);
  }

  #look(): void {
    const seen = ++this.#changes;
    if (this.#underWay > this.#awaited.size) return;
    this.#onIdle?.();
    if (!this.#mayBeSuspended) return;
    setImmediate(() => {
      if (seen === this.#changes && this.#mayBeSuspended) this.#suspend();
    });
  }

  get #mayBeSuspended(): boolean {
    return this.#awaited.size > 0 && !this.#isHandled && !this.#isFinishing && !this.#isOver;
  }

  #suspend(): void {
    const { host, facts } = this.#core;
    if (host.hasBegun) return this.#warnLater();
    this.#suspended = { steps: facts.toStore(facts.failures()), awaits: [...this.#awaited.values()] };
    void this.#core.leave(new Suspended(`Task ${host.task.id} waits`));
  }

  /** A wait may be left behind, as by a race. If it is not, the handler waits for ever, as the attempt cannot end. */
  #warnLater(): void {
    this.#warning ??= setTimeout(() => {
      const names = this.#awaited.values().map(({ name }) => `"${name}"`).toArray().join(", ");
      this.#core.host.context.log.warn(
        `If the handler waits for ${names}, it waits for ever, as current().sql or schedule() was used outside of a step: ` +
          "what that wrote commits with the task's end",
      );
    }, WARN_AFTER);
  }
}
