import { assertEquals } from "@std/assert";
import { Retry } from "../../mod.ts";
import { bench } from "../support/attempt_bench.ts";
import { HOSTILE_VALUES } from "../wire/values/thrown.ts";

Deno.test("start() ends the attempt and frees its slot, whatever the handler throws or rejects with", async () => {
  await using test = await bench();

  for (const [what, make] of Object.entries(HOSTILE_VALUES)) {
    const handlers = {
      throws: () => {
        throw make();
      },
      rejects: () => Promise.reject(make()),
    };
    for (const [how, handler] of Object.entries(handlers)) {
      const { ending, record } = await test.run(handler);
      const [error] = record.errors;
      assertEquals(
        [how, ending, record.status, typeof error?.name, typeof error?.message, test.env.slots.free],
        [how, "failed", "failed", "string", "string", 1],
        what,
      );
    }
  }
});

Deno.test("start() takes a numeric retryDelay, whatever the handler throws", async () => {
  await using test = await bench();

  for (const [what, make] of Object.entries(HOSTILE_VALUES)) {
    const { record } = await test.run(() => {
      throw make();
    }, { columns: { max_retries: 1, retry_delay: 7 } });
    assertEquals([record.status, record.retry_attempts, record.errors[0]!.delay], ["created", 1, 7], what);
  }
});

Deno.test("start() gives a function of retryDelay an Error, whatever the handler throws", async () => {
  await using test = await bench();
  for (const what of ["nothing", "a symbol", "an object without a prototype", "a revoked proxy"]) {
    const { record } = await test.run(() => {
      throw HOSTILE_VALUES[what]!();
    }, { options: { maxRetries: 1, retryDelay: (_, error) => error.message.length > 0 ? 3 : 4 } });
    assertEquals(record.errors[0]!.delay, 3, what);
  }
});

Deno.test("start() tries again, uncounted, after a Retry whose delay is none", async () => {
  await using test = await bench();
  for (const delay of ["soon", NaN, -5, Symbol("s"), Object.create(null)]) {
    const { record } = await test.run(() => {
      throw Object.assign(new Retry(), { delay });
    });
    const { status, retry_attempts, snoozes, errors } = record;
    assertEquals([status, retry_attempts, snoozes, errors[0]!.delay], ["created", 0, 1, 120]);
  }
});
