import { assertEquals, assertThrows } from "@std/assert";
import { type Duration, toMilliseconds, toRetrySeconds, toSeconds } from "../src/duration.ts";

const cases: [duration: Duration, seconds: number][] = [
  [0, 0],
  [90, 90],
  [0.25, 0.25],
  ["1500ms", 1.5],
  ["0s", 0],
  ["30s", 30],
  ["1.5m", 90],
  ["2h", 7200],
  ["7d", 604800],
  [-0, 0],
  ["-0s", 0],
  ["10 m", 600],
  [" 5m", 300],
  ["1e3s", 1000],
  ["0x10s", 16],
  [31_557_600_000, 31_557_600_000],
  ["365250d", 31_557_600_000],
];

for (const [duration, seconds] of cases) {
  Deno.test(`toSeconds() reads ${JSON.stringify(duration)} as ${seconds}`, () => {
    assertEquals(toSeconds(duration, "delay"), seconds);
  });
}

const refused: [value: unknown, shown: string][] = [
  [-1, "-1"],
  [NaN, "NaN"],
  [Infinity, "Infinity"],
  [5n, "5"],
  [null, "null"],
  [undefined, "undefined"],
  [Symbol("soon"), "Symbol(soon)"],
  ["", '""'],
  ["5", '"5"'],
  ["-5m", '"-5m"'],
  ["5M", '"5M"'],
  ["5m\n", '"5m\\n"'],
  ["1w", '"1w"'],
  ["m", '"m"'],
  [" m", '" m"'],
  ["Infinitys", '"Infinitys"'],
  ["1_000s", '"1_000s"'],
  [-Infinity, "-Infinity"],
  [31_557_600_001, "31557600001"],
  ["365251d", '"365251d"'],
  [Number.MAX_VALUE, "1.7976931348623157e+308"],
];

for (const [value, shown] of refused) {
  Deno.test(`toSeconds() refuses ${String(value) || "nothing"} and shows it`, () => {
    const error = assertThrows(() => toSeconds(value as Duration, "timeout"), RangeError, 'Cannot read "timeout" as');
    assertEquals(error.message.split("current value is ")[1], shown);
  });
}

Deno.test("toMilliseconds() is a thousand times toSeconds()", () => {
  assertEquals(toMilliseconds("2s", "delay"), 2000);
});

Deno.test("toRetrySeconds() takes what is longer, and refuses the rest as toSeconds() does", () => {
  assertEquals([toRetrySeconds(1e300, "retryDelay"), toRetrySeconds("365251d", "retryDelay")], [1e300, 31_557_686_400]);
  for (const value of [NaN, Infinity, -1, "1e999s", "soon"]) {
    assertThrows(() => toRetrySeconds(value as Duration, "retryDelay"), RangeError, 'Cannot read "retryDelay" as');
  }
});
