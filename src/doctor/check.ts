import type { Target } from "./target.ts";

/**
 * What a check found: `note` is worth knowing, `warning` will be trouble one day, `wrong` is trouble now, `unknown`
 * could not be found out, and `skipped` makes no sense yet, or after what was found before.
 */
export type Verdict = "ok" | "note" | "warning" | "wrong" | "unknown" | "skipped";

/** What came of a check. */
export interface Finding {
  readonly verdict: Verdict;
  /** What was found, in a line. */
  readonly value: string;
  /** What to do about it, a line each. */
  readonly advice: readonly string[];
}

/** One question to the database. */
export interface Check {
  readonly name: string;
  /** Checks without which this one makes no sense: it is skipped unless they are better than `wrong`. */
  readonly after: readonly string[];
  ask(patient: Target): Promise<Finding>;
}

/** All is well. */
export function ok(value: string): Finding {
  return { verdict: "ok", value, advice: [] };
}

/** Something is to be told. */
export function found(verdict: Verdict, value: string, ...advice: string[]): Finding {
  return { verdict, value, advice };
}

/** The verdict on a number that should stay below two bounds. */
export function grade(number: number, bounds: { warning: number; wrong: number }): "ok" | "warning" | "wrong" {
  return number >= bounds.wrong ? "wrong" : number >= bounds.warning ? "warning" : "ok";
}

/** `1 task`, `2 tasks`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : noun.endsWith("x") ? "es" : "s"}`;
}

/** The first few of a list, and how many more there are. */
export function listed(words: readonly string[], most = 5): string {
  const more = words.length - most;
  return words.slice(0, most).join(", ") + (more > 0 ? ` and ${more} more` : "");
}
