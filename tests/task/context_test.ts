import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { current, Fail, isFail, isRetry, Retry } from "../../src/task/context.ts";
import { type CurrentInstance, type TaskContext, withScope } from "../../src/task/scope.ts";
import type { Sql } from "../../src/sql.ts";

function tag(): Sql {
  return Object.assign(() => Promise.resolve([]), { unsafe: () => Promise.resolve([]) });
}

Deno.test("current() outside of an attempt is a detached context, on which everything may be called", async () => {
  const context = current();

  const { queued, id, attempt, lastAttempt, signal } = context;
  assertEquals({ queued, id, attempt, lastAttempt }, { queued: false, id: 0, attempt: 1, lastAttempt: true });
  assertEquals(signal.aborted, false);
  context.log.info("nobody hears this", { at: 1 });
  await context.progress(0.5, "half");
});

Deno.test("current() is the attempt's context, also after awaits and in callbacks", async () => {
  const attempt = { queued: true, id: 7 } as TaskContext;
  await withScope({ attempt }, async () => {
    assertStrictEquals(current(), attempt);
    await new Promise((resolve) => setTimeout(resolve, 1));
    assertStrictEquals(current(), attempt);
    await Promise.all([1, 2].map(async () => {
      await Promise.resolve();
      assertStrictEquals(current(), attempt);
    }));
  });
  assertEquals(current().queued, false);
});

Deno.test("current() of two attempts at once is each one's own", async () => {
  const seen = await Promise.all([1, 2, 3].map((id) =>
    withScope({ attempt: { id } as TaskContext }, async () => {
      await new Promise((resolve) => setTimeout(resolve, 4 - id));
      return current().id;
    })
  ));

  assertEquals(seen, [1, 2, 3]);
});

Deno.test("current().sql outside of an attempt is the transaction's, else the instance's", () => {
  const [pool, transaction] = [tag(), tag()];
  const instance = { sql: pool } as CurrentInstance;

  withScope({ instance }, () => {
    assertStrictEquals(current().sql, pool);
    withScope({ transaction: { sql: transaction } }, () => assertStrictEquals(current().sql, transaction));
  });
});

Deno.test("withScope() takes away what it is given as undefined", () => {
  withScope({ attempt: { id: 7 } as TaskContext }, () => {
    withScope({ attempt: undefined }, () => assertEquals(current().id, 0));
    assertEquals(current().id, 7);
  });
});

Deno.test("Retry holds its delay and its cause, and refuses a delay that is none", () => {
  const cause = new Error("busy");
  const retry = new Retry({ delay: "5m", cause });

  assertEquals([retry.name, retry.delay, retry.cause], ["Retry", "5m", cause]);
  assertEquals("delay" in new Retry() ? new Retry().delay : undefined, undefined);
  assertThrows(() => new Retry({ delay: -1 }), RangeError, 'Cannot read "delay"');
});

Deno.test("Fail holds its message and its cause", () => {
  const cause = new Error("404");
  const fail = new Fail("the page is gone", { cause });

  assertEquals([fail.name, fail.message, fail.cause], ["Fail", "the page is gone", cause]);
});

Deno.test("isRetry() and isFail() know their own, also those of another copy of this package", async () => {
  const copy = await import(
    `../../src/task/context.ts?copy=${crypto.randomUUID()}`
  ) as typeof import("../../src/task/context.ts");
  assert(copy.Retry !== Retry);

  for (const retry of [new Retry(), new copy.Retry()]) assertEquals([isRetry(retry), isFail(retry)], [true, false]);
  for (const fail of [new Fail(), new copy.Fail()]) assertEquals([isRetry(fail), isFail(fail)], [false, true]);
  for (const other of [new Error(), undefined, null, "Retry", {}]) {
    assertEquals([isRetry(other), isFail(other)], [false, false]);
  }
});

Deno.test("Two copies of this package share tasks and context", async () => {
  const copy = await import(
    `../../src/task/scope.ts?copy=${crypto.randomUUID()}`
  ) as typeof import("../../src/task/scope.ts");

  assertEquals(withScope({ attempt: { id: 9 } as TaskContext }, () => copy.currentScope().attempt?.id), 9);
});
