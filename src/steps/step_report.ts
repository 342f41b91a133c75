import type { AttemptInfo, Emitter, Events } from "../events.ts";
import type { StepCounts } from "../statistics/step_counts.ts";
import type { NewStep } from "../store/steps.ts";
import type { AttemptSpan } from "../telemetry/attempt_span.ts";
import type { StepSpan } from "../telemetry/step_span.ts";

/** Who wants to know of the steps of an attempt. */
export interface StepObservers {
  readonly info: AttemptInfo;
  readonly events: Emitter;
  /** What counts steps; undefined if that is switched off. */
  readonly counts: StepCounts | undefined;
  /** The span of the attempt; undefined if it has none. */
  readonly span: AttemptSpan | undefined;
}

/** A step whose function is about to run. */
export interface ReportedStep {
  readonly name: string;
  readonly key: string;
  readonly kind: Events["step.completed"]["kind"];
}

/** Counts a wait that has ended, and how long it took. An attempt that ends before that is stored lets it count again. */
export function countWait({ counts, info: { funcName } }: StepObservers, wait: NewStep): void {
  const { name: step, kind, status, began, ended } = wait;
  const outcome = status === "failed" ? "failed" : "completed";
  counts?.count({ funcName, step, kind, outcome, ms: Math.max(0, (ended ?? began) - began) });
}

/** Reports one call of a step's function, as an event, as a span, and as a number of the metrics. */
export class StepReport {
  readonly #observers: StepObservers;
  readonly #step: ReportedStep;
  readonly #began = performance.now();
  readonly #span: StepSpan | undefined;
  /** How many milliseconds the function ran. */
  #ran: number | undefined;

  constructor(observers: StepObservers, step: ReportedStep) {
    this.#observers = observers;
    this.#step = step;
    this.#span = observers.span?.startStep(step);
  }

  /** Calls the function. */
  async run<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await (this.#span ? this.#span.run(call) : call());
    } finally {
      this.#ran = performance.now() - this.#began;
    }
  }

  /** Its result is stored. */
  completed(): void {
    this.#end("completed");
    const { events } = this.#observers;
    if (events.has("step.completed")) events.emit("step.completed", this.#detail);
  }

  /** It failed, and does not run again in this attempt. */
  failed(error: unknown): void {
    this.#end("failed", { error });
    const { events } = this.#observers;
    if (events.has("step.failed")) events.emit("step.failed", { ...this.#detail, error });
  }

  /** It failed, and runs again in `delay` seconds. */
  retried(error: unknown, delay: number): void {
    this.#end("retried", { error });
    const { events } = this.#observers;
    if (events.has("step.retried")) events.emit("step.retried", { ...this.#detail, error, delay });
  }

  /** Its attempt has ended before it, so that nothing of it is stored. */
  lost(): void {
    this.#end("lost");
  }

  #end(outcome: "completed" | "failed" | "retried" | "lost", failure?: { readonly error: unknown }): void {
    const { counts, info: { funcName } } = this.#observers;
    const { name: step, kind } = this.#step;
    counts?.count({ funcName, step, kind, outcome, ms: this.#milliseconds });
    this.#span?.end(outcome, failure);
  }

  get #milliseconds(): number {
    return this.#ran ??= performance.now() - this.#began;
  }

  get #detail(): Events["step.completed"] {
    const { name: step, key, kind } = this.#step;
    return { ...this.#observers.info, step, key, kind, seconds: this.#milliseconds / 1000 };
  }
}
