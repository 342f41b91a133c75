import type { Metrics } from "../results.ts";
import type { Stage } from "../stage.ts";

/** One process schedules, `at` calls at a time; nobody consumes. */
export async function measureSchedule(stage: Stage, at: number): Promise<Metrics> {
  const producer = await stage.startProducer(at);
  return await stage.account([producer], async () => {
    const { count, seconds } = await producer.ask("scheduleFor", { seconds: stage.sizes.seconds, at });
    return { count, metrics: { rate: count / seconds } };
  });
}

/** One process schedules by calls with as many tasks as suit the peer. */
export async function measureBulk(stage: Stage): Promise<Metrics> {
  const producer = await stage.startProducer();
  return await stage.account([producer], async () => {
    const { count, seconds } = await producer.ask("fill", { count: stage.tasks, chunk: stage.peer.chunk });
    return { count, metrics: { rate: count / seconds } };
  });
}
