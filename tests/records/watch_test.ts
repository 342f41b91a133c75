import { Closing } from "../../src/closing.ts";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { current, FireflyError, task, TaskNotFound, type TaskRecord } from "../../mod.ts";
import type { Listener } from "../../src/notify/listener.ts";
import { watchRow } from "../../src/records/watch.ts";
import { testDatabase } from "../support/database.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { insertTask } from "../support/records.ts";
import { until } from "../support/waiting.ts";

/** What a record shows that changes while its task runs. */
function shown({ status, attempt, progress }: TaskRecord): string {
  return [status, attempt, ...(progress ? [progress.value, progress.note] : [])].join(" ");
}

Deno.test("watch() yields the record as it is, each change, and its end, then ends", async () => {
  await using test = await testInstance();
  const steps = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const work = task({ name: taskName(), maxRetries: 1, retryDelay: 0 }, async () => {
    if (current().attempt === 1) {
      await steps[0]!.promise;
      throw new Error("not yet");
    }
    await current().progress(0.5, "half");
    await steps[1]!.promise;
    return "done";
  });
  const record = await test.ff.run(() => work.schedule());
  const seen: string[] = [];

  await using _consumer = record && await (async () => {
    const iterator = record.watch()[Symbol.asyncIterator]();
    seen.push(shown((await iterator.next()).value!));
    const consumer = test.ff.consume({ tasks: [work] });
    for (;;) {
      const { done, value } = await iterator.next();
      if (done) return consumer;
      seen.push(shown(value));
      if (value.status === "running" && value.attempt === 1) steps[0]!.resolve();
      if (value.progress) steps[1]!.resolve();
      if (value.status === "completed") assertEquals(value.returned, "done");
    }
  })();

  assertEquals(seen[0], "created 1");
  assert(seen.includes("running 1") && seen.includes("running 2 0.5 half"), seen.join(", "));
  assertEquals(seen.at(-1), "completed 2 0.5 half");
  assertEquals(new Set(seen).size, seen.length, "nothing comes twice");
});

Deno.test("watch() of a task that has ended yields it once", async () => {
  await using test = await testInstance();
  const record = await test.ff.tasks.get(await insertTask(test.db));
  await record.cancel();

  const seen: string[] = [];
  for await (const now of record.watch()) seen.push(now.status);

  assertEquals(seen, ["cancelled"]);
});

Deno.test("watch() is told of the end by a notification", async () => {
  await using test = await testInstance();
  const record = await test.ff.tasks.get(await insertTask(test.db));
  const took: number[] = [];

  for (let round = 0; round < 5; round++) {
    const changes = record.watch()[Symbol.asyncIterator]();
    await changes.next();
    const change = changes.next();
    await until(async () => await test.db.sql`SELECT FROM firefly.result_waiter`.then(({ length }) => length === 1));
    await new Promise((resolve) => setTimeout(resolve, 20));
    const cancelled = performance.now();
    await record.cancel();
    assertEquals((await change).value?.status, "cancelled");
    took.push(performance.now() - cancelled);
    assertEquals((await changes.next()).done, true);
    await record.retry();
  }

  // Looking alone would take half a second each time; a slow machine may miss some notifications by a moment.
  assert(Math.min(...took) < 250, `it took ${took} ms`);
});

Deno.test("watch() throws where the record is deleted, and where its signal aborts", async () => {
  await using test = await testInstance();
  const record = await test.ff.tasks.get(await insertTask(test.db));
  const controller = new AbortController();
  const all = async (signal?: AbortSignal) => {
    for await (const _ of record.watch(signal ? { signal } : {})) {
      if (signal) controller.abort(new Error("enough"));
      else await record.delete();
    }
  };

  await assertRejects(() => all(controller.signal), Error, "enough");
  await assertRejects(() => all(AbortSignal.abort(new Error("before"))), Error, "before");
  await assertRejects(() => all(), TaskNotFound);
});

/** Something that counts who has come to it and not gone. */
function counted(target: { addEventListener: unknown; removeEventListener: unknown }) {
  const count = { left: 0 };
  const { addEventListener, removeEventListener } = target as AbortSignal;
  target.addEventListener = (...args: unknown[]) => {
    count.left++;
    Reflect.apply(addEventListener, target, args);
  };
  target.removeEventListener = (...args: unknown[]) => {
    count.left--;
    Reflect.apply(removeEventListener, target, args);
  };
  return count;
}

Deno.test("watchRow() that is left early, or throws, leaves no subscription, listener or timer behind", async () => {
  await using db = await testDatabase();
  const id = await insertTask(db);
  const { signal } = new AbortController();
  const [listeners, subscriptions] = [counted(signal), { made: 0, left: 0 }];
  const listener = {
    subscribe() {
      subscriptions.made++;
      subscriptions.left++;
      return () => void subscriptions.left--;
    },
  } as unknown as Listener;
  const source = { sql: db.records, listener, closing: new Closing() };

  const left = watchRow({ ...source, id }, { signal });
  await left.next();
  await db.sql`UPDATE firefly.task SET progress = 0.5`;
  await left.next(); // who watches on after the first look subscribes
  await left.return();
  const failing = watchRow({ ...source, id }, { signal });
  await failing.next();
  await db.sql`DELETE FROM firefly.task`;
  await assertRejects(() => failing.next(), TaskNotFound);

  assertEquals([listeners.left, subscriptions], [0, { made: 2, left: 0 }]);
});

Deno.test("watch() by many sees the same end", async () => {
  await using test = await testInstance();
  const record = await test.ff.tasks.get(await insertTask(test.db));
  const watchers = Array.from({ length: 20 }, async () => {
    let last = "";
    for await (const { status } of record.watch()) last = status;
    return last;
  });
  await until(async () => await test.db.sql`SELECT FROM firefly.result_waiter`.then(({ length }) => length === 1));

  await record.cancel();

  assertEquals(new Set(await Promise.all(watchers)), new Set(["cancelled"]));
});

Deno.test("watch() of a task that is not committed yet throws", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => {});

  await test.ff.run(() =>
    test.ff.transaction(async () => {
      const record = await work.schedule();
      const iterator = record.watch()[Symbol.asyncIterator]();
      await assertRejects(() => iterator.next(), FireflyError, `Cannot watch task ${record.id} as the transaction`);
    })
  );
});
