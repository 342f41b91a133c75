import { assertEquals, assertThrows } from "@std/assert";
import { cleanExpression, parseCron } from "../../src/task/cron_expression.ts";

const [WARSAW, SAO_PAULO, LORD_HOWE] = ["Europe/Warsaw", "America/Sao_Paulo", "Australia/Lord_Howe"];
const [NUUK, APIA] = ["America/Nuuk", "Pacific/Apia"];
const [MINUTE, HALF_HOUR, HOUR] = [60_000, 1_800_000, 3_600_000];
/** How many slots are looked for backwards at a time. */
const BATCH = 50;
/** How much time a simulation goes through at most: three years, which 1,000 slots of all but the rarest take. */
const LONGEST = 3 * 366 * 48 * HALF_HOUR;

/** What the clock on the wall shows. A simulation reads it for each minute of years. */
class Clock {
  readonly #wall: number;

  constructor(wall: number) {
    this.#wall = wall;
  }

  get hour(): number {
    return Math.floor(this.#wall / HOUR) % 24;
  }

  get minute(): number {
    return Math.floor(this.#wall / MINUTE) % 60;
  }

  get weekday(): number {
    return new Date(this.#wall).getUTCDay();
  }

  get date(): number {
    return new Date(this.#wall).getUTCDate();
  }
}

/** What a simulation of the clock on the wall must find; `wild` ones go by it alone. */
const simulated: [expression: string, wild: boolean, matches: (clock: Clock) => boolean][] = [
  ["0 3 * * *", false, ({ hour, minute }) => hour === 3 && minute === 0],
  ["30 2 * * *", false, ({ hour, minute }) => hour === 2 && minute === 30],
  ["0 0 * * *", false, ({ hour, minute }) => hour === 0 && minute === 0],
  ["30 0 * * *", false, ({ hour, minute }) => hour === 0 && minute === 30],
  ["30 23 * * *", false, ({ hour, minute }) => hour === 23 && minute === 30],
  ["15,45 1-3 * * *", false, ({ hour, minute }) => hour >= 1 && hour <= 3 && minute % 30 === 15],
  ["0 2 * * 0", false, ({ hour, minute, weekday }) => hour === 2 && minute === 0 && weekday === 0],
  ["45 23 1,17 * *", false, ({ hour, minute, date }) => hour === 23 && minute === 45 && (date === 1 || date === 17)],
  ["*/15 * * * *", true, ({ minute }) => minute % 15 === 0],
  ["0 */2 * * *", true, ({ hour, minute }) => hour % 2 === 0 && minute === 0],
  ["30 * * * *", true, ({ minute }) => minute === 30],
  ["*/20 0,23 * * *", true, ({ hour, minute }) => (hour === 0 || hour === 23) && minute % 20 === 0],
  ["0 1-23/3 * * *", true, ({ hour, minute }) => hour % 3 === 1 && minute === 0],
];

/** The offset of a zone from UTC, in milliseconds, looked up for each half hour. */
function offsetsOf(timezone: string): (time: number) => number {
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone: timezone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
  });
  const known = new Map<number, number>();
  return (time) => {
    const key = Math.floor(time / HALF_HOUR);
    let offset = known.get(key);
    if (offset === undefined) {
      const part = Object.fromEntries(format.formatToParts(key * HALF_HOUR).map(({ type, value }) => [type, +value]));
      offset = Date.UTC(part.year!, part.month! - 1, part.day!, part.hour!, part.minute!) - key * HALF_HOUR;
      known.set(key, offset);
    }
    return offset;
  };
}

/** Goes through every minute: what the wall's clock shows for the first time, or leaves out, counts once. */
function* simulate(from: number, offsetAt: (time: number) => number, [, wild, matches]: typeof simulated[number]) {
  let shown = from - MINUTE + offsetAt(from - MINUTE);
  for (let time = from;; time += MINUTE) {
    const wall = time + offsetAt(time);
    if (wild) {
      if (matches(new Clock(wall))) yield time;
      continue;
    }
    let isDue = false;
    for (; shown < wall; shown += MINUTE) isDue ||= matches(new Clock(shown + MINUTE));
    if (isDue) yield time;
  }
}

for (
  const [timezone, year] of [[WARSAW, 2026], [SAO_PAULO, 2018], [LORD_HOWE, 2026], [NUUK, 2024], [
    APIA,
    2011,
  ]] as const
) {
  const from = Date.UTC(year, 0, 1);
  const offsetAt = offsetsOf(timezone);
  for (const row of simulated) {
    Deno.test(`parseCron() finds the slots of ${row[0]} over the changes of ${timezone}`, () => {
      const cron = parseCron(row[0], timezone, "test");
      // Those that come often are looked at over each change of two years, the others from the beginning.
      const starts = row[1] ? changesBetween(from, offsetAt).map((change) => change - 300 * HALF_HOUR) : [from];

      for (const start of starts) {
        const expected = simulate(start, offsetAt, row);
        const slots = [new Date(start - 1)];
        for (let last = slots[0]!; slots.length <= 1000 && last.getTime() < start + LONGEST; last = slots.at(-1)!) {
          const slot = new Date(expected.next().value!);
          const found = cron.next(last)!;
          if (found.getTime() !== slot.getTime()) assertEquals(found, slot, `after ${last.toISOString()}`);
          slots.push(slot);
        }
        for (let i = 0; i < slots.length - 1; i += BATCH) {
          const [after, ...batch] = slots.slice(i, i + BATCH + 1);
          assertEquals(cron.between(after!, batch.at(-1)!, BATCH + 5), batch);
        }
      }
    });
  }
}

/** The times in two years at which the clocks change. */
function changesBetween(from: number, offsetAt: (time: number) => number): number[] {
  const changes: number[] = [];
  for (let time = from; time < from + 2 * 366 * 48 * HALF_HOUR; time += HALF_HOUR) {
    if (offsetAt(time) !== offsetAt(time - HALF_HOUR)) changes.push(time);
  }
  return changes;
}

Deno.test("between() gives the last ones, after the one time and up to the other", () => {
  const cron = parseCron("* * * * * *", "UTC", "test");
  const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second));

  assertEquals(cron.between(at(0), at(3), 10), [at(1), at(2), at(3)]);
  assertEquals(cron.between(at(0), at(3), 2), [at(2), at(3)]);
  assertEquals(cron.between(new Date(at(0).getTime() - 1), new Date(at(1).getTime() - 1), 10), [at(0)]);
  assertEquals(cron.between(at(3), at(3), 10), []);
  assertEquals(cron.between(at(3), at(0), 10), []);
});

