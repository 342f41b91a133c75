import { assertEquals, assertLess } from "@std/assert";
import { setTimeout as sleep } from "node:timers/promises";
import { current, Firefly, task } from "../../mod.ts";
import { Random } from "../support/random.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { until } from "../support/waiting.ts";

/** A minute for 10,000, on two cores that do nothing else. */
const PHASES = Number(Deno.env.get("PHASES") ?? 1_000);
const QUEUES = 4;

Deno.test(`no wake-up is later than a second in ${PHASES} phases of scheduling and silence`, async () => {
  await using test = await testInstance();
  const seed = Number(Deno.env.get("PHASES_SEED") ?? crypto.getRandomValues(new Uint32Array(1))[0]);
  const dice = new Random(seed);
  const [committed, started] = [new Map<number, number>(), new Map<number, number>()];
  const work = task({ name: taskName() }, (ms: number) => {
    started.set(current().id, performance.now());
    return ms === 0 ? undefined : sleep(ms);
  });
  const queues = Array.from({ length: QUEUES }, (_, i) => `queue${i}`);
  // One consumer for each queue of the first half: no other looks in its place. Two for each of the others.
  const served = [...queues, ...queues.slice(QUEUES / 2)];
  const instances = served.map(() => new Firefly({ database: test.db.url }));
  // Nothing else wakes them: polls come every minute, renewals every twenty.
  const consumers = instances.map((ff, i) =>
    ff.consume({ queues: served[i]!, concurrency: 5, pollInterval: "60s", lease: "1h" })
  );
  await Promise.all(consumers.map(({ ready }) => ready));

  /** One of those that schedule in a phase: at once, or in a transaction that stays open for a while. */
  const scheduleOnce = async (queue: string) => {
    const calls = Array.from({ length: dice.once(5) ? 1 + dice.below(8) : 1 }, (): [number] => [dice.below(3)]);
    const records = dice.once(4)
      ? await test.ff.transaction(async () => {
        const records = await work.with({ queue }).scheduleMany(calls);
        await sleep(dice.below(20));
        return records;
      })
      : await test.ff.run(() => work.with({ queue }).scheduleMany(calls));
    const now = performance.now();
    for (const { id } of records) committed.set(id, now);
    return records.map(({ id }) => id);
  };
  await Promise.all(queues.map(async (queue) => {
    for (let phase = 0; phase < PHASES / QUEUES; phase++) {
      const ids = await Promise.all(Array.from({ length: 1 + dice.below(2) }, () => scheduleOnce(queue)));
      // Silence, so that nothing makes good what a lost wake-up has left.
      const allStarted = until(() => ids.flat().every((id) => started.has(id)), 3_000);
      await allStarted.catch(() => {});
      await sleep(dice.once(20) ? dice.below(80) : dice.below(8));
    }
  }));
  await Promise.all(consumers.map((consumer) => consumer.stop()));
  await Promise.all(instances.map((ff) => ff.close()));

  const delays = [...committed].map(([id, at]) => (started.get(id) ?? Infinity) - at).sort((a, b) => a - b);
  const at = (share: number) => Math.round(delays[Math.floor(share * (delays.length - 1))]!);
  const figures = `${delays.length} tasks, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, latest ${at(1)} ms, seed ${seed}`;
  if (Deno.env.has("PHASES")) console.log(figures);
  assertEquals(started.size, committed.size, figures);
  assertLess(delays.at(-1)!, 1000, figures);
});
