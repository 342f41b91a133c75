import { isServerFault } from "../database/error_codes.ts";
import { DatabaseUnreachable } from "../errors.ts";
import type { Firefly } from "../firefly/firefly.ts";
import {
  type ConsumerTotals,
  countConsumers,
  type LeftOver,
  type QueueLoad,
  readLeftOver,
  readQueueLoads,
} from "../store/queue_load.ts";
import { addConsumerMetrics } from "./consumer_metrics.ts";
import { addQueueMetrics } from "./queue_metrics.ts";
import { MetricsText } from "./text.ts";

export { CONTENT_TYPE } from "./text.ts";

/** Which metrics to write. */
export interface MetricsOptions {
  /**
   * `"consumer"` for what this process has counted, `"queues"` for what the database holds.
   *
   * @default both
   */
  only?: "consumer" | "queues";
}

/** Milliseconds that the metrics wait for the database: a scrape has 10 s as a rule. */
const DEADLINE = 5000;

/**
 * Writes the metrics of an instance in the text format of Prometheus: what its consumers in this process have counted,
 * and what the database holds. Without an answer from the database it leaves that out, and `firefly_database_up` is 0.
 *
 * @example Answer Prometheus from a server of your own
 * ```ts ignore
 * import { CONTENT_TYPE, writeMetrics } from "@firefly/tasks/metrics";
 *
 * app.get("/metrics", async (c) => c.text(await writeMetrics(firefly), 200, { "content-type": CONTENT_TYPE }));
 * ```
 */
export async function writeMetrics(firefly: Firefly, { only }: MetricsOptions = {}): Promise<string> {
  const text = new MetricsText();
  if (only !== "queues") addConsumerMetrics(text, firefly.running.all);
  const found = await within(DEADLINE, readDatabase(firefly, only !== "consumer"));
  text.gauge("firefly_database_up", "Whether the database answered this scrape.");
  text.add("firefly_database_up", found ? 1 : 0);
  if (!found) return text.toString();
  text.gauge("firefly_database_round_trip_seconds", "How long a small statement took, there and back.");
  text.add("firefly_database_round_trip_seconds", found.roundTrip);
  if (found.queues) addQueueMetrics(text, { ...found.queues, totals: found.totals });
  return text.toString();
}

/** What the database answers. */
interface Found {
  readonly roundTrip: number;
  readonly totals: ConsumerTotals;
  readonly queues: { readonly loads: readonly QueueLoad[]; readonly leftOver: LeftOver } | undefined;
}

/** Reads what the database holds; undefined where it cannot be reached. */
async function readDatabase(firefly: Firefly, withQueues: boolean): Promise<Found | undefined> {
  try {
    const { database: { sql } } = await firefly.connect();
    const start = performance.now();
    const totals = await countConsumers(sql);
    const roundTrip = (performance.now() - start) / 1000;
    const queues = withQueues ? { loads: await readQueueLoads(sql), leftOver: await readLeftOver(sql) } : undefined;
    return { roundTrip, totals, queues };
  } catch (error) {
    if (isServerFault(error) || error instanceof DatabaseUnreachable) return undefined;
    throw error;
  }
}

async function within<T>(ms: number, reading: Promise<T>): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<undefined>((resolve) => timer = setTimeout(() => resolve(undefined), ms));
  reading.catch(() => {}); // it may fail after the deadline
  try {
    return await Promise.race([reading, late]);
  } finally {
    clearTimeout(timer);
  }
}
