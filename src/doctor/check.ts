import type { Target } from "./target.ts";

/**
 * The result of a check: `note` is worth knowing, `warning` may become a problem, `wrong` is a problem now. `unknown`:
 * the check itself failed. `skipped`: it does not apply yet, or depends on a check that found a problem.
 */
export type Verdict = "ok" | "note" | "warning" | "wrong" | "unknown" | "skipped";

/** The findings of one check. */
export interface Finding {
  readonly verdict: Verdict;
  /** What it found, in one line. */
  readonly value: string;
  /** What to do about it, one line per step. */
  readonly advice: readonly string[];
}

/** One check of the database. */
export interface Check {
  readonly name: string;
  /** The checks that it depends on: it is skipped if one of them is `wrong`, `unknown` or `skipped`. */
  readonly after: readonly string[];
  ask(target: Target): Promise<Finding>;
}

/** Creates a finding without a problem. */
export function ok(value: string): Finding {
  return { verdict: "ok", value, advice: [] };
}

/** Creates a finding with advice. */
export function found(verdict: Verdict, value: string, ...advice: string[]): Finding {
  return { verdict, value, advice };
}

/** Grades a number that should stay below two bounds. */
export function grade(number: number, bounds: { warning: number; wrong: number }): "ok" | "warning" | "wrong" {
  return number >= bounds.wrong ? "wrong" : number >= bounds.warning ? "warning" : "ok";
}

/** Formats a count: `1 task`, `2 tasks`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : noun.endsWith("x") ? "es" : "s"}`;
}

/** Lists the first few words, and the number of the others. */
export function listed(words: readonly string[], most = 5): string {
  const more = words.length - most;
  return words.slice(0, most).join(", ") + (more > 0 ? ` and ${more} more` : "");
}
