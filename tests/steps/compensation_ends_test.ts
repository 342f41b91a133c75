import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { current, Fail, FireflyError, task, TaskCancelled } from "../../mod.ts";
import { taskName, type TestInstance, testInstance } from "../support/instance.ts";
import { gate } from "../support/step_gate.ts";
import { until } from "../support/waiting.ts";

/** A task with the steps a and b, which fails; `undo` is called with the names of the steps that it compensates. */
function failing(undo: (name: string) => unknown, { end = new Fail("sold out") as Error, ...options } = {}) {
  return task({ name: taskName(), maxRetries: 0, ...options }, async (_?: unknown) => {
    for (const name of ["a", "b"]) await current().step(name, () => name, undo);
    throw end;
  });
}

const schedule = async (t: TestInstance, booking: ReturnType<typeof failing>) =>
  await t.ff.run(() => booking.schedule());

Deno.test("cancel() compensates nothing, and stops a compensation; retry() goes on with it", async () => {
  await using t = await testInstance();
  const log: string[] = [];
  const [running, undoing] = [gate(), gate()];
  const open = task(taskName(), async () => {
    await current().step("a", () => 1, () => void log.push("undo"));
    await running.wait();
  });
  const aborted = Promise.withResolvers<unknown>();
  const booking = failing(async (name) => {
    log.push(name);
    if (name === "b" || log.filter((each) => each === "a").length > 1) return;
    const { signal } = current();
    signal.addEventListener("abort", () => aborted.resolve(signal.reason));
    await undoing.wait();
  });
  const [first, second] = await t.ff.run(async () => [await open.schedule(), await booking.schedule()] as const);
  const consumer = t.ff.consume({ tasks: [open, booking] });
  await Promise.all([running.reached, undoing.reached]);

  await first.cancel();
  await second.cancel();
  assert(await aborted.promise instanceof TaskCancelled);
  running.open();
  undoing.open();
  await until(async () => (await t.db.sql`SELECT FROM firefly.claim_batch`).count === 0);
  assertEquals(log, ["b", "a"]);
  assertEquals((await second.refresh()).status, "cancelled");

  await second.retry();
  await until(async () => (await second.refresh()).status === "failed");
  assertEquals(log, ["b", "a", "a"]);
  assertEquals((await second.refresh()).error?.message, "sold out");
  await consumer.stop();
});

Deno.test("retry() of a task that has compensated is refused, as its steps cannot run again under their keys", async () => {
  await using t = await testInstance();
  const booking = failing(() => {});
  const record = await schedule(t, booking);
  await t.drain({ tasks: [booking] });
  const { id } = record;

  await assertRejects(
    () => record.retry(),
    FireflyError,
    `Cannot retry task ${id} as it has compensated its steps: fork it`,
  );
  const left: unknown[] = [];
  assertEquals(await t.ff.tasks.retry({ status: "failed" }, { onLeft: (each) => left.push(...each) }), 0);
  assertEquals(left, [{ id, reason: "compensated" }]);
  assertEquals((await t.db.sql`SELECT firefly.retry(${id}) AS done`)[0]!.done, false);
  const { reasons } = await t.ff.tasks.explain(id);
  assertEquals(reasons.map(({ reason }) => reason), ["ended", "compensated"]);
  assertEquals(reasons[1]!.message, "It cannot be retried as it has compensated its steps: fork it");
});

Deno.test("retry() of a task whose compensations have failed makes those, and no others", async () => {
  await using t = await testInstance();
  const log: string[] = [];
  const booking = failing((name) => {
    log.push(name);
    if (name === "b" && log.length < 3) throw new Error("refund refused");
  });
  const record = await schedule(t, booking);
  await t.drain({ tasks: [booking] });
  assertEquals((await record.refresh()).error?.message, 'Cannot compensate step "b": refund refused');

  await record.retry();
  await t.drain({ tasks: [booking] });

  assertEquals(log, ["b", "a", "b"]);
  const { status, error } = await record.refresh();
  assertEquals([status, error?.message], ["failed", "sold out"]);
  await assertRejects(() => record.retry(), FireflyError, "it has compensated its steps");
});

Deno.test("fork() of a task that has compensated begins before the first step that was compensated", async () => {
  await using t = await testInstance();
  const log: string[] = [];
  let isSoldOut = true;
  const booking = task({ name: taskName() }, async () => {
    const { step } = current();
    const run = (name: string, undo?: () => void) => step(name, () => void log.push(name), undo);
    await run("quote");
    await run("flight", () => void log.push("undo flight"));
    await run("mail");
    await run("hotel", () => void log.push("undo hotel"));
    if (isSoldOut) throw new Fail("sold out");
  });
  const record = await t.ff.run(() => booking.schedule());
  await t.drain({ tasks: [booking] });
  log.length = 0;
  isSoldOut = false;

  await assertRejects(
    () => record.fork({ from: "hotel" }),
    FireflyError,
    `Cannot fork task ${record.id} from step "hotel" as its step "flight", before that, was compensated: fork it from there`,
  );
  await assertRejects(() => record.fork({ from: "compensate flight" }), FireflyError, "it has no step");
  const fork = await record.fork();
  await t.drain({ tasks: [booking] });
  assertEquals([(await fork.refresh()).status, log], ["completed", ["flight", "mail", "hotel"]]);
  assertEquals((await record.fork({ from: "flight" })).forkedFrom, record.id);
});

