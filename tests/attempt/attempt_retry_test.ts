import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Fail, Retry, type TaskOptions } from "../../mod.ts";
import type { ErrorRow } from "../../src/store/rows.ts";
import { placesOf } from "../support/records.ts";
import { bench } from "../support/attempt_bench.ts";

Deno.test("start() fails at once on Fail, and tries again uncounted after Retry's delay", async () => {
  await using test = await bench();

  const failed = await test.run(() => {
    throw new Fail("the page is gone");
  }, { columns: { max_retries: 5 } });
  const again = await test.run(() => {
    throw new Retry({ delay: "1h" });
  }, { columns: { max_retries: 0 } });
  const ownDelay = await test.run(() => {
    throw new Retry();
  }, { columns: { retry_delay: 7 } });

  assertEquals([failed.ending, failed.record.status, failed.record.retry_attempts], ["failed", "failed", 0]);
  assertEquals([again.ending, again.record.status], ["snoozed", "created"]);
  assertEquals([again.record.retry_attempts, again.record.snoozes, again.record.errors[0]!.delay], [0, 1, 3600]);
  assertEquals(ownDelay.record.errors[0]!.delay, 7);
});

Deno.test("start() takes the retries of the record, then of the definition, then of the instance", async () => {
  await using test = await bench();
  const fail = () => {
    throw new Error("no");
  };
  const left = async (columns: Record<string, unknown>, maxRetries?: number) => {
    const options = maxRetries === undefined ? {} : { maxRetries };
    const { record } = await test.run(fail, { columns, options });
    return record.status === "created" ? "retry" : "end";
  };

  assertEquals(await left({ max_retries: 1 }, 0), "retry");
  assertEquals(await left({ max_retries: 0 }, 1), "end");
  assertEquals(await left({}, 1), "retry");
  assertEquals(await left({}), "end");
  assertEquals(await left({ max_retries: 3, retry_attempts: 2 }), "retry");
  assertEquals(await left({ max_retries: 2, retry_attempts: 5 }), "end", "lowered below what it has used up");
  assertEquals(await left({ max_retries: 1, rescues: 3 }), "retry", "a rescue uses up no retry");
  Object.assign(test.env.config.defaults, { maxRetries: 1 });
  assertEquals(await left({}), "retry");
});

Deno.test("start() computes the delay before a retry from numbers, backoffs and functions", async () => {
  await using test = await bench();
  const delay = async (retryDelay: TaskOptions["retryDelay"], columns: Record<string, unknown> = {}) => {
    const options = { maxRetries: 9, ...(retryDelay === undefined ? {} : { retryDelay }) };
    const { record } = await test.run(() => {
      throw new RangeError("no");
    }, { options, columns });
    assertEquals([record.status, record.retry_attempts], ["created", Number(columns.retry_attempts ?? 0) + 1]);
    return record.errors[0]!.delay;
  };
  const backoff = (value: object) => ({ backoff: test.db.sql.json(value as never) });

  assertEquals(await delay(undefined), 120);
  assertEquals(await delay("5m"), 300);
  assertEquals(await delay("5m", { retry_delay: 1.5 }), 1.5, "the record wins");
  assertEquals(await delay({ kind: "fixed", delay: 3 }, { retry_attempts: 3 }), 3);
  assertEquals(await delay({ kind: "exponential", delay: 10, jitter: false }, { retry_attempts: 3 }), 80);
  assertEquals(await delay({ kind: "exponential", delay: 10, max: "1m", jitter: false }, { retry_attempts: 8 }), 60);
  const jittered = await delay({ kind: "exponential", delay: 10 }, { retry_attempts: 3 });
  assert(jittered! >= 0 && jittered! <= 80, `${jittered} is not between 0 and 80`);
  assertEquals(await delay("5m", { ...backoff({ kind: "linear", delay: "10s" }), retry_attempts: 2 }), 30);
  assertEquals(await delay((attempt, error) => attempt + error.name.length, { retry_attempts: 1 }), 12);
});

Deno.test("start() moves the next attempt by the very delay that it stores with the error", async () => {
  await using test = await bench();

  const { record } = await test.run(() => {
    throw new Error("no");
  }, { options: { maxRetries: 1, retryDelay: { kind: "exponential", delay: "1h", max: "1h" } } });

  const [{ delay, at }] = record.errors as [ErrorRow];
  const { not_before } = record as unknown as { not_before: Date };
  const late = Math.abs(not_before.getTime() - new Date(at).getTime() - delay! * 1000);
  assert(late <= 1, `${late} ms apart`);
});

Deno.test("start() tries again when the function that computes the delay throws or returns none", async () => {
  await using test = await bench();
  const mistakes: [TaskOptions["retryDelay"], string][] = [
    [() => {
      throw new Error("oops");
    }, "Error: oops"],
    [(() => "tomorrow") as never, "RangeError: Cannot read"],
    [() => NaN, "RangeError: Cannot read"],
  ];

  for (const [retryDelay, cause] of mistakes) {
    const { ending, record } = await test.run(() => {
      throw new Error("no");
    }, { options: { maxRetries: 1, retryDelay: retryDelay! } });
    const [{ message, cause: stored, delay }] = record.errors as [ErrorRow];
    assertEquals([ending, record.retry_attempts, delay], ["retried", 1, 120]);
    assertEquals(message, "Cannot tell when to try again");
    assertStringIncludes(stored!, cause);
  }
});

Deno.test("start() settles a retry however far away it is", async () => {
  await using test = await bench();
  const fail = () => {
    throw new Error("no");
  };

  const fromRecord = await test.run(fail, { columns: { max_retries: 1, retry_delay: 1e300 } });
  const fromHandler = await test.run(() => {
    throw new Retry({ delay: 1e15 });
  });

  assertEquals([fromRecord.ending, fromRecord.record.status], ["retried", "created"]);
  assertEquals([fromHandler.ending, fromHandler.record.status], ["snoozed", "created"]);
  assertEquals(await placesOf(test.db), { ready: 0, waiting: 2, claimBatches: 0 });
});