Deno.test("next() goes on for years, and to an end", () => {
  assertEquals(
    parseCron("0 0 29 2 *", "UTC", "test").next(new Date("2096-03-01T00:00Z")),
    new Date("2104-02-29T00:00Z"),
  );
  assertEquals(parseCron("0 0 1 1 *", "UTC", "test").next(new Date("9999-06-01T00:00Z")), null);
});

type ErrorClass = typeof TypeError | typeof RangeError;

const refused: [expression: unknown, type: ErrorClass, message: string][] = [
  ["", TypeError, 'Cannot define task "a" as "cron" must be five fields, or six with seconds: current value is ""'],
  [5, TypeError, "current value is 5"],
  [undefined, TypeError, "current value is undefined"],
  ["0 3 * *", TypeError, "must be five fields"],
  ["0 0 3 * * * 2027", TypeError, "must be five fields"],
  ["2030-01-01T00:00:00", TypeError, "must be five fields"],
  ["a b c d e", TypeError, '"cron" cannot be read ('],
  ["5/15 * * * *", TypeError, '"cron" cannot be read ('],
  ["0 25 * * *", RangeError, 'cannot be read (Invalid value for hour: 25): current value is "0 25 * * *"'],
  ["60 * * * *", RangeError, "Invalid value for minute: 60"],
  ["0 0 30 2 *", RangeError, '"cron" is never due: current value is "0 0 30 2 *"'],
  ["@reboot", TypeError, '"cron" cannot be read ('],
  ["@soon", TypeError, '"cron" cannot be read ('],
];

for (const [expression, type, message] of refused) {
  Deno.test(`parseCron() refuses ${JSON.stringify(expression)}`, () => {
    assertThrows(() => parseCron(expression as string, "UTC", 'define task "a"'), type, message);
  });
}

for (const timezone of ["Mars/Base", "", 5, null]) {
  Deno.test(`parseCron() refuses the time zone ${JSON.stringify(timezone)}`, () => {
    assertThrows(
      () => parseCron("0 3 * * *", timezone as string, 'define task "a"'),
      RangeError,
      `Cannot define task "a" as "timezone" must be an IANA time zone such as "Europe/Warsaw": current value is ${
        JSON.stringify(timezone)
      }`,
    );
  });
}

Deno.test("cleanExpression() leaves one space between fields", () => {
  assertEquals(cleanExpression("  0\t3  * * *\n"), "0 3 * * *");
});
