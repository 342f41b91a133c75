import { assertEquals, assertMatch } from "@std/assert";
import { current, Fail, task } from "../../mod.ts";
import { registerConsumer, removeExpiredConsumers } from "../../src/store/consumers.ts";
import { rescueTasks } from "../../src/store/rescue.ts";
import { attempts } from "../support/attempts.ts";
import { expireConsumer } from "../support/claiming.ts";
import { recordOf } from "../support/records.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { until } from "../support/waiting.ts";

/** A handler with steps that can be undone, of which the last one fails the task; each attempt may change it. */
function saga(
  log: string[],
  { names = ["a", "b"], undo = () => {}, end = () => Promise.reject(new Fail("sold out")) }: {
    names?: string[];
    undo?: (name: string) => unknown;
    end?: () => unknown;
  } = {},
) {
  return async () => {
    const { step } = current();
    for (const name of names) {
      await step(name, () => void log.push(name), async () => {
        log.push(`undo ${name}`);
        await undo(name);
      });
    }
    return await end();
  };
}

const never = () => new Promise<never>(() => {});

/** Crashes the consumer that runs an attempt, and starts it again. */
async function crash({ test: { db } }: Awaited<ReturnType<typeof attempts>>, id: string): Promise<void> {
  await expireConsumer(db, id);
  await removeExpiredConsumers(db.store);
  await until(async () => {
    await rescueTasks(db.store); // it passes over a record that is locked at this moment
    return (await db.sql`SELECT FROM firefly.claim_batch`).count === 0;
  });
  const info = { host: "test", pid: 1, version: "0.0.0", queues: ["default"], tasks: ["test.task"], concurrency: 10 };
  await registerConsumer(db.store, { id, ...info }, 60);
}

Deno.test("an attempt after a crash begins no step, whatever its handler does then, and goes on where it was", async () => {
  for (const end of [undefined, () => "all is well", never, () => current().step("c", () => "new")]) {
    await using t = await attempts();
    const log: string[] = [];
    const { consumerId } = await t.begin(saga(log, { undo: (name) => name === "a" ? never() : undefined }));
    await until(() => log.includes("undo a"));
    await crash(t, consumerId);

    const { ending, record } = await t.run(saga(log, end ? { end } : {}));

    assertEquals(log, ["a", "b", "undo b", "undo a", "undo a"]);
    assertEquals([ending, record.status, record.errors.at(-1)!.message], ["failed", "failed", "sold out"]);
  }
});

Deno.test("an attempt that finds all compensations done ends the task, and calls no handler", async () => {
  await using t = await attempts();
  const log: string[] = [];
  const { test: { db, env }, id } = t;
  const settle = env.settler.settle;
  env.settler.settle = never;
  const { consumerId } = await t.begin(saga(log));
  await until(async () =>
    (await db.sql`SELECT FROM firefly.step WHERE name = 'compensate' AND status = 'completed'`).count === 1
  );
  env.settler.settle = settle;
  await crash(t, consumerId);

  const { ending, record } = await t.run(() => log.push("called"));
  assertEquals([ending, record.status, log], ["failed", "failed", ["a", "b", "undo b", "undo a"]]);
  assertEquals(record.errors.map(({ message }) => message).filter((text) => text === "sold out").length, 1);
  assertEquals((await recordOf(db, id)).returned, null);
});

Deno.test("a handler that no longer comes by a compensation stops before harm, until a deployment fixes it", async () => {
  await using t = await attempts();
  const log: string[] = [];
  const { consumerId } = await t.begin(saga(log, { undo: (name) => name === "b" ? never() : undefined }));
  await until(() => log.includes("undo b"));
  await crash(t, consumerId);
  const message = async (handler: () => unknown) => {
    const { ending, record } = await t.run(handler);
    assertEquals([ending, record.status], ["snoozed", "created"]);
    return record.errors.at(-1)!.message;
  };
  log.length = 0;

  assertEquals(
    await message(saga(log, { names: ["a", "renamed"] })),
    'Cannot begin step "renamed" of task 1 as its step "b", which has run, was not asked for: ' +
      'renamed steps need aliases: ["b"], other changes a higher version',
  );
  const gone =
    'Cannot compensate step "b" of task 1 as its code did not come by that again: renamed steps need aliases';
  assertEquals(await message(saga(log, { names: ["a"], end: () => "done" })), gone);
  assertEquals(await message(saga(log, { names: ["a"], end: () => Promise.reject(new TypeError("bug")) })), gone);
  assertMatch(
    await message(async () => {
      for (const name of ["a", "b"]) await current().step(name, () => {});
    }),
    /^Cannot compensate steps "a", "b" of task 1/,
  );
  assertEquals(await message(() => "no steps at all"), gone.replace('step "b"', 'steps "a", "b"'));
  assertEquals(log, []);

  const { record } = await t.run(async () => {
    const { step } = current();
    await step("a", () => {}, () => void log.push("undo a"));
    await step({ name: "new", aliases: ["b"] }, () => {}, () => void log.push("undo new"));
  });
  assertEquals([record.status, log], ["failed", ["undo new", "undo a"]]);
});

