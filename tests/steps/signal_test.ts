import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { current, signal, task, tasks, transaction, ValidationFailed } from "../../mod.ts";
import { testFirefly } from "../../testing.ts";
import { taskName } from "../support/instance.ts";

const approved = signal<{ by: string }>("approved");

Deno.test("step.waitFor() suspends until the signal comes, and gives its payload", async () => {
  let calls = 0;
  const order = task(taskName(), async () => {
    calls++;
    return (await current().step.waitFor(approved)).by;
  });
  await using ff = await testFirefly({ tasks: [order] });
  const record = await order.schedule();
  await ff.drain();
  const [wait] = await record.steps();
  assertEquals([(await record.refresh()).state, wait!.name, wait!.kind, wait!.due], [
    "suspended",
    "approved",
    "signal",
    null,
  ]);
  await ff.travel("1d");
  await ff.drain();
  assertEquals(calls, 1);

  assertEquals(await approved.send(record.id, { by: "Ada" }), true);
  await ff.drain();

  assertEquals([await record.result(), calls], ["Ada", 2]);
  assertEquals(await approved.send(record.id, { by: "Bob" }), false);
  assertEquals(await approved.send(1_000_000, { by: "Bob" }), false);
  assertEquals((await ff.sql`select from firefly.signal`).length, 0);
  assertEquals((await record.steps())[0]!.returned, { by: "Ada" });
});

Deno.test("signals that were sent before are there, in their order, each once; those left over go with the task", async () => {
  const word = signal<string>("word");
  const stop = signal("stop");
  const listener = task({ name: taskName(), maxRetries: 5, retryDelay: 0 }, async () => {
    const { step, attempt } = current();
    const words: string[] = [];
    await step("begin", () => {});
    for (let i = 0; i < 3; i++) words.push(await step.waitFor(word));
    await step("between", () => {});
    if (attempt === 1) throw new Error("not yet");
    const none: void = await step.waitFor(stop);
    return [words, none];
  });
  await using ff = await testFirefly({ tasks: [listener] });
  const suspended: unknown[] = [];
  ff.firefly.on("suspended", ({ signals, until, tasks }) => suspended.push({ signals, until, tasks }));
  const record = await listener.schedule();
  for (const text of ["a", "b", "c", "d"]) await word.send(record.id, text);
  await stop.send(record.id);

  await ff.drain({ throwOnFailure: false });

  assertEquals(await record.result(), [["a", "b", "c"], undefined]);
  // A first attempt reads no signals: it suspends, and goes on at once.
  assertEquals(suspended, [{ signals: ["word"], until: null, tasks: [] }]);
  assertEquals((await ff.sql`select name from firefly.signal`).map(({ name }) => name), ["word"]);
  await record.delete();
  assertEquals((await ff.sql`select from firefly.signal`).length, 0);
});

Deno.test("step.waitFor() throws a TimeoutError when its time is over, caught for all later attempts", async () => {
  const seen: unknown[] = [];
  const order = task(taskName(), async () => {
    const { step } = current();
    try {
      await step.waitFor(approved, { timeout: "7d" });
    } catch (error) {
      const { name, message } = error as DOMException;
      seen.push([name, error instanceof DOMException, message.replace(/until .*/, "")]);
    }
    await step("remind", () => {});
    return (await step.waitFor(approved, { timeout: "7d" })).by;
  });
  await using ff = await testFirefly({ tasks: [order] });
  const record = await order.schedule();

  await ff.drain({ until: "8d" });
  await approved.send(record.id, { by: "Ada" }); // in time for the second wait
  await ff.drain();

  const timeout = ["TimeoutError", true, 'The signal "approved" was not sent in time: the handler waited for it '];
  assertEquals([seen, await record.result()], [[timeout, timeout], "Ada"]);
  assertEquals((await record.steps()).map(({ name, key, status }) => [name, key, status]), [
    ["approved", "", "failed"],
    ["remind", "", "completed"],
    ["approved", "2", "completed"],
  ]);
});

