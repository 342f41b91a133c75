import { assertEquals, assertThrows } from "@std/assert";
import { type Duration, toMilliseconds, toSeconds } from "../src/duration.ts";

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
  ["5 m", '"5 m"'],
  ["-5m", '"-5m"'],
  ["1e3s", '"1e3s"'],
  ["5M", '"5M"'],
  ["5m\n", '"5m\\n"'],
  ["1w", '"1w"'],
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
