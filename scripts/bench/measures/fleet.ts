import type { Child } from "../child_process.ts";
import type { Metrics } from "../results.ts";
import { type Stage, startedBy } from "../stage.ts";

/** Whether consumers run at once what comes, or tasks that do not end keep all of their slots. */
export type Consumers = "idle" | "busy";

/** Starts one consumer. */
export async function startConsumer(stage: Stage, consumers: Consumers): Promise<Child> {
  const consumer = await stage.startIdle();
  if (consumers === "busy") {
    await stage.control.ask("schedule", { count: stage.peer.slots, at: 50, payload: { hold: true } });
  }
  await consumer.ask("consume");
  return consumer;
}

/** Many processes schedule, one call at a time each, while one consumer is idle or busy. */
export async function measureFleet(stage: Stage, consumers: Consumers): Promise<Metrics> {
  const { fleet, seconds, rest } = stage.sizes;
  const consumer = await startConsumer(stage, consumers);
  const producers: Child[] = [];
  // A few at a time, as starting a process takes a core.
  while (producers.length < fleet) {
    const count = Math.min(4, fleet - producers.length);
    producers.push(...await Promise.all(Array.from({ length: count }, () => stage.startProducer())));
  }
  // Each has but a share of a core, and is slow until its code is compiled.
  await Promise.all(producers.map((producer) => producer.ask("scheduleFor", { seconds, at: 1 })));
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
