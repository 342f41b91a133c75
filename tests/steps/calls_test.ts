import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { current, Fail, Firefly, signal, task, TaskFailed } from "../../mod.ts";
import { testFirefly } from "../../testing.ts";
import { OLD, ROTATED } from "../support/encryption.ts";
import { taskName, testInstance } from "../support/instance.ts";

Deno.test("step.call() schedules a task once, waits for it without a slot, and gives its result", async () => {
  const calls: string[] = [];
  const print = task(taskName(), (label: string, when: Date) => (calls.push(label), { label, when, big: 1n }));
  const order = task({ name: taskName(), maxRetries: 1, retryDelay: 0 }, async () => {
    const { step, attempt } = current();
    calls.push(`handler ${attempt}`);
    const printed = await step.call(print, "a", new Date(0));
    await step("after", () => {});
    if (attempt === 1) throw new Error("not yet");
    return [printed.label, printed.when, printed.big];
  });
  await using ff = await testFirefly({ tasks: [order, print] });
  const suspended: (readonly number[])[] = [];
  ff.firefly.on("suspended", ({ tasks }) => suspended.push(tasks));
  const record = await order.schedule();
  await ff.drain({ concurrency: 1, throwOnFailure: false });

  assertEquals(await record.result(), ["a", new Date(0), 1n]);
  assertEquals(calls, ["handler 1", "a", "handler 1", "handler 2"]);
  const [callee] = (await print.list()).items;
  assertEquals(suspended, [[callee!.id]]);
  const [call] = await record.steps();
  assertEquals([call!.name, call!.kind, call!.callees, call!.returned], [
    print.funcName,
    "call",
    [callee!.id],
    { label: "a", when: new Date(0), big: 1n },
  ]);
});

Deno.test("step.callMany() waits for all at once, in their order, and wakes its handler once", async () => {
  let handlers = 0;
  const double = task(taskName(), (n: number) => 2 * n);
  const sum = task(taskName(), async () => {
    handlers++;
    const { step } = current();
    const none = await step.callMany(double, []);
    const doubled = await step.callMany(double.with({ priority: 5 }), [[1], [2], [1], [3]]);
    return [none, doubled];
  });
  await using ff = await testFirefly({ tasks: [sum, double] });
  const record = await sum.schedule();
  await ff.drain({ concurrency: 1 });

  assertEquals([await record.result(), handlers], [[[], [2, 4, 2, 6]], 2]);
  const callees = (await double.list()).items;
  assertEquals(callees.map(({ priority }) => priority), [5, 5, 5, 5]);
  const [call] = await record.steps();
  assertEquals(call!.callees, callees.map(({ id }) => id).toSorted((a, b) => a - b));
});

Deno.test("calls are told apart by task and arguments, in parallel and in loops; equal ones are numbered", async () => {
  let ran = 0;
  const echo = task(taskName(), (text: string, _options?: object) => `${text} ${++ran}`);
  const caller = task(taskName(), async () => {
    const { step } = current();
    const all = await Promise.all([
      step.call(echo, "b"),
      step.call(echo, "a", { x: 1, y: 2 }),
      step.call(echo, "b"),
      step.callMany(echo, [["b"]]),
    ]);
    const again = [];
    for (let i = 0; i < 2; i++) again.push(await step.call(echo, "a", { y: 2, x: 1 }));
    return [...all.flat(), ...again].map((text) => text[0]).join("");
  });
  await using ff = await testFirefly({ tasks: [caller, echo] });
  const record = await caller.schedule();
  await ff.drain();

  assertEquals([await record.result(), ran], ["babbaa", 6]);
  const keys = (await record.steps()).map(({ key }) => key.replace(/[0-9a-f]{64}/, "…"));
  assertEquals(keys.toSorted(), ["many:…", "…", "…", "…#2", "…#2", "…#3"]);
});

