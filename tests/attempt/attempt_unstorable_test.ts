import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { current } from "../../mod.ts";
import type { ErrorRow } from "../../src/store/rows.ts";
import { type Bench, bench } from "../support/attempt_bench.ts";
import { until } from "../support/waiting.ts";

/** Makes the database refuse every row of `firefly.task` that does not meet the condition. */
async function require({ db }: Bench, condition: string): Promise<void> {
  await db.sql.unsafe(`ALTER TABLE firefly.task ADD CHECK (${condition})`);
}

const fail = () => {
  throw new Error("Cannot greet Grüße 日本 🙂");
};

Deno.test("start() stores an error in ASCII if the database cannot hold its characters", async () => {
  await using test = await bench();
  await require(test, "errors::text !~ '[^ -~]'"); // as a database whose encoding is LATIN1

  const ended = await test.run(fail);
  const again = await test.run(fail, { columns: { max_retries: 1, retry_delay: 7 } });

  assertEquals([ended.ending, ended.record.status, again.ending], ["failed", "failed", "retried"]);
  const message = "Cannot greet Gr\\u{fc}\\u{df}e \\u{65e5}\\u{672c} \\u{1f642}";
  assertEquals(ended.record.errors[0]!.message, message);
  const [{ message: stored, delay }] = again.record.errors as [ErrorRow];
  assertEquals([stored, delay, again.record.retry_attempts], [message, 7, 1]);
});

Deno.test("start() ends a task without the text of its error if the database refuses that", async () => {
  await using test = await bench();
  await require(test, "errors::text !~ 'greet'");

  const { ending, record } = await test.run(fail);

  assertEquals([ending, record.status], ["failed", "failed"]);
  assertMatch(record.errors[0]!.message, /^The error of this attempt cannot be stored: .*\(23514\)$/);
});

Deno.test("start() ends a task without an error if its record can take none", async () => {
  await using test = await bench();
  await require(test, "errors IS NULL");

  const ended = await test.run(fail);
  const again = await test.run(fail, { columns: { max_retries: 1, retry_delay: 7 } });

  assertEquals([ended.ending, ended.record.status, ended.record.errors], ["failed", "failed", []]);
  assertEquals([again.ending, again.record.status, again.record.retry_attempts], ["retried", "created", 1]);
});

Deno.test("start() runs a task that cannot end again after a rest that grows, whatever its handler does", async () => {
  await using test = await bench();
  await require(test, "status = 'created' AND errors IS NULL");

  for (const handler of [fail, () => 1]) {
    const { ending, record } = await test.run(handler, { columns: { snoozes: 20 } });
    const rest = (record as unknown as { not_before: Date }).not_before.getTime() - Date.now();
    assertEquals([ending, record.status, record.snoozes, rest > 2 ** 19 * 1000], ["returned", "created", 21, true]);
  }
  assertEquals(test.env.slots.free, 1);
});

Deno.test("start() counts a result that the database refuses, and says so", async () => {
  await using test = await bench();
  await require(test, "returned IS NULL");

  const { ending, record } = await test.run(() => 1, { columns: { max_retries: 1 } });

  assertEquals([ending, record.status, record.retry_attempts], ["retried", "created", 1]);
  assertStringIncludes(record.errors[0]!.message, "Cannot store the result");
  assertEquals(record.errors[0]!.code, "23514");
});

Deno.test("progress() stores a note without what the database cannot hold, and never fails the task for it", async () => {
  await using test = await bench();
  await require(test, "progress_note !~ '[^ -~]'");
  await require(test, "progress_note <> 'no'");
  const notes: unknown[] = ["日本", "no", Symbol("s"), Object.create(null), "nul \0"];

  const stored: unknown[] = [];
  for (const note of notes) {
    const { ending, record } = await test.run(async () => await current().progress(0.5, note as string));
    assertEquals(ending, "completed", String(typeof note));
    stored.push(record.progress_note);
  }

  assertEquals(stored, ["\\u{65e5}\\u{672c}", null, null, null, "nul \\u{fffd}"]);
  await until(() => test.heard.filter(({ event }) => event === "log").length === 3);
});
