import { assert, assertEquals, assertRejects } from "@std/assert";
import { current, Fail, type StepInfo, task, TaskFailed } from "../../mod.ts";
import { OLD } from "../support/encryption.ts";
import { taskName, testInstance } from "../support/instance.ts";

/** A trip of which each part can be given back; the car is sold out. */
function trip(log: string[], options: { maxRetries?: number; retryDelay?: number } = {}) {
  return task({ name: taskName(), maxRetries: 0, ...options }, async (name: string) => {
    const { step } = current();
    for (const part of ["flight", "hotel"]) {
      await step(part, () => {
        log.push(part);
        return { part, of: name };
      }, (booked) => void log.push(`give back ${booked.part} of ${booked.of}`));
    }
    await step("mail", () => void log.push("mail"));
    await step("car", () => {
      log.push("car");
      throw new RangeError("sold out");
    }, () => void log.push("give back car"));
  });
}

Deno.test("a task that fails compensates the steps that completed, in reverse, before it ends", async () => {
  await using t = await testInstance();
  const log: string[] = [];
  const booking = trip(log, { maxRetries: 1, retryDelay: 0 });
  const record = await t.ff.run(() => booking.schedule("Ada"));

  await t.drain({ tasks: [booking] });

  const once = ["flight", "hotel", "mail", "car", "car"];
  assertEquals(log, [...once, "give back hotel of Ada", "give back flight of Ada"]);
  const { status, errors, error } = await record.refresh();
  assertEquals([status, errors.map(({ name, attempt }) => `${name} ${attempt}`)], ["failed", [
    "RangeError 1",
    "RangeError 2",
  ]]);
  assertEquals(error?.message, "sold out");
  await assertRejects(() => record.result(), TaskFailed, "sold out");
  const steps = await record.steps();
  assertEquals(steps.map(({ name, kind, status }) => `${name} ${kind} ${status}`), [
    "flight step completed",
    "hotel step completed",
    "mail step completed",
    "car step failed",
    "compensate hotel compensation completed",
    "compensate flight compensation completed",
    "compensate compensation completed",
  ]);
  assertEquals(steps.map(({ seq }) => seq), [1, 2, 3, 4, 5, 6, 7]);
  assertEquals((await t.db.sql`SELECT FROM firefly.failed_task`).count, 1);
});

Deno.test("a task that completes, or has nothing to undo, compensates nothing", async () => {
  await using t = await testInstance();
  const log: string[] = [];
  const done = task(taskName(), async () => {
    await current().step("a", () => 1, () => void log.push("undo a"));
  });
  const early = task(taskName(), async () => {
    await current().step("a", () => Promise.reject(new Error("no")), () => void log.push("undo a"));
  });
  const records = await t.ff.run(async () => [await done.schedule(), await early.schedule()]);

  await t.drain({ tasks: [done, early] });

  const ends = await Promise.all(records.map((record) => record!.refresh()));
  assertEquals([ends.map(({ status }) => status), log], [["completed", "failed"], []]);
  assertEquals((await t.db.sql`SELECT FROM firefly.step WHERE kind = 'compensation'`).count, 0);
});

Deno.test("a compensation commits what it writes with its end, and gets the result, its name, key and idempotency key", async () => {
  await using t = await testInstance({ encryption: OLD });
  await t.db.sql`CREATE TABLE seat (id int)`;
  const infos: StepInfo[] = [];
  const follow = task(taskName(), () => {});
  const booking = task({ name: taskName() }, async () => {
    const { step } = current();
    await step({ name: "seat", key: "7" }, async () => {
      await current().sql`INSERT INTO seat VALUES (7)`;
      return new Date(7);
    }, async (seat, info) => {
      infos.push(info);
      assert(seat instanceof Date);
      await current().sql`DELETE FROM seat WHERE id = ${seat.getTime()}`;
      await follow.schedule();
      await assertRejects(() => current().step("more", () => 1), Error, "Cannot begin step");
    });
    throw new Fail("no more");
  });
  const { id } = await t.ff.run(() => booking.schedule());

  await t.drain({ tasks: [booking, follow] });

  const [info] = infos;
  assertEquals(infos.length, 1);
  assertEquals([info!.name, info!.key, info!.attempt, info!.idempotencyKey], [
    "compensate seat",
    "7",
    1,
    `firefly:${id}:compensate seat:7`,
  ]);
  assertEquals((await t.db.sql`SELECT FROM seat`).count, 0);
  assertEquals((await t.db.sql`SELECT FROM firefly.task WHERE func_name = ${follow.funcName}`).count, 1);
});

Deno.test("a compensation that fails keeps no other from running, and its error stands behind that of the task", async () => {
  await using t = await testInstance();
  const log: string[] = [];
  const undo = (name: string) => () => {
    log.push(name);
    if (name !== "b") return;
    throw Object.assign(new TypeError("refund refused"), { code: "E7" });
  };
  const booking = task({ name: taskName() }, async () => {
    const { step } = current();
    for (const name of ["a", "b", "c"]) await step(name, () => name, undo(name));
    throw new RangeError("sold out");
  });
  const record = await t.ff.run(() => booking.schedule());

  await t.drain({ tasks: [booking] });

  assertEquals(log, ["c", "b", "a"]);
  const { errors, status } = await record.refresh();
  assertEquals([status, errors.map(({ name, message, code }) => [name, message, code])], ["failed", [
    ["RangeError", "sold out", undefined],
    ["TypeError", 'Cannot compensate step "b": refund refused', "E7"],
  ]]);
  assertEquals(errors.map(({ attempt, pid }) => [attempt, pid]), [[1, Deno.pid], [1, Deno.pid]]);
  const steps = await record.steps();
  assertEquals(steps.slice(3).map(({ name, status }) => `${name} ${status}`), [
    "compensate c completed",
    "compensate b failed",
    "compensate a completed",
    "compensate failed",
  ]);
});
