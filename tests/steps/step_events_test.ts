import { assert, assertEquals } from "@std/assert";
import { current, type Events, type Firefly, task } from "../../mod.ts";
import { taskName, testInstance } from "../support/instance.ts";

const STEP_EVENTS = ["step.completed", "step.failed"] as const;

/** The steps that an instance reports, in their order. */
function hearSteps(ff: Firefly) {
  const heard: { event: string; detail: Events["step.completed"] & { readonly error?: unknown } }[] = [];
  for (const event of STEP_EVENTS) ff.on(event, (detail) => heard.push({ event, detail }));
  return heard;
}

Deno.test("step.completed and step.failed report each run of a step's function, and no result that is given back", async () => {
  await using t = await testInstance();
  const heard = hearSteps(t.ff);
  const work = task({ name: taskName(), maxRetries: 1, retryDelay: 0 }, async () => {
    const { step, attempt } = current();
    await step("charge", () => new Promise((resolve) => setTimeout(resolve, 20)));
    for (const key of ["a", "b"]) await step({ name: "print", key }, () => current().sql`SELECT 1`);
    await step("book", () => {
      if (attempt === 1) throw new TypeError("full");
    });
  });
  const record = await t.ff.run(() => work.schedule());

  await t.drain({ tasks: [work] });

  assertEquals(heard.map(({ event, detail: { step, key, attempt } }) => [event, step, key, attempt]), [
    ["step.completed", "charge", "", 1],
    ["step.completed", "print", "a", 1],
    ["step.completed", "print", "b", 1],
    ["step.failed", "book", "", 1],
    ["step.completed", "book", "", 2],
  ]);
  const { seconds, ...first } = heard[0]!.detail;
  const { funcName } = work;
  assertEquals(first, { id: record.id, funcName, queue: "default", attempt: 1, step: "charge", key: "", kind: "step" });
  assert(seconds >= 0.015 && seconds < 60, `${seconds} s`);
  assertEquals((heard[3]!.detail.error as Error).message, "full");
});

Deno.test("a step whose attempt is cancelled while it runs reports nothing", async () => {
  await using t = await testInstance();
  const heard = hearSteps(t.ff);
  const begun = Promise.withResolvers<void>();
  const work = task(taskName(), async () => {
    await current().step("wait", ({ signal }) => {
      begun.resolve();
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    });
  });
  const cancelled = new Promise((resolve) => t.ff.on("cancelled", resolve));
  const record = await t.ff.run(() => work.schedule());
  await using _consumer = t.ff.consume({ tasks: [work] });
  await begun.promise;

  await record.cancel();
  await cancelled;

  assertEquals(heard, []);
});

Deno.test("current().log carries the name of the step that logs, for listeners, the logger and kept lines", async () => {
  const lines: Record<string, unknown>[] = [];
  const logger = {
    getChild: () => logger,
    debug() {},
    info: (message: string, properties?: Record<string, unknown>) => lines.push({ message, ...properties }),
    warn() {},
    error() {},
  };
  await using t = await testInstance({ logger, defaults: { keepLogs: true } });
  const heard: unknown[] = [];
  t.ff.on("log", ({ message, step }) => heard.push([message, step]));
  const work = task(taskName(), async () => {
    const { step, log } = current();
    log.info("before", { step: "the handler's own" });
    await step("charge", () => {
      current().log.info("in it");
      log.info("by the handler's log");
    });
    log.info("after");
  });
  const record = await t.ff.run(() => work.schedule());

  await t.drain({ tasks: [work] });

  assertEquals(heard, [["before", null], ["in it", "charge"], ["by the handler's log", "charge"], ["after", null]]);
  const kept = await t.ff.tasks.log(record.id);
  assertEquals(kept.map(({ message, step }) => [message, step]), heard);
  const logged = lines.filter(({ message }) => kept.some((line) => line.message === message));
  assertEquals(logged.map(({ step }) => step), ["the handler's own", "charge", "charge", undefined]);
});
