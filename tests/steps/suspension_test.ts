import { assertEquals, assertInstanceOf, assertLess } from "@std/assert";
import { current, signal, Suspended, task, TaskFailed } from "../../mod.ts";
import { testFirefly } from "../../testing.ts";
import { attempts } from "../support/attempts.ts";
import { testDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { gate } from "../support/step_gate.ts";
import { backends } from "../support/statements.ts";
import { until } from "../support/waiting.ts";

const SCRIPT = new URL("../support/memory_sleepers.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;
const SLEEPERS = Number(Deno.env.get("SLEEPERS") ?? 2_000);
const approved = signal<string>("approved");

Deno.test("a suspended task has no slot, no lease and no session", async () => {
  await using t = await testInstance();
  const { db, ff } = t;
  const sleeper = task({ name: taskName(), concurrency: { limit: 1 } }, async () => {
    await current().step("a", async () => void await current().sql`SELECT 1`);
    await current().step.waitFor(approved);
  });
  const plain = task(taskName(), () => "ran");
  await using consumer = ff.consume({ tasks: [sleeper, plain], concurrency: 1 });
  await consumer.ready;
  let suspended = 0;
  ff.on("suspended", () => suspended++);
  const records = await ff.run(() => sleeper.scheduleMany([[], [], []]));
  await until(() => Promise.resolve(suspended === 3), 60_000);

  assertEquals(await (await ff.run(() => plain.schedule())).result({ timeout: "30s" }), "ran");
  assertEquals(consumer.counts?.running, 0);
  await until(async () => (await db.sql`SELECT FROM firefly.claim_batch`).count === 0, 30_000);
  assertEquals((await db.sql`SELECT FROM firefly.slot`).count, 0);
  assertEquals(await backends(db, "idle in transaction"), 0);
  for (const record of records) assertEquals((await record.refresh()).state, "suspended");
  const { id } = records[0]!;
  await ff.run(() => approved.send(id, "yes"));
  await records[0]!.result({ timeout: "30s" });
});

Deno.test(`${SLEEPERS} suspended attempts leave nothing in memory`, async () => {
  await using db = await testDatabase();
  const args = [SCRIPT, db.url, String(SLEEPERS)];
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--v8-flags=--expose-gc", "--config", CONFIG, ...args],
    stdin: "null",
  }).output();
  assertEquals(code, 0, new TextDecoder().decode(stderr));
  const { before, after } = JSON.parse(new TextDecoder().decode(stdout));

  // Their scopes alone have 100 kB each.
  assertLess(after, before + 1e6);
});

Deno.test("a task whose unique key a duplicate has when it is to be suspended fails with an event, and so do its dependants", async () => {
  await using t = await testInstance();
  const { ff } = t;
  const nap = task({ name: taskName(), unique: { key: () => "k", among: ["created"] } }, async () => {
    const { step } = current();
    await step("duplicate", async () => void await nap.with({ delay: "1h" }).schedule());
    await step.sleep("1h");
  });
  const after = task(taskName(), () => {});
  const events: [string, number, string][] = [];
  for (const name of ["failed", "lost", "suspended"] as const) {
    ff.on(name, (event) => void events.push([name, event.id, "error" in event ? `${event.error}` : ""]));
  }
  await using _consumer = ff.consume({ tasks: [nap, after] });
  const [record, dependant] = await ff.run(async () => {
    const first = nap.schedule();
    return [await first, await after.with({ after: [first] }).schedule()];
  });

  await until(async () => (await dependant!.refresh()).status === "cancelled", 30_000);

  const { id } = record!;
  assertEquals(events, [["failed", id, `FireflyError: Cannot run task ${id} again as a duplicate has its unique key`]]);
  const { status, error } = await record!.refresh();
  assertEquals([status, error?.name], ["failed", "TaskExists"]);
});

Deno.test("a suspended attempt aborts its signal with Suspended, emits one event, and is counted as no attempt", async () => {
  await using t = await attempts({ max_retries: 0 });
  const reasons: unknown[] = [];
  const seen: string[] = [];
  const { ending, record } = await t.run(async () => {
    const { step, signal } = current();
    signal.addEventListener("abort", () => reasons.push(signal.reason));
    try {
      await Promise.all([step.sleep("1h"), step.waitFor(approved, { timeout: new Date("2100-01-01") })]);
    } catch {
      seen.push("catch");
    } finally {
      seen.push("finally");
    }
  });

  assertEquals([ending, seen, record.status, record.retry_attempts, record.snoozes], [
    "suspended",
    [],
    "created",
    0,
    0,
  ]);
  assertEquals(reasons.length, 1);
  assertInstanceOf(reasons[0], Suspended);
  assertEquals(t.test.heard.map(({ event }) => event), ["started", "suspended"]);
  const { signals, tasks, until: time } = t.test.heard[1]!.detail as { until: Date; signals: []; tasks: [] };
  assertEquals([signals, tasks], [["approved"] as never, []]);
  assertLess(Math.abs(time.getTime() - Date.now() - 3_600_000), 60_000);
  assertEquals(t.test.env.slots.free, 1);
});

