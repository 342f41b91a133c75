import { StepCounts } from "../statistics/step_counts.ts";
import { Known } from "./known.ts";
import { toSample } from "./samples.ts";
import type { MetricsText } from "./text.ts";

/** The steps that are told apart, each with its task; the others are summed up as `other`. Keys are no labels. */
const STEPS = new Known(100);

const OUTCOMES = ["completed", "failed", "retried", "lost"] as const;

/** Adds what steps did whose functions ran, and the waits that have ended. */
export function addSteps(text: MetricsText, all: readonly StepCounts[]): void {
  const sum = new StepCounts(Infinity);
  for (const counts of all) {
    for (const totals of counts.entries()) {
      const { funcName, step, kind } = totals;
      const isKept = STEPS.has(JSON.stringify([funcName, kind, step]));
      sum.add(isKept ? totals : { ...totals, funcName: "other", step: "other", kind: "other" });
    }
  }
  text.counter("firefly_steps_total", "Steps whose functions ran, and waits that ended, by the outcome.");
  for (const { funcName: task, step, kind, ...totals } of sum.entries()) {
    for (const outcome of OUTCOMES) text.add("firefly_steps_total", totals[outcome], { task, step, kind, outcome });
  }
  text.histogram("firefly_step_seconds", "How long the functions of steps ran, and how long their waits took.");
  for (const { funcName: task, step, kind, run, ran } of sum.entries()) {
    text.addHistogram("firefly_step_seconds", toSample(run, ran), { task, step, kind });
  }
}