Deno.test("a signal that was sent before the deadline wins, however late the handler sees it; a later one does not", async () => {
  const order = task(taskName(), async () => {
    const { step } = current();
    const first = await step.waitFor(approved, { timeout: "1h" }).then(({ by }) => by, (error) => error.name);
    const second = await step.waitFor(approved).then(({ by }) => by);
    return [first, second];
  });
  await using ff = await testFirefly({ tasks: [order] });
  const [early, late] = await order.scheduleMany([[], []]);
  await ff.drain();
  await ff.travel("59m");
  await approved.send(early!.id, { by: "in time" });
  await ff.travel("10m"); // the consumer is away
  await approved.send(early!.id, { by: "second" });
  await approved.send(late!.id, { by: "too late" });
  await ff.drain();

  assertEquals([await early!.result(), await late!.result()], [["in time", "second"], ["TimeoutError", "too late"]]);
});

Deno.test("a race of a signal and a sleep has one winner, and the loser ends with the task", async () => {
  const order = task(taskName(), async () => {
    const { step } = current();
    const winner = await Promise.race([
      step.waitFor(approved).then(({ by }) => by),
      step.sleep("patience", "1d").then(() => "nobody"),
    ]);
    return await step("end", () => winner);
  });
  await using ff = await testFirefly({ tasks: [order] });
  const [won, lost] = await order.scheduleMany([[], []]);
  await ff.drain();
  await approved.send(won!.id, { by: "Ada" });
  await ff.drain({ until: "2d" });

  assertEquals([await won!.result(), await lost!.result()], ["Ada", "nobody"]);
  assertEquals((await won!.steps()).map(({ name, status }) => [name, status]), [
    ["approved", "completed"],
    ["end", "completed"],
    ["patience", "waiting"],
  ]);
});

Deno.test("signals are sent by unique key, by a record, by tasks, and in a transaction or a step, or not at all", async () => {
  const order = task({ name: taskName(), unique: { key: (id: number) => `order ${id}` } }, async (_: number) => {
    const { step } = current();
    const all: string[] = [];
    for (let i = 0; i < 5; i++) all.push((await step.waitFor(approved)).by);
    return all;
  });
  const sender = task({ name: taskName(), maxRetries: 1, retryDelay: 0 }, async (id: number) => {
    await current().step("send", async () => {
      await approved.send(id, { by: `step ${current().attempt}` });
      if (current().attempt === 1) throw new Error("not yet");
    });
  });
  await using ff = await testFirefly({ tasks: [order, sender] });
  const record = await order.schedule(7);
  await ff.drain();

  assertEquals(await order.signal("order 7", approved, { by: "key" }), true);
  assertEquals(await order.signal("order 8", approved, { by: "key" }), false);
  assertEquals(await record.signal(approved, { by: "record" }), true);
  assertEquals(await tasks.signal(record.id, approved, { by: "tasks" }), true);
  await assertRejects(() =>
    transaction(async () => {
      await approved.send(record.id, { by: "nobody" });
      throw new Error("changed my mind");
    })
  );
  await transaction(async () => void await approved.send(record.id, { by: "transaction" }));
  await sender.schedule(record.id);
  await ff.drain({ throwOnFailure: false });

  assertEquals(await record.result(), ["key", "record", "tasks", "transaction", "step 2"]);
});

Deno.test("signal() checks its name, and the payload by its schema where it is sent, which may convert it", async () => {
  assertThrows(() => signal(""), TypeError, "a signal's name must be 1 to 200 characters");
  assertThrows(() => signal({ name: "x", inptu: 1 } as never), TypeError, 'did you mean "input"');
  assertThrows(() => signal({ name: "x", input: {} as never }), TypeError, "Standard Schema");
  const counted = signal({
    name: "counted",
    input: {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: (value: unknown) =>
          Number.isInteger(Number(value)) ? { value: Number(value) } : { issues: [{ message: "no number" }] },
      },
    },
  });
  const order = task(taskName(), async () => await current().step.waitFor(counted) + 1);
  await using ff = await testFirefly({ tasks: [order] });
  const record = await order.schedule();

  await assertRejects(
    () => counted.send(record.id, "many" as never),
    ValidationFailed,
    'Cannot send signal "counted" as its payload is not valid: no number',
  );
  assertEquals(await counted.send(record.id, "41" as never), true);
  await ff.drain();

  assertEquals(await record.result(), 42);
});
