import { assert, assertEquals, assertRejects } from "@std/assert";
import { current, FireflyError, task } from "../../mod.ts";
import { testFirefly } from "../../testing.ts";
import { taskName } from "../support/instance.ts";

Deno.test("step.sleep() suspends the attempt, and the handler goes on when it is due, with what it had done", async () => {
  const calls: string[] = [];
  const order = task(taskName(), async (id: number) => {
    const { step, attempt } = current();
    calls.push(`handler ${attempt}`);
    const charge = await step("charge", () => (calls.push("charge"), `ch_${id}`));
    await step.sleep("2d");
    return await step("ship", () => `${charge} shipped in attempt ${attempt}`);
  });
  await using ff = await testFirefly({ tasks: [order] });
  const record = await order.schedule(7);

  assertEquals(await ff.drain(), { completed: 0, failed: 0, retried: 0, cancelled: 0 });
  const suspended = await record.refresh();
  const steps = await record.steps();
  await ff.travel("47h");
  await ff.drain();
  assertEquals(calls, ["handler 1", "charge"]);
  await ff.travel("1h");
  const counts = await ff.drain();

  assertEquals(counts, { completed: 1, failed: 0, retried: 0, cancelled: 0 });
  assertEquals([suspended.state, suspended.attempt], ["suspended", 1]);
  assertEquals(steps.map(({ name, kind, status, ended }) => [name, kind, status, ended === null]), [
    ["charge", "step", "completed", false],
    ["sleep", "sleep", "waiting", true],
  ]);
  assertEquals(calls, ["handler 1", "charge", "handler 1"]);
  assertEquals(await record.result(), "ch_7 shipped in attempt 1");
  const [charge, sleep, ship] = await record.steps();
  assertEquals([charge!.seq, sleep!.seq, ship!.seq], [1, 2, 3]);
  assertEquals(sleep!.status, "completed");
  const slept = sleep!.ended!.getTime() - sleep!.began.getTime();
  assert(Math.abs(slept - 2 * 86_400_000) < 10_000, `it slept for ${slept} ms`);
});

Deno.test("step.sleep() of no time, or until a time that has passed, ends at once, and is a step all the same", async () => {
  let calls = 0;
  const brief = task({ name: taskName(), maxRetries: 1, retryDelay: 0 }, async () => {
    const { step, attempt } = current();
    calls++;
    await step.sleep(0);
    await step("a", () => {});
    if (attempt === 1) throw new Error("not yet");
    await step.sleep("past", new Date(0));
    return "slept";
  });
  await using ff = await testFirefly({ tasks: [brief] });
  const suspended: unknown[] = [];
  ff.firefly.on("suspended", (event) => suspended.push(event));
  const record = await brief.schedule();

  await ff.drain();

  assertEquals([await record.result(), calls, suspended], ["slept", 2, []]);
  const steps = await record.steps();
  assertEquals(steps.map(({ name, kind, seq }) => [name, kind, seq]), [
    ["sleep", "sleep", 1],
    ["a", "step", 2],
    ["past", "sleep", 3],
  ]);
});

Deno.test("a change of the duration does not move a sleep that has begun, and a restart of the consumer neither", async () => {
  const name = taskName();
  const deploy = (time: "1h" | "30d") => async () => {
    await current().step.sleep("pause", time);
    return time;
  };
  let handler = deploy("1h");
  const pause = task(name, () => handler());
  await using ff = await testFirefly({ tasks: [pause] });
  const record = await pause.schedule();
  await ff.drain(); // a consumer of its own each time
  const [before] = await record.steps();

  handler = deploy("30d");
  await ff.travel("59m");
  await ff.drain();
  assertEquals((await record.refresh()).state, "suspended");
  await ff.travel("2m");
  await ff.drain();

  assertEquals(await record.result(), "30d");
  const [after] = await record.steps();
  assertEquals([after!.due, after!.began], [before!.due, before!.began]);
});

Deno.test("sleeps that end in one pause give their results in the order in which they ended", async () => {
  const order = task(taskName(), async () => {
    const { step } = current();
    const seen: string[] = [];
    const sleep = (name: string, time: `${number}h`) => step.sleep(name, time).then(() => seen.push(name));
    const winner = await Promise.race([sleep("c", "3h"), sleep("a", "1h"), sleep("b", "2h")].map(async (each, i) => {
      await each;
      return i;
    }));
    await step("after", () => {});
    await step.sleep("d", "1h");
    return [winner, ...seen];
  });
  await using ff = await testFirefly({ tasks: [order] });
  const record = await order.schedule();
  await ff.drain();
  await ff.travel("5h"); // all of them have ended before the handler goes on
  await ff.drain({ until: "2h" });

  assertEquals(await record.result(), [1, "a", "b", "c"]);
});

