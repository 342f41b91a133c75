import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { current, FireflyError, LeaseLost } from "../../mod.ts";
import { Shutdown } from "../../src/attempt/shutdown.ts";
import type { ErrorRow } from "../../src/store/rows.ts";
import { backends } from "../support/statements.ts";
import { placesOf, recordOf } from "../support/records.ts";
import { until } from "../support/waiting.ts";
import { bench } from "../support/attempt_bench.ts";
import { gate } from "../support/step_gate.ts";

Deno.test("start() aborts the signal at the timeout, leaves the slot, and fences the late finish", async () => {
  await using test = await bench();
  await test.db.sql`CREATE TABLE effect (n int)`;
  const late = gate();
  const lateFailures: Promise<unknown>[] = [];
  let reason: unknown;
  const { id, ending } = await test.begin(async () => {
    const { sql, signal } = current();
    signal.addEventListener("abort", () => reason = signal.reason);
    await sql`INSERT INTO effect VALUES (1)`;
    await late.wait(); // ignores its signal
    lateFailures.push(assertRejects(() => sql`INSERT INTO effect VALUES (2)`, FireflyError, "transaction has ended"));
    return "late";
  }, { options: { timeout: "500ms" } });

  assertEquals(await ending, "failed");
  assertEquals((reason as DOMException).name, "TimeoutError");
  late.open();
  await until(() => lateFailures.length > 0);
  await Promise.all(lateFailures);

  const { status, errors, returned } = await recordOf(test.db, id);
  assertEquals([status, returned], ["failed", null]);
  const [{ name, message }] = errors as [ErrorRow];
  assertEquals([name, message], ["TimeoutError", "The attempt took longer than its timeout of 0.5 s"]);
  await until(async () => await backends(test.db, "idle in transaction") === 0);
  assertEquals((await test.db.sql`SELECT FROM effect`).length, 0);
});

Deno.test("start() takes the timeout of the record before the definition's, and none where there is none", async () => {
  await using test = await bench();
  const hang = () => new Promise(() => {});

  const { record } = await test.run(hang, { columns: { timeout: 0.05 }, options: { timeout: "1h" } });
  assertStringIncludes(record.errors[0]!.message, "0.05 s");
  Object.assign(test.env.config.defaults, { timeout: "60ms" });
  assertStringIncludes((await test.run(hang)).record.errors[0]!.message, "0.06 s");
});

Deno.test("abort() with Shutdown returns the task, uncounted and in its old place", async () => {
  await using test = await bench();
  const { id, attempt, ending } = await test.begin(() => new Promise(() => {}), { columns: { max_retries: 0 } });
  const { not_before } = await recordOf(test.db, id);

  attempt.abort(new Shutdown("The consumer shuts down"));

  assertEquals(await ending, "returned");
  const record = await recordOf(test.db, id);
  const { status, retry_attempts, snoozes, errors } = record;
  assertEquals({ status, retry_attempts, snoozes, errors }, {
    status: "created",
    retry_attempts: 0,
    snoozes: 1,
    errors: [],
  });
  assertEquals(record.not_before, not_before);
  assertEquals(await placesOf(test.db), { ready: 1, waiting: 0, claimBatches: 0 });
});

Deno.test("abort() ends an attempt at once even if its transaction waits for a dead network", async () => {
  await using test = await bench();
  const { proxy } = test;
  await test.run(async () => void await current().sql`SELECT 1`); // leaves a session that is connected
  const sent = Promise.withResolvers<void>();
  proxy.mode = "hole";
  proxy.onRequest = (text) => text.includes("BEGIN") && sent.resolve();
  const { ending, attempt } = await test.begin(async () => void await current().sql`SELECT 1`);
  await sent.promise;
  const started = performance.now();

  attempt.abort(new LeaseLost("The consumer could not renew its lease in time"));

  assertEquals(await ending, "lost");
  assert(performance.now() - started < 1000, `it took ${performance.now() - started} ms`);
  proxy.mode = "pass";
  proxy.cut({ reset: true });
});
