import type { NewStep } from "../store/steps.ts";
import { identityOf } from "./replay.ts";

interface Fact {
  readonly step: NewStep;
  /** The failures that the handler had caught when it asked for the step: nothing follows them that is stored alone. */
  readonly caught: ReadonlySet<NewStep>;
  /** When it is due, by `performance.now()`, if it is after some time. */
  readonly dueAt: number | undefined;
}

/**
 * What an attempt knows of steps and has not stored, as it costs no statement of its own: it is stored with whatever is
 * stored next. These are failures that the handler got, waits that have ended, and waits that have begun.
 */
export class Facts {
  readonly #facts = new Map<string, Fact>();

  /** How many waits have ended. */
  get ends(): number {
    return this.#facts.values().filter(({ step: { status, kind } }) => status !== "waiting" && kind !== "step")
      .toArray()
      .length;
  }

  /**
   * Adds one, in place of what is known of the same step, which the handler asked for when it had caught these failures.
   * If it is due after some time, that begins now.
   */
  add(step: NewStep, caught: ReadonlySet<NewStep>): void {
    const dueAt = typeof step.due === "number" ? performance.now() + step.due * 1000 : undefined;
    this.#facts.set(identityOf(step.name, step.key), { step, caught, dueAt });
  }

  /** The failures that the handler got so far: it has caught them, as it goes on. */
  failures(): ReadonlySet<NewStep> {
    return new Set(this.#facts.values().map(({ step }) => step).filter(mayBeUncaught));
  }

  /**
   * What is to be stored now, with a step that began when the handler had caught these failures: one that it got later,
   * it may not catch.
   */
  toStore(caught: ReadonlySet<NewStep>): NewStep[] {
    const now = performance.now();
    const all = new Set(caught);
    for (const { step, caught } of this.#facts.values()) {
      if (!mayBeUncaught(step)) { for (const failure of caught) all.add(failure); }
    }
    return this.#facts.values().filter(({ step }) => !mayBeUncaught(step) || all.has(step))
      .map(({ step, dueAt }) => dueAt === undefined ? step : { ...step, due: Math.max(0, dueAt - now) / 1000 })
      .toArray();
  }

  /** Takes note that they are stored. */
  onStored(steps: readonly NewStep[]): void {
    for (const { name, key, status, failures } of steps) {
      const identity = identityOf(name, key);
      const known = this.#facts.get(identity)?.step;
      if (known?.status === status && known.failures === failures) this.#facts.delete(identity);
    }
  }
}

/** Whether a step is tried again if the handler does not catch its failure. A deadline that has passed stays so. */
function mayBeUncaught({ status, kind }: NewStep): boolean {
  return status === "failed" && kind !== "signal";
}
