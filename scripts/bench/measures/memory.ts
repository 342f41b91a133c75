import { memoryOf } from "../proc.ts";
import type { Metrics } from "../results.ts";
import type { Stage } from "../stage.ts";

/** The memory of a consumer that has nothing to do. That of a busy one is the drain's. */
export async function measureMemory(stage: Stage): Promise<Metrics> {
  const consumer = await stage.startIdle();
  await consumer.ask("consume");
  await stage.sleep(2 * stage.sizes.rest);
  return { memory: memoryOf(consumer.pid).now };
}
