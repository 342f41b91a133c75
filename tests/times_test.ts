import { assertEquals } from "@std/assert";
import { formatAge } from "../src/times.ts";

const NOW = Date.UTC(2026, 11, 24, 18);
const ages: [seconds: number, text: string][] = [
  [0.5, "now"],
  [-0.5, "now"],
  [59.9, "59s ago"],
  [-59, "in 59s"],
  [-7_199, "in 1h 59m"],
  [-3_600, "in 1h"],
  [3_599, "59m 59s ago"],
  [90_000, "1d 1h ago"],
  [86_400, "1d ago"],
];

for (const [seconds, text] of ages) {
  Deno.test(`formatAge() shows ${seconds} s ago as ${text}`, () => {
    assertEquals(formatAge(new Date(NOW - seconds * 1000), NOW), text);
  });
}

Deno.test("formatAge() shows a time at no date as never", () => {
  assertEquals(formatAge(new Date(NaN), NOW), "never");
});
