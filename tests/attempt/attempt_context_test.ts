import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { current } from "../../mod.ts";
import type { ErrorRow } from "../../src/store/rows.ts";
import { recordOf } from "../support/records.ts";
import { bench } from "../support/attempt_bench.ts";
import { gate } from "../support/step_gate.ts";

Deno.test("current() gives the handler its id, its attempt and whether that is the last", async () => {
  await using test = await bench();
  const seen: unknown[] = [];
  const look = () => {
    const { id, attempt, lastAttempt, queued, signal } = current();
    seen.push([id > 0, attempt, lastAttempt, queued, signal.aborted]);
  };

  await test.run(look, { columns: { max_retries: 2, retry_attempts: 1, rescues: 1 } });
  await test.run(look, { columns: { max_retries: 2, retry_attempts: 2 } });

  assertEquals(seen, [[true, 3, false, true, false], [true, 3, true, true, false]]);
});

Deno.test("progress() is stored outside of the transaction, at most twice a second, and its end always", async () => {
  await using test = await bench();
  const [half, end] = [gate(), gate()];
  const { id, ending } = await test.begin(async () => {
    const { progress, sql } = current();
    await sql`SELECT 1`;
    await progress(0.5, "half");
    await progress(0.6, "dropped");
    await half.wait();
    await progress(1);
    await end.wait();
    await progress(2);
  });
  await half.reached;

  const seen = await recordOf(test.db, id);
  assertEquals([seen.progress, seen.progress_note], [0.5, "half"]);
  half.open();
  await end.reached;
  assertEquals((await recordOf(test.db, id)).progress, 1);
  end.open();
  assertEquals(await ending, "failed");
  const { errors } = await recordOf(test.db, id);
  assertStringIncludes((errors as ErrorRow[])[0]!.message, "between 0 and 1: current value is 2");
});

Deno.test("current().log emits events with the attempt's id and fields", async () => {
  await using test = await bench();

  await test.run(() => current().log.warn("slow", { ms: 5 }));

  const [log] = test.heard.filter(({ event }) => event === "log");
  const { id, level, message, fields, attempt, funcName } = log!.detail;
  assertEquals({ level, message, fields, attempt, funcName }, {
    level: "warn",
    message: "slow",
    fields: { ms: 5 },
    attempt: 1,
    funcName: "test.task",
  });
  assert(Number(id) > 0);
  assertEquals(test.heard.map(({ event }) => event), ["started", "log", "completed"]);
});
