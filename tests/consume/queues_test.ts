import { noTasks } from "../../src/store/record_counts.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Firefly, task } from "../../mod.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { notificationsOf } from "../support/notifications.ts";
import { insertTask } from "../support/records.ts";
import { block, until } from "../support/waiting.ts";

Deno.test("pause() keeps every consumer from claiming, and resume() wakes them at once", async () => {
  await using test = await testInstance();
  await using elsewhere = new Firefly({ database: test.db.url });
  const ran: number[] = [];
  const work = task({ name: taskName(), queue: "mail" }, (i: number) => void ran.push(i));
  const options = { queues: ["mail", "default"], tasks: [work], pollInterval: "60s" } as const;
  await using first = test.ff.consume({ ...options, queues: [...options.queues] });
  await using second = elsewhere.consume({ ...options, queues: [...options.queues] });
  await Promise.all([first.ready, second.ready]);

  assertEquals([await test.ff.pause("mail"), await test.ff.pause("mail")], [true, false]);
  await test.ff.run(() => work.scheduleMany([[1], [2], [3]]));
  const marker = await test.ff.run(() => work.with({ queue: "default" }).schedule(0));
  await marker.result(); // the consumers have looked since, and other queues go on
  assertEquals(ran, [0]);

  const resumed = performance.now();
  assertEquals([await elsewhere.resume("mail"), await elsewhere.resume("mail")], [true, false]);
  await until(() => ran.length === 4);
  assert(
    performance.now() - resumed < 2000,
    `it took ${performance.now() - resumed} ms, and no consumer polls for 60 s`,
  );
});

Deno.test("a paused queue stays paused when its consumers restart", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => "ran");
  await test.ff.pause("default");
  const record = await test.ff.run(() => work.schedule());

  assertEquals(await test.drain({ tasks: [work] }), { completed: 0, failed: 0 });
  await using restarted = new Firefly({ database: test.db.url });
  assertEquals(await restarted.consume({ tasks: [work], drain: true }).finished, { completed: 0, failed: 0 });
  assertEquals((await record.refresh()).status, "created");

  await restarted.resume("default");
  assertEquals(await test.drain({ tasks: [work] }), { completed: 1, failed: 0 });
});

Deno.test("pause() lets running tasks go on, and makes consumers return claimed tasks that have not begun", async () => {
  await using test = await testInstance();
  const [first, slow] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let began = 0;
  // One claim takes them all, and each keeps the others from beginning for 20 ms.
  const work = task(taskName(), () => {
    began++;
    first.resolve();
    block(20);
    return slow.promise;
  });
  await test.ff.run(() => work.scheduleMany(Array.from({ length: 300 }, () => [])));
  await using consumer = test.ff.consume({ tasks: [work], concurrency: 300 });
  const states = async () => (await test.ff.queues())[0]!.counts;
  await first.promise;

  await test.ff.pause("default");
  await until(async () => (await states()).created > 0);
  await until(async () => (await states()).running === began);
  slow.resolve();
  await until(async () => (await states()).completed === began);
  await consumer.stop();

  assert(began < 300, "all tasks have begun");
  assertEquals((await states()).created, 300 - began);
});

Deno.test("pause() and resume() notify only if they change something", async () => {
  await using test = await testInstance();
  const notifications = (act: () => Promise<unknown>) =>
    notificationsOf(test.db, ["firefly_mail", "firefly:control"], act);

  assertEquals(await notifications(() => test.ff.resume("mail")), []);
  assertEquals(await notifications(() => test.ff.pause("mail")), ["firefly:control"]);
  assertEquals(await notifications(() => test.ff.pause("mail")), []);
  assertEquals(await notifications(() => test.ff.resume("mail")), ["firefly_mail", "firefly:control"]);
});

Deno.test("pause() and resume() refuse what is no name of a queue", async () => {
  await using test = await testInstance();

  await assertRejects(() => test.ff.pause("Mail"), RangeError, "Cannot pause as a queue's name must be");
  await assertRejects(() => test.ff.resume('q"; drop table'), RangeError, "Cannot resume as a queue's name must be");
});

Deno.test("queues() shows every queue with what is in it, who serves it and what holds for it", async () => {
  await using test = await testInstance({
    defaults: { retention: { failed: "1d" } },
    queues: { kept: { retention: Infinity }, mail: { retention: { completed: "1h" } } },
  });
  const work = task(taskName(), () => {});
  await test.ff.pause("mail");
  await insertTask(test.db, { queue: "web", not_before: new Date(Date.now() - 3_600_000) });
  await insertTask(test.db, { queue: "web", not_before: new Date(Date.now() + 3_600_000) });
  await insertTask(test.db, { queue: "later", not_before: new Date(Date.now() + 3_600_000) });
  await using consumer = test.ff.consume({ queues: ["mail", "default"], tasks: [work] });
  await consumer.ready;

  const queues = await test.ff.queues();

  const none = noTasks();
  const kept = { completed: 7 * 86_400, failed: 86_400 };
  const going = { paused: false, pausedSince: null, pausedBy: null, pausedReason: null };
  const { pausedSince, pausedBy } = queues.find(({ name }) => name === "mail")!;
  assert(Math.abs(pausedSince!.getTime() - Date.now()) < 60_000);
  assert(pausedBy);
  const web = queues.find(({ name }) => name === "web")!;
  assert(Math.abs(web.oldestDue! - 3600) < 60);
  assertEquals(queues.map((queue) => ({ ...queue, oldestDue: queue === web ? 3600 : queue.oldestDue })), [
    { ...going, name: "default", counts: none, oldestDue: null, consumers: 1, retention: kept },
    {
      name: "kept",
      ...going,
      counts: none,
      oldestDue: null,
      consumers: 0,
      retention: { completed: Infinity, failed: Infinity },
    },
    {
      name: "later",
      ...going,
      counts: { ...none, created: 1, delayed: 1 },
      oldestDue: null,
      consumers: 0,
      retention: kept,
    },
    {
      name: "mail",
      paused: true,
      pausedSince,
      pausedBy,
      pausedReason: null,
      counts: none,
      oldestDue: null,
      consumers: 1,
      retention: { completed: 3600, failed: 86_400 },
    },
    {
      name: "web",
      ...going,
      counts: { ...none, created: 2, ready: 1, delayed: 1 },
      oldestDue: 3600,
      consumers: 0,
      retention: kept,
    },
  ]);
});

Deno.test("new Firefly() refuses retentions and queues that are wrong", () => {
  assertThrows(() => new Firefly({ defaults: { retention: "1 week" as never } }), RangeError, '"retention.completed"');
  assertThrows(() => new Firefly({ queues: { Mail: {} } }), RangeError, "a queue's name");
  assertThrows(() => new Firefly({ queues: { mail: { retain: 1 } as never } }), TypeError, '"retain"');
  assertThrows(() => new Firefly({ queues: { mail: { retention: { done: 1 } as never } } }), TypeError, '"done"');
});