Deno.test("a called task that fails throws TaskFailed where it is awaited, caught for all later attempts", async () => {
  const seen: unknown[] = [];
  const bad = task(taskName(), () => {
    throw new Fail("out of paper");
  });
  const order = task(taskName(), async () => {
    const { step } = current();
    try {
      await step.call(bad);
    } catch (error) {
      assertInstanceOf(error, TaskFailed);
      seen.push([error.task.funcName, error.task.status, error.message.replace(/\d+/, "N")]);
    }
    await step("after", () => {});
    await step.sleep("1h");
    return "went on";
  });
  await using ff = await testFirefly({ tasks: [order, bad] });
  const record = await order.schedule();
  await ff.drain({ until: "2h", throwOnFailure: false });

  assertEquals(await record.result(), "went on");
  const failure = [bad.funcName, "failed", `Task N "${bad.funcName}" failed: out of paper`];
  assertEquals(seen, [failure, failure, failure].slice(0, seen.length));
  assert(seen.length >= 2);
  assertEquals((await record.steps()).map(({ kind, status }) => `${kind} ${status}`), [
    "call failed",
    "step completed",
    "sleep completed",
  ]);
});

Deno.test("step.callMany() throws the first failure once all have ended; a deleted task has failed", async () => {
  const flaky = task(taskName(), (n: number) => {
    if (n > 1) throw new Fail(`no ${n}`);
    return n;
  });
  const caller = task(taskName(), async () => {
    const { step } = current();
    return await step.callMany(flaky, [[1], [2], [3]]).catch((error) => error.message);
  });
  await using ff = await testFirefly({ tasks: [caller, flaky] });
  const record = await caller.schedule();
  await ff.drain({ throwOnFailure: false });
  assertEquals((await record.result() as string).replace(/\d+/, "N"), `Task N "${flaky.funcName}" failed: no 2`);

  const later = task(taskName(), () => {});
  const other = task(taskName(), async () => {
    return await current().step.call(later.with({ delay: "1h" })).catch((error) => error.name);
  });
  await using gg = await testFirefly({ tasks: [other, later] });
  const waiting = await other.schedule();
  await gg.drain();
  await (await later.list()).items[0]!.delete();
  await gg.drain();
  assertEquals(await waiting.result(), "TaskNotFound");
});

Deno.test("retry() of a caller goes on where its callee failed: the callee is tried again", async () => {
  let isFixed = false;
  const leaf = task(taskName(), () => {
    if (!isFixed) throw new Fail("broken");
    return "leaf";
  });
  const calls: string[] = [];
  const caller = task(taskName(), async () => {
    const { step } = current();
    await step("before", () => void calls.push("before"));
    return await step.call(leaf);
  });
  await using ff = await testFirefly({ tasks: [caller, leaf] });
  const record = await caller.schedule();
  await ff.drain({ throwOnFailure: false });
  assertEquals((await record.refresh()).status, "failed");

  isFixed = true;
  await record.retry();
  await ff.drain();

  assertEquals([await record.result(), calls], ["leaf", ["before"]]);
  assertEquals((await leaf.list()).items.length, 1);
});

Deno.test("a caller waits for a callee that was retried after it was told that it had failed, and is not kept busy", async () => {
  const leaf = task(taskName(), () => "leaf");
  const other = task(taskName(), () => "other");
  const caller = task(taskName(), async () => {
    const { step } = current();
    return await Promise.all([step.call(leaf), step.sleep("1h").then(() => "slept"), step.call(other)]);
  });
  await using ff = await testFirefly({ tasks: [caller, other] });
  let suspended = 0;
  ff.firefly.on("suspended", () => suspended++);
  const record = await caller.schedule();
  await ff.drain();
  const [callee] = (await leaf.list()).items;
  // It fails, is told, and is retried before its caller has looked.
  await ff.sql`
    UPDATE firefly.dependency SET status = 'failed' WHERE dependency_id = ${callee!.id} AND task_id = ${record.id}
  `;
  await ff.drain({ until: "2h" });
  assertEquals([(await record.refresh()).state, suspended < 5], ["suspended", true]);
  await ff.firefly.consume({ drain: true, tasks: [leaf] }).finished;
  await ff.drain({ until: "1m" });

  assertEquals(await record.result({ timeout: "20s" }), ["leaf", "slept", "other"]);
});

