import type { StepKind } from "../store/steps.ts";
import { addDuration, addHistogram, type Histogram } from "./histogram.ts";

/** How a step ended: `lost` if its attempt had ended before its function. */
export type StepOutcome = "completed" | "failed" | "retried" | "lost";

/** What the steps of a name did. */
export interface StepTotals extends Record<StepOutcome, number> {
  /** The name of the task, and that of the step; both are `other` for those that are not told apart. */
  readonly funcName: string;
  readonly step: string;
  readonly kind: StepKind | "other";
  /** How many milliseconds their functions ran, or they waited, in all. */
  ran: number;
  readonly run: Histogram;
}

/** A step whose function has ended, or whose wait has. */
export interface CountedStep {
  readonly funcName: string;
  readonly step: string;
  readonly kind: StepKind;
  readonly outcome: StepOutcome;
  readonly ms: number;
}

/** The names that are told apart: one that is made of data must fill neither the memory nor Prometheus. */
const MOST = 100;
const OTHER = "other";

/**
 * Counts steps whose functions ran, and waits that have ended, by the names of their tasks, their kinds and their own
 * names: the first hundred of these are told apart, and what comes later is `other`.
 */
export class StepCounts {
  readonly #most: number;
  readonly #tasks = new Map<string, Map<string, StepTotals>>();
  #size = 0;

  constructor(most = MOST) {
    this.#most = most;
  }

  /** Counts a step. */
  count({ funcName, step, kind, outcome, ms }: CountedStep): void {
    const totals = this.#of(funcName, step, kind);
    totals[outcome]++;
    totals.ran += ms;
    addDuration(totals.run, ms, 1);
  }

  /** Adds what another one has counted of the steps of a name. */
  add(totals: Readonly<StepTotals>): void {
    const sum = this.#of(totals.funcName, totals.step, totals.kind);
    sum.completed += totals.completed;
    sum.failed += totals.failed;
    sum.retried += totals.retried;
    sum.lost += totals.lost;
    sum.ran += totals.ran;
    addHistogram(sum.run, totals.run);
  }

  /** What was counted, in the order in which each name was counted first. */
  *entries(): Generator<Readonly<StepTotals>> {
    for (const steps of this.#tasks.values()) yield* steps.values();
  }

  #of(funcName: string, step: string, kind: StepTotals["kind"]): StepTotals {
    const key = `${kind} ${step}`;
    const known = this.#tasks.get(funcName)?.get(key);
    if (known) return known;
    if (this.#size >= this.#most && kind !== OTHER) return this.#of(OTHER, OTHER, OTHER);
    this.#size++;
    const totals: StepTotals = { funcName, step, kind, completed: 0, failed: 0, retried: 0, lost: 0, ran: 0, run: [] };
    const steps = this.#tasks.get(funcName) ?? new Map<string, StepTotals>();
    this.#tasks.set(funcName, steps.set(key, totals));
    return totals;
  }
}
