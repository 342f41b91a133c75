import { assert, assertEquals } from "@std/assert";
import { setTimeout as sleep } from "node:timers/promises";
import { task } from "../../mod.ts";
import type { Tag } from "../../src/database/driver.ts";
import { WakeLock } from "../../src/notify/wake_lock.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { insertTask } from "../support/records.ts";
import { notificationsOf } from "../support/notifications.ts";
import { until } from "../support/waiting.ts";
import { holdersOf } from "../support/wake_lock.ts";

/** A wake lock of two queues, on a connection that acquires those of `free`. */
function testWakeLock() {
  const state = { free: [] as string[], acquired: 0, errors: 0 };
  const queues = ["a", "b"];
  const connect = () => {
    const sql = (_strings: TemplateStringsArray, ...values: unknown[]) => {
      const requested = values[0] as string[];
      return Promise.resolve(requested.filter((name) => state.free.includes(name)).map((name) => ({ name })));
    };
    return Object.assign(sql, { schema: "firefly", schemaName: "firefly", identifier: String }) as unknown as Tag;
  };
  const listener: { listening: Tag | undefined } = { listening: connect() };
  const lock = new WakeLock({
    queues,
    consumer: { id: "c1" },
    listener,
    onAcquired: () => state.acquired++,
    onError: () => state.errors++,
  });
  /** Tries to acquire the lock, and waits for the reply. */
  async function tryOnce(): Promise<number | undefined> {
    lock.acquire();
    await new Promise((resolve) => setTimeout(resolve, 0));
    return lock.retryIn;
  }
  return { state, lock, listener, connect, tryOnce };
}

/** Whether it is 0.9 s, give or take a tenth. */
function isAboutASecond(ms: number | undefined): boolean {
  return ms !== undefined && ms >= 810 && ms <= 990;
}

Deno.test("WakeLock retries after 2, 10, 50 and 250 ms, and then about every second", async () => {
  const { tryOnce, state } = testWakeLock();

  const delays: (number | undefined)[] = [];
  for (let i = 0; i < 50; i++) delays.push(await tryOnce());

  assertEquals(delays.slice(0, 4), [2, 10, 50, 250]);
  for (const delay of delays.slice(4)) assert(isAboutASecond(delay), `${delay} ms`);
  assert(new Set(delays.slice(4)).size > 1, "consumers that lost their lock together must not retry together");
  assertEquals([state.acquired, state.errors], [0, 0]);
});

Deno.test("WakeLock.resetRetries() starts the short delays anew", async () => {
  const { lock, tryOnce } = testWakeLock();
  for (let i = 0; i < 6; i++) await tryOnce();

  lock.resetRetries();

  assertEquals([lock.retryIn, await tryOnce(), await tryOnce()], [2, 2, 10]);
});

Deno.test("WakeLock retries for the queues that it lacks, and not once it holds all", async () => {
  const { lock, state, tryOnce } = testWakeLock();
  state.free = ["b"];
  assertEquals([await tryOnce(), lock.held, state.acquired], [2, false, 0]);

  state.free = ["a"];

  assertEquals([await tryOnce(), lock.held, state.acquired], [undefined, true, 1]);
});

Deno.test("WakeLock does not retry while no connection listens, and holds nothing on a new one", async () => {
  const { lock, listener, state, connect, tryOnce } = testWakeLock();
  state.free = ["a", "b"];
  await tryOnce();
  assert(lock.held);

  listener.listening = undefined;
  assertEquals([await tryOnce(), lock.held], [undefined, false]);

  listener.listening = connect();
  assertEquals([lock.held, await tryOnce(), lock.held], [false, undefined, true]);
});

Deno.test("WakeLock ignores a reply that comes after its connection was replaced", async () => {
  const { lock, listener, state, connect } = testWakeLock();
  state.free = ["a", "b"];
  lock.acquire();
  listener.listening = connect();
  assert(!lock.held);

  await new Promise((resolve) => setTimeout(resolve, 0));

  assertEquals([lock.held, state.acquired], [false, 0]);
});

Deno.test("a consumer that cannot acquire its wake lock looks for tasks about every second", async () => {
  await using test = await testInstance();
  const begun: number[] = [];
  const work = task(taskName(), () => void begun.push(performance.now()));
  const waits: number[] = [];
  await test.db.sql.begin(async (sql) => {
    // As a transaction does that is about to commit a task: tasks of others send no notification meanwhile.
    await sql`SELECT pg_advisory_xact_lock_shared(firefly._wake_lock('default'))`;
    // Nothing else wakes it: polls come every hour, renewals every 20 minutes.
    await using consumer = test.ff.consume({ pollInterval: "1h", lease: "1h" });
    await consumer.ready;
    for (let i = 0; i < 3; i++) {
      await sleep(700); // the short delays, which begin anew with each task, are over
      const notified = await notificationsOf(test.db, ["firefly_default"], async () => {
        await insertTask(test.db, { func_name: work.funcName });
      });
      const inserted = performance.now();
      assertEquals(notified, []);
      await until(() => begun.length === i + 1);
      waits.push(begun[i]! - inserted);
    }
    assertEquals(await holdersOf(test.db), []);
  });

  // Maintenance looks, too, every 5 s: without retries the second and the third wait last for more than 4 s.
  assert(waits.every((ms) => ms < 2_000), `${waits.map(Math.round)} ms`);
});
