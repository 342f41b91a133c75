import { assertEquals, assertThrows } from "@std/assert";
import { cleanExpression, parseCron } from "../../src/task/cron_expression.ts";

const [WARSAW, SAO_PAULO, LORD_HOWE] = ["Europe/Warsaw", "America/Sao_Paulo", "Australia/Lord_Howe"];
const [MINUTE, HALF_HOUR, HOUR] = [60_000, 1_800_000, 3_600_000];
/** How many slots are looked for backwards at a time. */
const BATCH = 50;
/** How much time a simulation goes through at most: three years, which 1,000 slots of all but the rarest take. */
const LONGEST = 3 * 366 * 48 * HALF_HOUR;

/** What comes on the days around a change of the clocks, in UTC, written down by hand. */
const changes: [what: string, expression: string, timezone: string, from: string, slots: string[]][] = [
  // Warsaw, 29 March 2026: 02:00 becomes 03:00 at 01:00 UTC.
  ["before the gap", "30 1 * * *", WARSAW, "2026-03-28T12:00Z", ["2026-03-29T00:30", "2026-03-29T23:30"]],
  ["inside the gap", "30 2 * * *", WARSAW, "2026-03-28T12:00Z", ["2026-03-29T01:00", "2026-03-30T00:30"]],
  ["several inside the gap", "0,30 2 * * *", WARSAW, "2026-03-28T12:00Z", ["2026-03-29T01:00", "2026-03-30T00:00"]],
  ["at the end of the gap", "0 3 * * *", WARSAW, "2026-03-28T12:00Z", ["2026-03-29T01:00", "2026-03-30T01:00"]],
  ["inside the gap and at its end", "0 2,3 * * *", WARSAW, "2026-03-28T12:00Z", [
    "2026-03-29T01:00",
    "2026-03-30T00:00",
  ]],
  ["every two hours, over the gap", "0 */2 * * *", WARSAW, "2026-03-28T22:30Z", [
    "2026-03-28T23:00",
    "2026-03-29T02:00",
    "2026-03-29T04:00",
  ]],
  ["every 15 minutes, over the gap", "*/15 * * * *", WARSAW, "2026-03-29T00:30Z", [
    "2026-03-29T00:45",
    "2026-03-29T01:00",
    "2026-03-29T01:15",
  ]],
  ["every 30 minutes of the gap alone", "*/30 2 * * *", WARSAW, "2026-03-28T12:00Z", [
    "2026-03-30T00:00",
    "2026-03-30T00:30",
  ]],
  // Warsaw, 25 October 2026: 03:00 becomes 02:00 at 01:00 UTC.
  ["what occurs twice", "30 2 * * *", WARSAW, "2026-10-24T12:00Z", ["2026-10-25T00:30", "2026-10-26T01:30"]],
  ["what occurs twice, in a list", "30 1,2 * * *", WARSAW, "2026-10-24T12:00Z", [
    "2026-10-24T23:30",
    "2026-10-25T00:30",
    "2026-10-26T00:30",
  ]],
  ["what occurs twice, in a range", "0 2-3 * * *", WARSAW, "2026-10-24T12:00Z", [
    "2026-10-25T00:00",
    "2026-10-25T02:00",
    "2026-10-26T01:00",
  ]],
  ["what occurs twice, asked between the two", "30 2 * * *", WARSAW, "2026-10-25T00:45Z", ["2026-10-26T01:30"]],
  ["every 30 minutes of what occurs twice", "*/30 2 * * *", WARSAW, "2026-10-24T12:00Z", [
    "2026-10-25T00:00",
    "2026-10-25T00:30",
    "2026-10-25T01:00",
    "2026-10-25T01:30",
    "2026-10-26T01:00",
  ]],
  ["every hour, where one occurs twice", "0 * * * *", WARSAW, "2026-10-24T23:30Z", [
    "2026-10-25T00:00",
    "2026-10-25T01:00",
    "2026-10-25T02:00",
  ]],
  ["every two hours, where one occurs twice", "0 */2 * * *", WARSAW, "2026-10-24T22:30Z", [
    "2026-10-25T00:00",
    "2026-10-25T01:00",
    "2026-10-25T03:00",
  ]],
  // São Paulo, 4 November 2018: 00:00 becomes 01:00 at 03:00 UTC.
  ["midnight in the gap", "0 0 * * *", SAO_PAULO, "2018-11-03T12:00Z", ["2018-11-04T03:00", "2018-11-05T02:00"]],
  ["before a gap at midnight", "30 23 * * *", SAO_PAULO, "2018-11-03T12:00Z", ["2018-11-04T02:30", "2018-11-05T01:30"]],
  ["a Sunday that begins with the gap", "15 0 * * 0", SAO_PAULO, "2018-11-03T12:00Z", [
    "2018-11-04T03:00",
    "2018-11-11T02:15",
  ]],
  // São Paulo, 17 February 2019: 00:00 becomes 23:00 of the day before at 02:00 UTC.
  ["midnight after what occurs twice", "0 0 * * *", SAO_PAULO, "2019-02-16T12:00Z", [
    "2019-02-17T03:00",
    "2019-02-18T03:00",
  ]],
  ["the last hour of a day, twice", "30 23 * * *", SAO_PAULO, "2019-02-16T12:00Z", [
    "2019-02-17T01:30",
    "2019-02-18T02:30",
  ]],
  ["every half of the last hour, twice", "*/30 23 * * *", SAO_PAULO, "2019-02-16T12:00Z", [
    "2019-02-17T01:00",
    "2019-02-17T01:30",
    "2019-02-17T02:00",
    "2019-02-17T02:30",
    "2019-02-18T02:00",
  ]],
  // Lord Howe Island, 4 October 2026: 02:00 becomes 02:30 at 15:30 UTC.
  ["inside a gap of half an hour", "15 2 * * *", LORD_HOWE, "2026-10-03T00:00Z", [
    "2026-10-03T15:30",
    "2026-10-04T15:15",
  ]],
  ["seconds", "*/20 59 1 * * *", WARSAW, "2026-03-28T12:00Z", [
    "2026-03-29T00:59",
    "2026-03-29T00:59:20",
    "2026-03-29T00:59:40",
    "2026-03-29T23:59",
  ]],
  ["a nickname", "@daily", WARSAW, "2026-10-24T12:00Z", ["2026-10-24T22:00", "2026-10-25T23:00"]],
];

for (const [what, expression, timezone, from, slots] of changes) {
  Deno.test(`parseCron() finds ${what}: ${expression}, ${timezone}`, () => {
    const cron = parseCron(expression, timezone, "test");
    const expected = slots.map((slot) => new Date(`${slot}Z`));

    const found: Date[] = [];
    for (let after = new Date(from); found.length < slots.length; after = found.at(-1)!) found.push(cron.next(after)!);

    assertEquals(found, expected);
    assertEquals(cron.between(new Date(from), expected.at(-1)!, 100), expected);
  });
}

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

for (const [timezone, year] of [[WARSAW, 2026], [SAO_PAULO, 2018], [LORD_HOWE, 2026]] as const) {
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
