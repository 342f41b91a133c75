import { assertEquals, assertThrows } from "@std/assert";
import { asSentences, didYouMean, refuseUnknownKeys } from "../src/suggest.ts";

const OPTIONS = ["queue", "maxRetries", "retryDelay", "timeout"];

const cases: [word: string, known: string[], suggestion: string][] = [
  ["maxRetires", OPTIONS, ', did you mean "maxRetries"?'],
  ["retry_delay", OPTIONS, ', did you mean "retryDelay"?'],
  ["Queue", OPTIONS, ', did you mean "queue"?'],
  ["xyz", OPTIONS, ""],
  ["", OPTIONS, ""],
  ["queue", [], ""],
];

for (const [word, known, suggestion] of cases) {
  Deno.test(`didYouMean() answers ${JSON.stringify(suggestion)} to "${word}" of ${known.length}`, () => {
    assertEquals(didYouMean(word, known), suggestion);
  });
}

Deno.test("refuseUnknownKeys() takes known options, and none", () => {
  refuseUnknownKeys({ queue: 1, timeout: undefined }, OPTIONS, "define the task");
  refuseUnknownKeys({}, OPTIONS, "define the task");
});

Deno.test("refuseUnknownKeys() suggests the option that was meant", () => {
  assertThrows(
    () => refuseUnknownKeys({ queue: 1, maxRetry: 3 }, OPTIONS, 'define task "add"'),
    TypeError,
    'Cannot define task "add" as there is no option "maxRetry", did you mean "maxRetries"?',
  );
});

Deno.test("refuseUnknownKeys() lists the options where none is near", () => {
  assertThrows(
    () => refuseUnknownKeys({ zzz: 3 }, OPTIONS, "define the task"),
    TypeError,
    'there is no option "zzz": known are queue, maxRetries, retryDelay, timeout',
  );
});

const near: [word: string, known: string[], suggestion: string][] = [
  ["mial", ["default", "mail"], "mail"],
  ["failure", ["created", "failed"], "failed"],
  ["maxRetry", ["maxRetries", "queue"], "maxRetries"],
  ["MAIL.SEND", ["mail.send"], "mail.send"],
  ["mail.sned", ["mail.send"], "mail.send"],
  ["send", ["mail.send"], "mail.send"],
  ["--stats", ["--status", "--name"], "--status"],
];

for (const [word, known, suggestion] of near) {
  Deno.test(`didYouMean() suggests ${suggestion} for ${word}`, () => {
    assertEquals(didYouMean(word, known), `, did you mean "${suggestion}"?`);
  });
}

const far: [word: string, known: string[]][] = [
  ["version", ["cron", "consume", "queues"]],
  ["completions", ["explain", "consume"]],
  ["--watch", ["--status", "--name"]],
  ["-n", ["--name"]],
  ["x", ["y"]],
  ["mail", []],
];

for (const [word, known] of far) {
  Deno.test(`didYouMean() suggests nothing for ${word}, which none of ${known.join(", ") || "no words"} is like`, () => {
    assertEquals(didYouMean(word, known), "");
  });
}

Deno.test("asSentences() ends a statement with a period, unless it is a question", () => {
  assertEquals(asSentences("Define it", "If not"), "Define it. If not");
  assertEquals(asSentences('Define it, did you mean "a"?', "If not"), 'Define it, did you mean "a"? If not');
  assertEquals(asSentences("Define it", ""), "Define it");
});
