import { task } from "@firefly/tasks";
import { type TestFirefly, testFirefly } from "@firefly/tasks/testing";
import assert from "node:assert/strict";

const remind = task({ name: "remind", maxRetries: 1, retryDelay: "10m" }, (name: string) => {
  if (name === "") throw new Error("nobody to remind");
  return `Hello, ${name}!`;
});
const report = task({ name: "report", cron: "0 * * * *" }, () => "reported");

/** Runs `test` with an instance of its own. Node has `await using` from 24 on. */
async function withKit(test: (ff: TestFirefly) => Promise<void>): Promise<void> {
  const ff = await testFirefly({ now: new Date("2030-05-01T08:59:00Z") });
  try {
    await test(ff);
  } finally {
    await ff.close();
  }
}

/** The tests that each runner runs: their names, and what they do. */
export const TESTS: Record<string, () => Promise<void>> = {
  "schedules, travels and drains": () =>
    withKit(async (ff) => {
      const reminder = await remind.with({ delay: "2h", tags: ["vip"] }).schedule("Ada");
      await ff.assertScheduled(remind, { args: ["Ada"], in: "2h", tags: ["vip"] });
      assert.equal((await ff.drain()).completed, 0);
      await ff.travel("2h");
      await ff.assertScheduled(report, { count: 2 });
      assert.equal((await ff.drain()).completed, 3);
      assert.equal(await reminder.result(), "Hello, Ada!");
      await ff.assertNotScheduled(remind);
    }),
  "throws what a handler throws": () =>
    withKit(async (ff) => {
      await remind.schedule("");
      await assert.rejects(() => ff.drain({ until: "1h" }), /nobody to remind/);
    }),
  "runs a consumer, and awaits a result": () =>
    withKit(async (ff) => {
      const consumer = ff.firefly.consume({ tasks: [remind] });
      await consumer.ready;
      const reminder = await remind.with({ delay: "1d" }).schedule("Ben");
      const result = reminder.result({ timeout: "20s" });
      await ff.travel("1d");
      assert.equal(await result, "Hello, Ben!");
      await consumer.stop();
    }),
};

/** A test that fails, with a message that says what is wrong. */
export const FAILING = () =>
  withKit(async (ff) => {
    await remind.schedule("Ada");
    await ff.assertScheduled(remind, { args: ["Ben"] });
  });
