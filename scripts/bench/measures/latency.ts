import type { Child } from "../child_process.ts";
import type { Metrics } from "../results.ts";
import { type Stage, startedBy } from "../stage.ts";
import { quantilesOf } from "../statistics.ts";

/** Tasks that are scheduled before anything is measured. */
const WARM_UP = 20;

/** From schedule to start, in another process, one task at a time with pauses of 3 to 10 ms. */
export async function measureLatency(stage: Stage): Promise<Metrics> {
  const { consumer, producer } = await startBoth(stage);
  await ping(WARM_UP, { consumer, producer });
  await consumer.ask("latencies");
  const count = stage.sizes.pings;
  return await stage.account([consumer], async () => {
    await ping(count, { consumer, producer });
    return { count, metrics: quantilesOf((await consumer.ask("latencies")).times) };
  });
}

async function ping(count: number, { consumer, producer }: { consumer: Child; producer: Child }): Promise<void> {
  for (let i = 0; i < count; i++) {
    await Promise.all([consumer.began(), producer.ask("ping", { pause: 3 + Math.random() * 7 })]);
  }
}

/** From schedule to start while tasks come at random times, `rate` a second on average. */
export async function measureLoad(stage: Stage, rate: number): Promise<Metrics> {
  const { consumer, producer } = await startBoth(stage);
  const seconds = stage.sizes.seconds * 2;
  await producer.ask("load", { rate, seconds: stage.sizes.seconds / 3 });
  await consumer.ask("latencies");
  const before = startedBy([consumer]);
  return await stage.account([consumer], async () => {
    const { count, seconds: taken } = await producer.ask("load", { rate, seconds });
    await stage.waitFor(() => startedBy([consumer]) - before >= count);
    return { count, metrics: { rate: count / taken, ...quantilesOf((await consumer.ask("latencies")).times) } };
  });
}

/** From schedule to the result in the process that scheduled, one task at a time. */
export async function measureResult(stage: Stage): Promise<Metrics> {
  const { consumer, producer } = await startBoth(stage);
  await producer.ask("roundTrips", { count: WARM_UP });
  return await stage.account([consumer], async () => {
    const { times } = await producer.ask("roundTrips", { count: stage.sizes.results });
    return { count: times.length, metrics: quantilesOf(times) };
  });
}

async function startBoth(stage: Stage): Promise<{ consumer: Child; producer: Child }> {
  const consumer = await stage.startIdle();
  await consumer.ask("consume");
  const producer = await stage.startProducer();
  await stage.sleep(stage.sizes.rest);
  return { consumer, producer };
}