Deno.test("a last attempt that fails before its steps compensates them in one more, which asks for them", async () => {
  await using t = await attempts();
  const log: string[] = [];
  await t.run(saga(log, { end: () => Promise.reject(new Error("not yet")) }));
  assertEquals(log, ["a", "b"]);

  const early = await t.run(() => Promise.reject(new Fail("no connection")));
  assertEquals([early.ending, early.record.status, log.length], ["returned", "created", 2]);
  const late = await t.run(saga(log, { end: () => "done" }));

  assertEquals([late.ending, log], ["failed", ["a", "b", "undo b", "undo a"]]);
  assertEquals(late.record.errors.at(-1)!.message, "no connection");
});

Deno.test("a task whose last attempt times out compensates its steps in one more, a step that was being stored as well", async () => {
  await using t = await attempts();
  const log: string[] = [];
  const first = await t.run(saga(log, { end: never }), { timeout: 0.2, maxRetries: 0 });
  assertEquals([first.ending, first.record.status], ["retried", "created"]); // it has nine retries
  await t.test.db.sql`UPDATE firefly.task SET max_retries = 0`;

  const last = await t.run(saga(log, { end: never }), { timeout: 0.2 });
  assertEquals([last.ending, last.record.status, log], ["returned", "created", ["a", "b"]]);
  const { ending, record } = await t.run(saga(log, { end: never }), { timeout: 5 });
  assertEquals([ending, log], ["failed", ["a", "b", "undo b", "undo a"]]);
  assertEquals(record.errors.at(-1)!.name, "TimeoutError");
});

Deno.test("a compensation is tried again as its step is, the attempt is suspended meanwhile, and no waiting step runs", async () => {
  await using t = await testInstance();
  const log: string[] = [];
  const retried = { maxRetries: 2, retryDelay: 0.05 };
  const booking = task({ name: taskName() }, async () => {
    const { step } = current();
    const other = async () => {
      await step({ name: "other", ...retried, maxRetries: 9 }, () => {
        log.push("other");
        throw new Error("not yet");
      });
    };
    const main = async () => {
      await Promise.resolve(); // the other one is asked for first; during a timer the attempt would be suspended
      await step({ name: "a", ...retried }, () => "a", () => {
        log.push("undo a");
        if (log.filter((line) => line === "undo a").length < 3) throw new Error("refund refused");
      });
      await step.sleep(0.01);
      throw new RangeError("sold out");
    };
    await Promise.all([other(), main()]);
  });
  const record = await t.ff.run(() => booking.schedule());
  const consumer = t.ff.consume({ tasks: [booking] });
  await until(async () => (await record.refresh()).status === "failed");
  await consumer.stop();

  assertEquals(log.slice(log.indexOf("undo a")), ["undo a", "undo a", "undo a"]);
  const { errors, attempt } = await record.refresh();
  assertEquals([errors.map(({ message }) => message), attempt], [["sold out"], 1]);
  const undone = (await record.steps()).find(({ name }) => name === "compensate a")!;
  assertEquals([undone.status, undone.failures], ["completed", 2]);
});

Deno.test("a compensation without retries of its own takes those of the task, and fails after them", async () => {
  await using t = await testInstance();
  const calls: number[] = [];
  const booking = task({ name: taskName(), maxRetries: 1, retryDelay: 0.01 }, async () => {
    await current().step("a", () => {}, () => {
      calls.push(current().attempt);
      throw new Error("refund refused");
    });
    throw new Fail("sold out");
  });
  const record = await t.ff.run(() => booking.schedule());
  const consumer = t.ff.consume({ tasks: [booking] });
  await until(async () => (await record.refresh()).status === "failed");
  await consumer.stop();

  assertEquals(calls, [1, 1]);
  assertEquals((await record.refresh()).errors.map(({ message }) => message), [
    "sold out",
    'Cannot compensate step "a": refund refused',
  ]);
});
