import { Cron } from "croner";

/** Five fields, or six with seconds; or one of croner's nicknames. */
const SHAPE = /^(@[a-z]+|\S+( \S+){4,5})$/i;

/** When a cron comes: its slots, each an instant of whole seconds. */
export interface Slots {
  /** The first slot after an instant; null if there is none any more. */
  next(after: Date): Date | null;
  /** The last `max` slots after one instant and up to another, oldest first. */
  between(after: Date, until: Date, max: number): Date[];
}

/**
 * Reads an expression of cron.
 *
 * A time that occurs twice in autumn comes once, the first time; one that is left out in spring comes at the end of the
 * gap. With a wildcard or a step in hours, minutes or seconds, each field is matched by the clock on the wall alone: what
 * occurs twice comes twice, and what is left out does not come. That is the rule of Vixie cron, for lists and ranges, too.
 *
 * @param action What cannot be done with a wrong one, for the error's text: `define task "add"`.
 * @throws {TypeError} If the expression cannot be read.
 * @throws {RangeError} If it has a value out of range, or never comes, or if there is no such time zone.
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
    throw new RangeError(`Cannot ${action} as "cron" never comes: current value is ${show(expression)}`);
  }
  return {
    next: (after) => cron.nextRun(after),
    between(after, until, max) {
      const found: Date[] = [];
      let before = new Date(until.getTime() + 1);
      while (found.length < max) {
        const [slot] = cron.previousRuns(1, before);
        if (!slot || slot <= after) break;
        found.push(slot);
        before = slot;
      }
      return found.reverse();
    },
  };
}

/** The expression with one space between its fields. */
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
    // There is no such zone: told below.
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