Deno.test("waits are refused as steps are: after current().sql, within a step, and under a name that is under way", async () => {
  const messages: string[] = [];
  const note = (error: Error) => void messages.push(error.message);
  const refused = task(taskName(), async () => {
    const { step } = current();
    await step("outer", async () => {
      await step.sleep("1s").catch(note);
      await current().step.waitFor({ name: "x", send: () => Promise.resolve(true) }).catch(note);
    });
    await step.sleep(-1).catch(note);
    await step.sleep("", "1s").catch(note);
    void step.sleep("1h");
    await step.sleep("1h").catch(note);
    await current().sql`SELECT 1`;
    await step.sleep("late", "1s").catch(note);
    return "ended"; // the sleep that is left behind ends with the task
  });
  await using ff = await testFirefly({ tasks: [refused] });
  const record = await refused.schedule();
  await ff.drain({ throwOnFailure: false });

  assertEquals(messages, [
    'Cannot begin step "sleep" within step "outer": begin it after that has ended',
    'Cannot begin step "x" within step "outer": begin it after that has ended',
    'Cannot read "time" as it must be a number of seconds or text such as "500ms", "30s", "5m", "2h" or "7d": current value is -1',
    'Cannot sleep as a step\'s name must be 1 to 200 characters of text without NUL: current value is ""',
    'Cannot begin step "sleep" as one of this name is under way: give each a name, as in step.sleep(name, time)',
    'Cannot begin step "late" as current().sql or schedule() was used outside of a step: ' +
    "what that wrote commits with the task's end",
  ]);
  assertEquals((await record.refresh()).status, "completed");
});

Deno.test("a handler that waits after it used current().sql is not suspended, but warned", async () => {
  const late = task({ name: taskName(), timeout: "7s" }, async () => {
    const sleep = current().step.sleep("1h");
    await current().sql`SELECT 1`;
    await sleep;
  });
  await using ff = await testFirefly({ tasks: [late] });
  const lines: string[] = [];
  ff.firefly.on("log", ({ message }) => lines.push(message));
  const record = await late.schedule();
  await ff.drain({ throwOnFailure: false });

  const { status, error } = await record.refresh();
  assertEquals([status, error!.name, lines], ["failed", "TimeoutError", [
    'If the handler waits for "sleep", it waits for ever, as current().sql or schedule() was used outside of a step: ' +
    "what that wrote commits with the task's end",
  ]]);
});

Deno.test("a handler that uses current().sql after a race that a wait has lost completes", async () => {
  const race = task(taskName(), async () => {
    const { step } = current();
    const won = await Promise.race([step("quick", () => "quick"), step.sleep("1d").then(() => "slow")]);
    await current().sql`INSERT INTO effect VALUES (${won})`;
    return won;
  });
  await using ff = await testFirefly({ tasks: [race] });
  await ff.sql`CREATE TABLE effect (name text)`;
  const record = await race.schedule();
  await ff.drain();

  assertEquals(await record.result(), "quick");
  assertEquals((await ff.sql`SELECT name FROM effect`).map(({ name }) => name), ["quick"]);
});

Deno.test("a handler that has returned is not suspended for what it left waiting, with middleware and a schema", async () => {
  const output = { "~standard": { version: 1, vendor: "test", validate: later } } as const;
  async function later(value: unknown) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    return { value: value as string };
  }
  let calls = 0;
  const race = task({ name: taskName(), output }, async () => {
    calls++;
    const { step } = current();
    return await Promise.race([step("quick", () => "quick"), step.sleep("1d").then(() => "slow")]);
  });
  await using ff = await testFirefly({ tasks: [race] });
  ff.firefly.use(async (_, next) => {
    const result = await next();
    await new Promise((resolve) => setTimeout(resolve, 20));
    return result;
  });
  const record = await race.schedule();
  await ff.drain();

  assertEquals([await record.result(), calls], ["quick", 1]);
});

Deno.test("step.sleep() of a function that is called directly sleeps for up to a second; other waits throw", async () => {
  const { step } = current();
  const before = performance.now();
  await step.sleep("20ms");
  assert(performance.now() - before >= 19);
  await assertRejects(() => step.sleep("2s"), FireflyError, 'Cannot sleep for more than 1 s in step "sleep"');
  const none = { name: "x", send: () => Promise.resolve(true) };
  await assertRejects(() => step.waitFor(none), FireflyError, 'Cannot wait for signal "x" as no consumer runs');
  const called = task(taskName(), () => {});
  await assertRejects(() => step.call(called), FireflyError, "Cannot call a task and wait for it as no consumer");
  await assertRejects(() => step.callMany(called, [[]]), FireflyError, "Cannot call tasks and wait for them");
});
