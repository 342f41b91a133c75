import { assertEquals } from "@std/assert";
import { current, Fail, Retry, task } from "../../mod.ts";
import { testFirefly } from "../../testing.ts";
import { taskName } from "../support/instance.ts";

const START = new Date("2030-05-01T09:00:00Z");

Deno.test("a step with retries of its own is suspended in between, by its backoff, and not counted against the task", async () => {
  const at: number[] = [];
  const calls: string[] = [];
  const keys = new Set<string>();
  const order = task(taskName(), async () => {
    const { step, attempt } = current();
    await step("before", () => void calls.push("before"));
    const charge = await step(
      { name: "charge", maxRetries: 3, retryDelay: { kind: "exponential", delay: "1m", jitter: false } },
      async ({ idempotencyKey }) => {
        keys.add(idempotencyKey);
        at.push(Math.round(((await ff.now()).getTime() - START.getTime()) / 60_000));
        if (at.length < 4) throw new Error(`down ${at.length}`);
        return "ch_1";
      },
    );
    return [charge, attempt];
  });
  await using ff = await testFirefly({ tasks: [order], now: START });
  const record = await order.schedule();
  await ff.drain();
  const [, charge] = await record.steps();
  const counts = await ff.drain({ until: "1h" });

  assertEquals([charge!.status, charge!.failures, charge!.error!.message], ["waiting", 1, "down 1"]);
  assertEquals([counts.completed, counts.retried], [1, 0]);
  assertEquals([at, calls, keys.size], [[0, 1, 3, 7], ["before"], 1]);
  assertEquals(await record.result(), ["ch_1", 1]);
  const { retryAttempts, errors } = await record.refresh();
  assertEquals([retryAttempts, errors], [0, []]);
  assertEquals((await record.steps()).map(({ name, status, failures }) => [name, status, failures]), [
    ["before", "completed", 0],
    ["charge", "completed", 3],
  ]);
});

Deno.test("the last failure goes to the handler; a failed attempt of the task gives the step its retries again", async () => {
  let calls = 0;
  const seen: string[] = [];
  const order = task({ name: taskName(), maxRetries: 1, retryDelay: "1h" }, async () => {
    const { step, attempt } = current();
    try {
      await step({ name: "charge", maxRetries: 1, retryDelay: "1m" }, () => {
        throw new Error(`failure ${++calls}`);
      });
    } catch (error) {
      seen.push(`${attempt}: ${(error as Error).message}`);
      if (attempt === 1) throw error;
      await step("give up", () => {});
      return (await step({ name: "again", maxRetries: 0 }, () => "gave up"));
    }
  });
  await using ff = await testFirefly({ tasks: [order] });
  const record = await order.schedule();
  await ff.drain({ until: "3h", throwOnFailure: false });

  assertEquals([calls, seen], [4, ["1: failure 2", "2: failure 4"]]);
  assertEquals(await record.result(), "gave up");
  const [charge] = await record.steps();
  assertEquals([charge!.status, charge!.failures, charge!.attempt], ["failed", 2, 2]);
});

Deno.test("Fail ends the retries of a step, Retry asks for another try that is not counted", async () => {
  const calls: string[] = [];
  const order = task(taskName(), async () => {
    const { step } = current();
    const poll = await step({ name: "poll", maxRetries: 1, retryDelay: "1d" }, () => {
      calls.push("poll");
      if (calls.length < 4) throw new Retry({ delay: "5m" });
      return "polled";
    });
    const failed = await step({ name: "fail", maxRetries: 5 }, () => {
      calls.push("fail");
      throw new Fail("gone");
    }).catch((error) => error.message);
    await step("end", () => {});
    return [poll, failed];
  });
  await using ff = await testFirefly({ tasks: [order] });
  const record = await order.schedule();
  await ff.drain({ until: "1h" });

  assertEquals(await record.result(), ["polled", "gone"]);
  assertEquals(calls, ["poll", "poll", "poll", "poll", "fail"]);
  assertEquals((await record.steps()).map(({ failures }) => failures), [0, 1, 0]);
});

Deno.test("steps that are tried again do not hold up others, and nothing of a failed try commits", async () => {
  const failures = new Map<string, number>();
  const order = task(taskName(), async (files: string[]) => {
    const { step } = current();
    return await Promise.all(
      files.map((file) =>
        step({ name: "resize", key: file, maxRetries: 3, retryDelay: "10s" }, async () => {
          await current().sql`INSERT INTO effect VALUES (${file})`;
          const count = failures.get(file) ?? 0;
          failures.set(file, count + 1);
          if (count < files.indexOf(file)) throw new Error("not yet");
          return file;
        })
      ),
    );
  });
  await using ff = await testFirefly({ tasks: [order] });
  await ff.sql`CREATE TABLE effect (name text)`;
  const record = await order.schedule(["a", "b", "c"]);
  await ff.drain();
  // Both that wait began at the same time, in either order.
  assertEquals((await record.steps()).map(({ key, status }) => `${key} ${status}`).sort(), [
    "a completed",
    "b waiting",
    "c waiting",
  ]);
  await ff.drain({ until: "5m" });

  assertEquals(await record.result(), ["a", "b", "c"]);
  assertEquals((await ff.sql`SELECT name FROM effect ORDER BY name`).map(({ name }) => name), ["a", "b", "c"]);
});

Deno.test("a task is suspended for a step that its handler left behind and that is tried again", async () => {
  let calls = 0;
  const order = task(taskName(), () => {
    void current().step({ name: "left", maxRetries: 3, retryDelay: "1m" }, () => {
      if (++calls < 3) throw new Error("not yet");
    });
    return "returned";
  });
  await using ff = await testFirefly({ tasks: [order] });
  const record = await order.schedule();
  await ff.drain();
  assertEquals((await record.refresh()).state, "suspended");
  await ff.drain({ until: "10m" });

  assertEquals([await record.result(), calls], ["returned", 3]);
});