Deno.test("a fork compensates the steps that it was given, if it fails", async () => {
  await using t = await testInstance();
  const log: string[] = [];
  const booking = task({ name: taskName() }, async () => {
    const { step, id } = current();
    await step("flight", () => void log.push(`flight ${id}`), () => void log.push(`undo flight ${id}`));
    if (id > 1) throw new Fail("sold out");
  });
  const record = await t.ff.run(() => booking.schedule());
  await t.drain({ tasks: [booking] });
  await record.fork();
  await t.drain({ tasks: [booking] });

  assertEquals(log, ["flight 1", "undo flight 2"]);
});

Deno.test("a shutdown hands a task back that compensates, and the next consumer goes on", async () => {
  await using t = await testInstance();
  const log: string[] = [];
  const undoing = gate();
  const booking = failing(async (name) => {
    log.push(name);
    if (name === "a" && log.filter((each) => each === "a").length === 1) await undoing.wait();
  });
  const record = await schedule(t, booking);
  const first = t.ff.consume({ tasks: [booking], shutdownTimeout: 0.1 });
  await undoing.reached;
  await first.stop();
  const { status, attempt } = await record.refresh();
  assertEquals([status, attempt], ["created", 1]);

  await t.drain({ tasks: [booking] });
  assertEquals([log, (await record.refresh()).status], [["b", "a", "a"], "failed"]);
});

Deno.test("until its compensations have ended, a task keeps its unique key, its dependants wait, and explain() says so", async () => {
  await using t = await testInstance();
  const undoing = gate();
  const booking = failing(async (name) => {
    if (name === "a") await undoing.wait();
  }, { unique: true } as never);
  const after = task(taskName(), () => {});
  const { record, dependant } = await t.ff.run(async () => {
    const record = await booking.schedule();
    return { record, dependant: await after.with({ after: [record] }).schedule() };
  });
  const consumer = t.ff.consume({ tasks: [booking, after] });
  await undoing.reached;

  assertEquals((await t.ff.run(() => booking.schedule())).id, record.id);
  assertEquals((await dependant.refresh()).state, "dependent");
  const { status, reasons } = await t.ff.tasks.explain(record.id);
  assertEquals([status, reasons.map(({ reason }) => reason)], ["running", ["running", "compensating"]]);
  const [, compensating] = reasons;
  assert(compensating?.reason === "compensating");
  assertMatch(compensating.message, /^It compensates its steps since .*, after Fail: sold out$/);
  assertEquals(compensating.error, { name: "Fail", message: "sold out", attempt: 1 });
  assert(compensating.since instanceof Date);
  undoing.open();

  await until(async () => (await dependant.refresh()).status === "cancelled");
  assertEquals((await record.refresh()).status, "failed");
  assert((await t.ff.run(() => booking.schedule())).id > record.id);
  await consumer.stop();
});

Deno.test("a step may not be named as a compensation is, and what compensates it must be a function", async () => {
  const { step } = directContext();
  await assertRejects(() => step("compensate", () => {}), TypeError, 'must not begin with "compensate"');
  await assertRejects(() => step("compensate charge", () => {}), TypeError, "compensations are called so");
  await assertRejects(() => step({ name: "a", aliases: ["compensate b"] }, () => {}), TypeError);
  await assertRejects(() => step("a", () => {}, 7 as never), TypeError, "third argument");
  await step("compensated", () => {});
  let undone = false;
  await step("a", () => 1, () => undone = true); // a direct call compensates nothing
  assertEquals(undone, false);
});

/** The context of a handler that is called directly. */
function directContext() {
  let context: ReturnType<typeof current> | undefined;
  task(taskName(), () => void (context = current()))();
  return context!;
}

Deno.test("the event of a task that has compensated has the error for which it fails", async () => {
  await using t = await testInstance();
  const events: string[] = [];
  t.ff.events.on("failed", ({ error }) => events.push(`failed ${(error as Error).message}`));
  t.ff.events.on("retried", () => events.push("retried"));
  const booking = failing(() => {});
  await schedule(t, booking);
  await t.drain({ tasks: [booking] });
  await until(() => events.length > 0);

  assertEquals(events, ["failed sold out"]);
});
