import { assertLess } from "@std/assert";
import { setTimeout as sleep } from "node:timers/promises";
import { task } from "../../mod.ts";
import { taskName, testInstance } from "../support/instance.ts";

Deno.test("tasks that come one by one, hundreds a second, begin at once", async () => {
  await using test = await testInstance();
  const waits: number[] = [];
  const work = task(taskName(), (scheduled: number) => void waits.push(performance.now() - scheduled));
  await using consumer = test.ff.consume({ pollInterval: "1h" });
  await consumer.ready;
  const schedule = () => test.ff.run(() => work.schedule(performance.now()));

  // Some transaction is about to commit at nearly any time, so the consumer often fails to acquire the lock.
  const end = performance.now() + 4_000;
  await Promise.all(Array.from({ length: 2 }, async () => {
    while (performance.now() < end) {
      await test.ff.transaction(async (sql) => {
        await schedule();
        await sql`SELECT pg_sleep(0.002)`;
      });
      await sleep(Math.random() * 4);
    }
  }));
  while (await test.ff.tasks.counts().then(({ default: counts }) => counts!.created + counts!.running > 0)) {
    await sleep(50);
  }

  // About 1 ms is usual. A consumer that does not begin its retries anew with each task waits for up to 900 ms here.
  const sorted = waits.toSorted((a, b) => a - b);
  assertLess(sorted[Math.floor(sorted.length * 0.9)]!, 250, `of ${sorted.length}`);
});
