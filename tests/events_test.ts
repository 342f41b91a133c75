import { assert, assertEquals, assertRejects } from "@std/assert";
import { current, type Events, Firefly, task, TaskCancelled } from "../mod.ts";
import { Emitter } from "../src/events.ts";
import { VERSION } from "../src/version.ts";
import { type TestDatabase, testDatabase } from "./support/database.ts";
import { taskName, testInstance } from "./support/instance.ts";
import { claim, expireConsumer, startConsumer } from "./support/claiming.ts";
import { until } from "./support/waiting.ts";
import { TcpProxy } from "./support/tcp_proxy.ts";

const detail = { consumerId: "c1" };

Deno.test("Emitter.emit() tells every listener of the event, in order, and no other", () => {
  const events = new Emitter();
  const heard: string[] = [];
  events.on("consumer.expired", ({ consumerId }) => heard.push(`first ${consumerId}`));
  events.on("consumer.expired", () => heard.push("second"));
  events.on("listener.lost", () => heard.push("other"));

  events.emit("consumer.expired", detail);

  assertEquals(heard, ["first c1", "second"]);
});

Deno.test("Emitter.emit() goes on to the next listener when one throws", () => {
  const events = new Emitter();
  let heard = 0;
  events.on("consumer.expired", () => {
    throw new Error("a listener's own mistake");
  });
  events.on("consumer.expired", () => heard++);

  events.emit("consumer.expired", detail);

  assertEquals(heard, 1);
});

Deno.test("Emitter.on() returns what takes the listener away", () => {
  const events = new Emitter();
  let heard = 0;
  const off = events.on("consumer.expired", () => heard++);
  events.emit("consumer.expired", detail);

  off();
  off();
  events.emit("consumer.expired", detail);

  assertEquals(heard, 1);
});

Deno.test("Emitter.emit() is not disturbed by a listener that takes itself away", () => {
  const events = new Emitter();
  const heard: string[] = [];
  const off = events.on("consumer.expired", () => {
    heard.push("once");
    off();
  });
  events.on("consumer.expired", () => heard.push("always"));

  events.emit("consumer.expired", detail);
  events.emit("consumer.expired", detail);

  assertEquals(heard, ["once", "always", "always"]);
});

Deno.test("Emitter.emit() drops what an asynchronous listener rejects with", async () => {
  const emitter = new Emitter();
  const rejections: unknown[] = [];
  const onRejection = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    rejections.push(event.reason);
  };
  globalThis.addEventListener("unhandledrejection", onRejection);
  emitter.on("consumer.expired", () => Promise.reject(new Error("no")));

  emitter.emit("consumer.expired", { consumerId: "" });
  await new Promise((resolve) => setTimeout(resolve, 0));

  globalThis.removeEventListener("unhandledrejection", onRejection);
  assertEquals(rejections, []);
});

/** Every event, in the order of an instance's life. */
const EVENTS: (keyof Events)[] = [
  "scheduled",
  "started",
  "completed",
  "failed",
  "retried",
  "returned",
  "cancelled",
  "lost",
  "rescued",
  "log",
  "hook.error",
  "parked",
  "consumer.started",
  "consumer.unserved",
  "consumer.stopping",
  "consumer.stopped",
  "consumer.error",
  "consumer.recovered",
  "consumer.expired",
  "listener.connected",
  "listener.lost",
];

interface Heard {
  event: keyof Events;
  // deno-lint-ignore no-explicit-any
  detail: any;
}

/** Hears everything, with listeners before that throw and reject. */
function hear(ff: Firefly): { heard: Heard[]; of(event: keyof Events): Heard["detail"][] } {
  const heard: Heard[] = [];
  for (const event of EVENTS) {
    ff.on(event, () => {
      throw new Error(`A listener of ${event} throws`);
    });
    ff.on(event, () => Promise.reject(new Error(`A listener of ${event} rejects`)) as never);
    ff.on(event, (detail) => heard.push({ event, detail }));
  }
  return { heard, of: (event) => heard.filter((entry) => entry.event === event).map(({ detail }) => detail) };
}

Deno.test("on() tells of a consumer's life and its attempts, whatever other listeners do", async () => {
  await using test = await testInstance({ onFailed: () => Promise.reject(new Error("the hook")) });
  const { heard, of } = hear(test.ff);
  const error = new RangeError("no");
  const fine = task(taskName(), () => current().log.warn("slow", { ms: 5 }));
  const failing = task({ name: taskName(), maxRetries: 1, retryDelay: 0 }, () => Promise.reject(error));
  const rows = [
    await test.ff.run(() => fine.schedule()),
    await test.ff.run(() => failing.with({ queue: "other" }).schedule()),
  ];

  await test.ff.consume({ tasks: [fine, failing], queues: ["default", "other"], maxTasks: 3 }).finished;

  const [good, bad] = rows.map(({ id, funcName, queue }) => ({ id, funcName, queue }));
  assertEquals(of("scheduled"), [{ ...good, inserted: true }, { ...bad, inserted: true }]);
  assertEquals(of("started").length, 3);
  assertEquals(of("log"), [{
    ...good,
    attempt: 1,
    level: "warn",
    message: "slow",
    fields: { ms: 5 },
    step: null,
    traceId: null,
  }]);
  const [{ seconds, ...completed }] = of("completed");
  assertEquals(completed, { ...good, attempt: 1 });
  assert(seconds >= 0 && seconds < 60);
  assertEquals(of("retried"), [{ ...bad, attempt: 1, error, delay: 0 }]);
  assertEquals(of("failed"), [{ ...bad, attempt: 2, error }]);
  assertEquals(of("hook.error").map(({ hook, id, error }) => [hook, id, error.message]), [[
    "onFailed",
    bad!.id,
    "the hook",
  ]]);
  const [{ consumerId, ...consumer }] = of("consumer.started");
  const { host, pathname } = new URL(test.db.url);
  assertEquals(consumer, {
    queues: ["default", "other"],
    name: null,
    allQueues: false,
    concurrency: 10,
    database: `${host}${pathname}`,
    schema: "firefly",
    tasks: rows.map(({ funcName }) => funcName),
    crons: [],
    version: VERSION,
    release: null,
  });
  assertEquals(of("consumer.stopping").map(({ consumerId }) => consumerId), [consumerId]);
  assertEquals(of("consumer.stopped"), [{ consumerId, completed: 1, failed: 1 }]);
  assertEquals(heard.filter(({ event }) => event.startsWith("consumer.")).length, 3);
});

