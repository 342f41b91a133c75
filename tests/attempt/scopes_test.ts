import { assert, assertEquals, assertRejects } from "@std/assert";
import { current, FireflyError, task } from "../../mod.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { recordOf } from "../support/records.ts";
import { gate } from "../support/step_gate.ts";

const COUNT = 60;

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

Deno.test("current() in each of many handlers is its own: at once, after a wait and in code that it leaves running", async () => {
  await using test = await testInstance();
  const left: Promise<[number, number]>[] = [];
  const kinds = [
    () => current().id,
    () => {
      const { id } = current();
      left.push(sleep(20).then(() => [id, current().id]));
      return id;
    },
    async () => {
      await sleep(5);
      return current().id;
    },
    () => Promise.resolve().then(() => current().id),
    () => sleep(5).then(() => current().id),
    async () => {
      const { id } = current();
      await Promise.all([sleep(1), sleep(2)]);
      return current().id === id ? id : 0;
    },
  ];
  // Of every third task, some handlers end at once and ask for nothing, before and between those that ask.
  const tasks = kinds.map((kind, k) => task(taskName(), (n: number) => (n + k) % 3 === 0 ? "nothing" : kind()));
  const rows = await test.ff.run(() =>
    Promise.all(Array.from({ length: COUNT }, (_, n) => tasks[n % tasks.length]!.schedule(n)))
  );

  assertEquals(await test.drain({ tasks, concurrency: 50 }), { completed: COUNT, failed: 0 });

  for (const row of rows) {
    const returned = await row.result();
    assert(returned === row.id || returned === "nothing", `${returned} instead of ${row.id}`);
  }
  for (const [id, later] of await Promise.all(left)) assertEquals(later, id);
});

Deno.test("current() in code that a handler left running is that of its ended attempt, and neither writes nor schedules", async () => {
  await using test = await testInstance();
  const step = gate();
  const open = Promise.withResolvers<void>();
  const left: Promise<[number, boolean]>[] = [];
  const followUp = task(taskName(), () => {});
  const plain = task(taskName(), () => {
    left.push(open.promise.then(async () => {
      const { id, queued, sql } = current();
      await assertRejects(() => sql`SELECT 1`, FireflyError, "transaction has ended");
      await assertRejects(() => followUp.schedule(), FireflyError, "the attempt of this handler has ended");
      return [id, queued];
    }));
  });
  // It is called in the same turn, and runs while they go on.
  const waits = task(taskName(), async () => {
    await current().sql`SELECT 1`;
    await step.wait();
  });
  const rows = await test.ff.run(() => plain.scheduleMany(Array.from({ length: 5 }, () => [])));
  await test.ff.run(() => waits.schedule());
  const consumer = test.ff.consume({ tasks: [plain, waits], concurrency: 20, drain: true });
  await step.reached;

  open.resolve();

  assertEquals(await Promise.all(left), rows.map(({ id }) => [id, true]));
  step.open();
  assertEquals(await consumer.finished, { completed: 6, failed: 0 });
});

Deno.test("consume() fails the task alone whose handler throws among many that end at once", async () => {
  await using test = await testInstance();
  const work = task(taskName(), (n: number) => {
    if (n % 3 === 0) throw new RangeError(`no ${n}`);
    return n;
  });
  const rows = await test.ff.run(() => work.scheduleMany(Array.from({ length: 12 }, (_, n): [number] => [n])));

  assertEquals(await test.drain({ tasks: [work], concurrency: 12 }), { completed: 8, failed: 4 });

  for (const [n, row] of rows.entries()) {
    const { status, error } = await row.refresh();
    assertEquals([status, error?.message], n % 3 === 0 ? ["failed", `no ${n}`] : ["completed", undefined]);
  }
});

Deno.test("consume() calls listeners outside of any attempt", async () => {
  await using test = await testInstance();
  const seen: [string, boolean][] = [];
  for (const event of ["completed", "failed", "consumer.stopped"] as const) {
    test.ff.on(event, () => void seen.push([event, current().queued]));
  }
  const work = task(taskName(), (n: number) => {
    if (n === 3) throw new Error("no");
    if (n === 4) return current().id;
  });
  await test.ff.run(() => work.scheduleMany(Array.from({ length: 5 }, (_, n): [number] => [n])));

  await test.drain({ tasks: [work], concurrency: 5 });

  assertEquals(seen.map(([event]) => event).sort(), [...Array(4).fill("completed"), "consumer.stopped", "failed"]);
  assert(seen.every(([, queued]) => !queued));
});

Deno.test("consume() takes the time of a handler that blocks for its own, not for that of its neighbors", async () => {
  await using test = await testInstance();
  const work = task(taskName(), (n: number) => {
    const end = performance.now() + (n === 5 ? 1000 : 0);
    while (performance.now() < end);
  });
  const rows = await test.ff.run(() => work.scheduleMany(Array.from({ length: 10 }, (_, n): [number] => [n])));

  await test.drain({ tasks: [work], concurrency: 10 });

  const records = await Promise.all(rows.map(({ id }) => recordOf(test.db, id)));
  const started = records.map((record) => (record.started as Date).getTime());
  const distances = started.map((time) => time - started[5]!);
  // The times are the server's at the end of each, less what the attempt took: a busy machine moves them.
  assert(distances.slice(0, 6).every((distance) => distance < 400), `${distances}`);
  assert(distances.slice(6).every((distance) => distance > 600), `${distances}`);
});