Deno.test("an attempt is not suspended while the function of a step runs", async () => {
  await using t = await testInstance();
  const slow = gate();
  const handler = task(taskName(), async () => {
    const { step } = current();
    return await Promise.all([step("slow", () => slow.wait()), step.waitFor(approved)]);
  });
  const events: string[] = [];
  t.ff.on("suspended", () => events.push("suspended"));
  const record = await t.ff.run(() => handler.schedule());
  const drained = t.drain({ tasks: [handler] });
  await slow.reached;
  await new Promise((resolve) => setTimeout(resolve, 50));
  events.push("open");
  slow.open();
  await drained;

  assertEquals([events, (await record.refresh()).state], [["open", "suspended"], "suspended"]);
  assertEquals((await record.steps()).map(({ name, status }) => `${name} ${status}`), [
    "slow completed",
    "approved waiting",
  ]);
});

Deno.test("a suspension whose reply is lost is recognized, and one that the database cannot take waits", async () => {
  for (const mode of ["mute", "hole", "reject"] as const) {
    await using t = await attempts({ max_retries: 0 });
    const { proxy } = t.test;
    let isLost = false;
    proxy.onRequest = (text, connection) => {
      if (isLost || !text.includes('"elapsed"')) return;
      isLost = true;
      if (mode === "reject") {
        proxy.mode = "reject";
        proxy.cut();
        setTimeout(() => proxy.mode = "pass", 300);
        return;
      }
      connection.mode = mode;
      const isDone = async () => (await t.test.db.sql`SELECT FROM firefly.waiting WHERE suspended`).count > 0;
      if (mode === "mute") void until(isDone).then(() => proxy.cut());
      else setTimeout(() => proxy.cut(), 300);
    };
    const { ending } = await t.run(() => current().step.waitFor(approved));

    assertEquals([mode, ending, isLost], [mode, "suspended", true]);
    assertEquals((await t.test.db.sql`SELECT FROM firefly.waiting WHERE suspended`).count, 1);
    assertEquals((await t.test.db.sql`SELECT FROM firefly.claim_batch`).count, 0);
  }
});

Deno.test("an attempt that has lost its task is lost where it would be suspended, and cancelled where that was", async () => {
  for (const how of ["rescue", "cancel"]) {
    await using t = await attempts();
    const { db } = t.test;
    const { ending } = await t.run(async () => {
      const { step } = current();
      await step("a", () => {});
      if (how === "cancel") await db.sql`SELECT firefly.cancel(${t.id})`;
      else await db.sql`UPDATE firefly.task SET claim_seq = claim_seq + 1 WHERE id = ${t.id}`;
      await step.sleep("1h");
    });
    assertEquals([how, ending], [how, how === "cancel" ? "cancelled" : "lost"]);
    assertEquals((await db.sql`SELECT FROM firefly.step WHERE status = 'waiting'`).count, 0);
  }
});

Deno.test("a suspended task can be cancelled, and its handler is not called again", async () => {
  let calls = 0;
  const order = task(taskName(), async () => {
    calls++;
    await current().step.sleep("1h");
  });
  await using ff = await testFirefly({ tasks: [order] });
  const record = await order.schedule();
  await ff.drain();
  assertEquals(await record.cancel(), true);
  await ff.drain({ until: "2h" });

  assertEquals([calls, (await record.refresh()).status], [1, "cancelled"]);
  assertEquals(await record.result().catch((error) => error instanceof TaskFailed), true);
});

Deno.test("signals that are sent while attempts are suspended wake all of them", async () => {
  await using t = await testInstance();
  const name = taskName();
  const listener = task(name, async (count: number) => {
    const words: string[] = [];
    for (let i = 0; i < count; i++) words.push(await current().step.waitFor(approved));
    return words.join("");
  });
  await using consumer = t.ff.consume({ tasks: [listener], concurrency: 20 });
  await consumer.ready;
  const records = await t.ff.run(() => listener.scheduleMany(Array.from({ length: 40 }, () => [3])));
  await Promise.all(records.map(async ({ id }) => {
    for (const word of ["a", "b", "c"]) {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 300));
      await t.ff.tasks.signal(id, approved, word);
    }
  }));

  for (const record of records) assertEquals(await record.result({ timeout: "60s" }), "abc");
  assertEquals((await t.db.sql`SELECT FROM firefly.signal`).count, 0);
});