Deno.test("on() tells that a task was scheduled when its row is inserted, before COMMIT decides", async () => {
  await using test = await testInstance();
  const { of } = hear(test.ff);
  const work = task(taskName(), () => {});

  await assertRejects(() =>
    test.ff.transaction(async () => {
      await work.scheduleMany([[], []]);
      assertEquals(of("scheduled").length, 2);
      throw new Error("undone");
    })
  );

  assertEquals(of("scheduled").map(({ inserted }) => inserted), [true, true]);
  assertEquals((await test.ff.tasks.list()).items, []);
});

Deno.test("on() tells of attempts that were cancelled, returned and lost, and of a rescue", async () => {
  await using test = await testInstance();
  const { of } = hear(test.ff);
  const hang = task(taskName(), () => new Promise<void>(() => {}));
  const rows = await test.ff.run(() => hang.scheduleMany([[], [], []]));
  const [cancelled, lost, returned] = rows.map(({ id }) => id);
  const consumer = test.ff.consume({ tasks: [hang], shutdownTimeout: 0 });
  await until(() => of("started").length === 3);

  await rows[0]!.cancel();
  await until(() => of("cancelled").length === 1);
  await rows[1]!.delete();
  await test.db.sql`SELECT pg_notify('firefly:control', '')`;
  await until(() => of("lost").length === 1);
  await consumer.stop();

  assertEquals(of("cancelled").map(({ id, attempt }) => [id, attempt]), [[cancelled, 1]]);
  assert(of("cancelled")[0].reason instanceof TaskCancelled);
  assertEquals(of("lost").map(({ id }) => id), [lost]);
  assertEquals(of("returned").map(({ id }) => id), [returned]);

  const dead = await startConsumer(test.db, { tasks: [hang.funcName] });
  await claim(test.db, { consumerId: dead, names: [hang.funcName] });
  await expireConsumer(test.db, dead);
  await using _ = test.ff.consume({ tasks: [hang], lease: "1s", shutdownTimeout: 0 });
  await until(() => of("rescued").length === 1);
  assertEquals(of("rescued"), [{
    id: returned,
    funcName: hang.funcName,
    queue: "default",
    failed: false,
    attemptedBy: null,
  }]);
});

Deno.test("on() tells once of what a consumer cannot do, and that it can again", async () => {
  await using test = await testInstance();
  const { of } = hear(test.ff);
  const work = task(taskName(), () => {});
  await using consumer = test.ff.consume({ tasks: [work], pollInterval: "20ms" });
  await consumer.ready;

  await test.db.sql`ALTER TABLE firefly.ready RENAME TO ready_away`;
  await until(() => of("consumer.error").some(({ action }) => action === "claim tasks"));
  const failed = await failedStatements(test.db);
  await until(async () => await failedStatements(test.db) > failed + 1); // it tries again
  await test.db.sql`ALTER TABLE firefly.ready_away RENAME TO ready`;
  await until(() => of("consumer.recovered").some(({ action }) => action === "claim tasks"));

  await test.ff.run(() => work.schedule().result({ timeout: "10s" }));
  const [{ consumerId }] = of("consumer.started");
  assertEquals(of("consumer.error").filter(({ action }) => action === "claim tasks").length, 1);
  assertEquals(of("consumer.recovered").find(({ action }) => action === "claim tasks"), {
    consumerId,
    action: "claim tasks",
  });
});

/** How many transactions of a database were rolled back, as those of statements are that fail. */
async function failedStatements(db: TestDatabase): Promise<number> {
  await db.sql`SELECT pg_stat_clear_snapshot()`;
  const [row] = await db.sql`SELECT xact_rollback::int AS n FROM pg_stat_database WHERE datname = current_database()`;
  return row!.n;
}

Deno.test("on() tells once of an outage: that the listener is lost, and that the lease is over", async () => {
  await using db = await testDatabase();
  await using proxy = await TcpProxy.start(db.url);
  await using ff = new Firefly({ database: proxy.through(db.url) });
  const { of } = hear(ff);
  const work = task(taskName(), () => {});
  const consumer = ff.consume({ tasks: [work], lease: "2s", shutdownTimeout: 0, pollInterval: "100ms" });
  await until(() => of("listener.connected").length === 1);

  proxy.mode = "reject";
  proxy.cut({ reset: true });
  await until(() => of("consumer.expired").length > 0 && of("listener.lost").length > 0);
  proxy.mode = "pass";
  await until(() => of("listener.connected").length === 2);

  await ff.run(() => work.schedule().result({ timeout: "10s" }));
  await consumer.stop();
  assertEquals([of("listener.lost").length, of("consumer.expired").length], [1, 1]);
});
