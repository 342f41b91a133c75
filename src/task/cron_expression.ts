import { Cron } from "croner";
import { type ClockGap, ClockGaps } from "./clock_gaps.ts";

/** Five fields, or six with seconds; or a nickname of croner, such as `@daily`. */
const SHAPE = /^(@[a-z]+|\S+( \S+){4,5})$/i;

/** The slots of a cron: the times at which it is due, in whole seconds. */
export interface Slots {
  /** Returns the first slot after `after`; null if there is none. */
  next(after: Date): Date | null;
  /** Returns the last `max` slots after `after` and up to and including `until`, oldest first. */
  between(after: Date, until: Date, max: number): Date[];
}

/**
 * Parses a cron expression.
 *
 * With fixed hours, minutes and seconds, a time that occurs twice when clocks go back is due once, the first time; a time
 * that is skipped when clocks go forward is due at the end of the gap. With a wildcard or a step in one of these fields,
 * each field is matched against the wall clock: a time that occurs twice is due twice, and a skipped time is not due.
 * This is the rule of Vixie cron, extended to lists and ranges.
 *
 * @param action What fails, for the error message, as in `Cannot ‹action›`: `define task "add"`.
 * @throws {TypeError} If the expression cannot be parsed.
 * @throws {RangeError} If a value is out of range, if the expression is never due, or if there is no such time zone.
 */
export function parseCron(expression: string, timezone: string, action: string): Slots {
  if (typeof expression !== "string" || !SHAPE.test(cleanExpression(expression))) {
    throw new TypeError(
      `Cannot ${action} as "cron" must be five fields, or six with seconds: current value is ${show(expression)}`,
    );
  }
  checkTimezone(timezone, action);
  const cron = read(expression, timezone, action);
  if (cron.nextRun(new Date()) === null) {
    throw new RangeError(`Cannot ${action} as "cron" is never due: current value is ${show(expression)}`);
  }
  const skipped = hasFixedTime(expression) ? new SkippedSlots(read(expression, "UTC", action), timezone) : undefined;
  return {
    next(after) {
      const slot = cron.nextRun(after);
      return slot && (skipped?.firstAfter(after, slot) ?? slot);
    },
    between(after, until, max) {
      const found: Date[] = [];
      let before = new Date(until.getTime() + 1);
      while (found.length < max) {
        const [last] = cron.previousRuns(1, before);
        const slot = skipped?.lastBetween(last && last > after ? last : after, before) ?? last;
        if (!slot || slot <= after) break;
        found.push(slot);
        before = slot;
      }
      return found.reverse();
    },
  };
}

/**
 * The slots of times that clocks skip, which are due at the end of the gap. Croner finds them if the gap ends on the same
 * day; in Greenland clocks skip the last hour of a Saturday, and in 2011 Samoa skipped a whole day.
 */
class SkippedSlots {
  /** The expression by a clock that skips nothing. */
  readonly #cron: Cron;
  readonly #gaps: ClockGaps;

  constructor(cron: Cron, timezone: string) {
    this.#cron = cron;
    this.#gaps = new ClockGaps(timezone);
  }

  /** The first one after `after` and before or at `until`. */
  firstAfter(after: Date, until: Date): Date | undefined {
    for (const gap of this.#gaps.after(after.getTime(), until.getTime())) if (this.#isDue(gap)) return new Date(gap.at);
    return undefined;
  }

  /** The last one after `after` and before `before`. */
  lastBetween(after: Date, before: Date): Date | undefined {
    for (const gap of this.#gaps.before(after.getTime(), before.getTime() - 1)) {
      if (this.#isDue(gap)) return new Date(gap.at);
    }
    return undefined;
  }

  #isDue({ from, to }: ClockGap): boolean {
    const skipped = this.#cron.nextRun(new Date(from - 1));
    return skipped !== null && skipped.getTime() < to;
  }
}

/** Whether hours, minutes and seconds are numbers, lists or ranges. */
function hasFixedTime(expression: string): boolean {
  const fields = cleanExpression(expression).split(" ");
  return fields.length === 1 ? fields[0]!.toLowerCase() !== "@hourly" : !/[*/?]/.test(fields.slice(0, -3).join());
}

/** Returns the expression with one space between its fields. */
export function cleanExpression(expression: string): string {
  return expression.trim().replace(/\s+/g, " ");
}

function read(expression: string, timezone: string, action: string): Cron {
  try {
    return new Cron(cleanExpression(expression), {
      timezone,
      mode: "5-or-6-parts",
      fixedTimeRule: "no-wildcard",
      paused: true,
    });
  } catch (error) {
    const why = String((error as Error).message).replace(/^CronPattern: /, "");
    const type = error instanceof RangeError ? RangeError : TypeError;
    throw new type(`Cannot ${action} as "cron" cannot be read (${why}): current value is ${show(expression)}`, {
      cause: error,
    });
  }
}

function checkTimezone(timezone: unknown, action: string): void {
  try {
    if (typeof timezone === "string") return void new Intl.DateTimeFormat("en", { timeZone: timezone });
  } catch {
    // There is no such zone: throw below.
  }
  throw new RangeError(
    `Cannot ${action} as "timezone" must be an IANA time zone such as "Europe/Warsaw": current value is ${
      show(timezone)
    }`,
  );
}

function show(value: unknown): string {
  return JSON.stringify(value) ?? String(value);
}
