import type { Child } from "../child_process.ts";
import type { Metrics } from "../results.ts";
import { type Stage, startedBy } from "../stage.ts";

/**
 * Many processes schedule, one call at a time each, while one consumer is `idle`, and so runs at once what comes, or
 * `busy`: tasks that do not end keep all of its slots.
 */
export async function measureFleet(stage: Stage, consumers: "idle" | "busy"): Promise<Metrics> {
  const { fleet, seconds, rest } = stage.sizes;
  const consumer = await stage.startIdle();
  if (consumers === "busy") {
    await stage.control.ask("schedule", { count: stage.peer.slots, at: 50, payload: { hold: true } });
  }
  await consumer.ask("consume");
  const producers: Child[] = [];
  // A few at a time, as starting a process takes a core.
  while (producers.length < fleet) {
    const count = Math.min(4, fleet - producers.length);
    producers.push(...await Promise.all(Array.from({ length: count }, () => stage.startProducer())));
  }
  await stage.sleep(rest);
  const before = startedBy([consumer]);
  return await stage.account(producers, async () => {
    const all = await Promise.all(producers.map((producer) => producer.ask("scheduleFor", { seconds, at: 1 })));
    const count = all.reduce((total, one) => total + one.count, 0);
    const rate = all.reduce((total, one) => total + one.count / one.seconds, 0);
    const behind = count - (startedBy([consumer]) - before);
    return { count, metrics: consumers === "idle" ? { rate, behind } : { rate } };
  });
}
