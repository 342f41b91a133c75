import type { ConsumerConfig } from "../attempt/consumer_config.ts";
import type { Tag } from "../database/driver.ts";
import { readServedQueues } from "../store/served_queues.ts";
import { queuesOf } from "./options.ts";

/** A queue that no consumer serves, and the tasks defined here that go there. */
export interface UnservedQueue {
  readonly queue: string;
  /** Their names, without aliases. */
  readonly tasks: readonly string[];
}

/**
 * Finds the queues of a consumer's own tasks that neither it nor another live consumer serves. It reads the database only
 * if the consumer leaves one out.
 */
export async function findUnserved(
  sql: Tag,
  { queues, allQueues, definitions, defaults }: ConsumerConfig,
): Promise<UnservedQueue[]> {
  const own = [...new Set(definitions.values())];
  const left = queuesOf(own, defaults.queue).filter((queue) => !queues.includes(queue));
  if (allQueues || left.length === 0) return [];
  const served = await readServedQueues(sql);
  return left.filter((queue) => !served.includes(queue)).map((queue) => ({
    queue,
    tasks: own.filter((task) => (task.queue ?? defaults.queue ?? "default") === queue).map(({ name }) => name),
  }));
}