Deno.test("called tasks are cancelled when their caller ends without them", async () => {
  const slow = task(taskName(), () => "slow");
  const caller = task(taskName(), async () => {
    const { step } = current();
    return await Promise.race([step.call(slow.with({ delay: "1d" })), step.sleep("1h").then(() => "gave up")]);
  });
  await using ff = await testFirefly({ tasks: [caller, slow] });
  const [first, second] = await caller.scheduleMany([[], []]);
  await ff.drain();
  await second!.cancel();
  await ff.drain({ until: "2h" });

  assertEquals([await first!.result(), (await second!.refresh()).status], ["gave up", "cancelled"]);
  assertEquals((await slow.list()).items.map(({ status }) => status), ["cancelled", "cancelled"]);
});

Deno.test("step.call() refuses what is no task, options with tx, and arguments that are not valid", async () => {
  const other = task(taskName(), (_: number) => {});
  const messages: string[] = [];
  const caller = task(taskName(), async () => {
    const { step } = current();
    const note = (error: Error) => void messages.push(error.message);
    await step.call((() => {}) as never).catch(note);
    await step.call(other.with({ tx: {} as never }), 1).catch(note);
    await step.call(other, (() => {}) as never).catch(note);
  });
  await using ff = await testFirefly({ tasks: [caller, other] });
  const record = await caller.schedule();
  await ff.drain();

  await record.result();
  assertEquals(messages.slice(0, 2), [
    "Cannot call a task as this is none: pass a task, or what its with() returns",
    `Cannot call task "${other.funcName}" with "tx": it is scheduled by the statement that stores the wait`,
  ]);
  assertEquals(messages.length, 3);
});

Deno.test("results of calls and payloads are encrypted", async () => {
  const secret = task(taskName(), (text: string) => `${text}!`);
  const word = signal<string>("word");
  const caller = task(taskName(), async () => {
    const { step } = current();
    const all = await step.callMany(secret, [["a"], ["b"]]);
    await step("end", () => {});
    return [...all, await step.call(secret, "c"), await step.waitFor(word)];
  });
  await using ff = await testFirefly({ tasks: [caller, secret], encryption: OLD });
  const record = await caller.schedule();
  await word.send(record.id, "d");
  const [sent] = await ff.sql`SELECT payload FROM firefly.signal`;
  await ff.drain();

  assertEquals(await record.result(), ["a!", "b!", "c!", "d"]);
  const stored = await ff.sql`SELECT returned FROM firefly.step WHERE kind IN ('call', 'signal') ORDER BY seq`;
  for (const text of [sent.payload, ...stored.map(({ returned }) => returned)]) {
    assert(atob(text).startsWith('{"$":"Encrypted"'), text);
  }
  assertEquals((await record.steps()).map(({ returned }) => returned), [["a!", "b!"], undefined, "c!", "d"]);
});

Deno.test("what cannot be read for want of a key ends the attempt uncounted, and goes on where there is one", async () => {
  const secret = task({ name: taskName(), queue: "secret" }, () => "c");
  const word = signal<string>("word");
  const caller = task({ name: taskName(), maxRetries: 0 }, async (way: string) => {
    const { step } = current();
    return way === "call" ? await step.call(secret) : await step.waitFor(word);
  });
  await using t = await testInstance({ encryption: OLD });
  await using rotated = new Firefly({ database: t.db.url, encryption: ROTATED });
  const records = await t.ff.run(() => caller.scheduleMany([["call"], ["signal"]]));
  await t.drain({ tasks: [caller] });
  await rotated.run(() => word.send(records[1]!.id, "d"));
  await rotated.consume({ drain: true, queues: "secret", tasks: [secret] }).finished;
  const retried: unknown[] = [];
  t.ff.on("retried", ({ error }) => retried.push((error as Error).name));
  await t.drain({ tasks: [caller] });

  assertEquals(retried, ["DecryptionFailed", "DecryptionFailed"]);
  for (const record of records) {
    const { retryAttempts, status, state } = await record.refresh();
    assertEquals([retryAttempts, status, state], [0, "created", "retrying"]);
    await record.run();
  }
  await rotated.consume({ drain: true, tasks: [caller] }).finished;
  const results = await Promise.all(records.map(async ({ id }) => await (await rotated.tasks.get(id)).result()));
  assertEquals(results, ["c", "d"]);
});
