import { assert, assertEquals, assertGreater, assertLess, assertThrows } from "@std/assert";
import { checkRetryDelay, type RetryDelay, secondsUntilRetry } from "../../src/task/backoff.ts";

const failure = new Error("failed");

const cases: [what: string, retryDelay: RetryDelay, seconds: number[]][] = [
  ["a duration", "2m", [120, 120, 120]],
  ["zero", 0, [0, 0, 0]],
  ["a fixed backoff", { kind: "fixed", delay: 5 }, [5, 5, 5]],
  ["a linear backoff", { kind: "linear", delay: 5 }, [5, 10, 15]],
  ["an exponential backoff without jitter", { kind: "exponential", delay: 5, jitter: false }, [5, 10, 20]],
  ["a backoff with a maximum", { kind: "linear", delay: 5, max: "8s" }, [5, 8, 8]],
  ["a function", (attempt) => attempt * 7, [7, 14, 21]],
];

for (const [what, retryDelay, seconds] of cases) {
  Deno.test(`secondsUntilRetry() follows ${what}`, () => {
    assertEquals([1, 2, 3].map((attempt) => secondsUntilRetry(retryDelay, attempt, failure)), seconds);
  });
}

Deno.test("secondsUntilRetry() is never longer than a day, nor no number, however many attempts there were", () => {
  assertEquals(secondsUntilRetry({ kind: "exponential", delay: 1, jitter: false }, 5000, failure), 86400);
  assertEquals(secondsUntilRetry({ kind: "exponential", delay: 0, jitter: false }, 5000, failure), 0);
  assertEquals(secondsUntilRetry({ kind: "linear", delay: 1 }, 2 ** 31, failure), 86400);
});

Deno.test("secondsUntilRetry() spreads exponential delays over the whole of the computed one", () => {
  const delays = Array.from({ length: 500 }, () => secondsUntilRetry({ kind: "exponential", delay: 10 }, 2, failure));

  assert(delays.every((delay) => delay >= 0 && delay <= 20));
  assertLess(Math.min(...delays), 4);
  assertGreater(Math.max(...delays), 16);
});

Deno.test("secondsUntilRetry() gives a function the attempt and the error", () => {
  const seen: unknown[] = [];

  secondsUntilRetry((...args) => seen.push(...args), 3, failure);

  assertEquals(seen, [3, failure]);
});

Deno.test("secondsUntilRetry() refuses what a function returns if it is no duration", () => {
  assertThrows(() => secondsUntilRetry(() => NaN, 1, failure), RangeError, 'Cannot read "retryDelay"');
});

const refused: [what: string, retryDelay: unknown, type: typeof RangeError | typeof TypeError, message: string][] = [
  ["a negative number", -1, RangeError, 'Cannot read "retryDelay"'],
  ["text without a unit", "5", RangeError, 'Cannot read "retryDelay"'],
  [
    "an unknown kind",
    { kind: "expo", delay: 1 },
    TypeError,
    '"fixed", "linear" or "exponential": current value is "expo"',
  ],
  ["a backoff without a delay", { kind: "fixed" }, RangeError, 'Cannot read "retryDelay.delay"'],
  ["a maximum that is none", { kind: "fixed", delay: 1, max: "1x" }, RangeError, 'Cannot read "retryDelay.max"'],
  ["null", null, RangeError, 'Cannot read "retryDelay"'],
];

for (const [what, retryDelay, type, message] of refused) {
  Deno.test(`checkRetryDelay() refuses ${what}`, () => {
    assertThrows(() => checkRetryDelay(retryDelay as RetryDelay), type, message);
  });
}

Deno.test("checkRetryDelay() does not call a function", () => {
  checkRetryDelay(() => {
    throw new Error("called");
  });
});
