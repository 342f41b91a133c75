import { writeMetrics } from "../../../metrics.ts";
import { Firefly } from "../../../mod.ts";
import type { Metrics } from "../results.ts";
import type { Stage } from "../stage.ts";
import { measureRequests } from "./dashboard.ts";
import { sampleQueues } from "../../../src/store/statistics.ts";
import { fillTables } from "./million_tasks.ts";
import { fillSuspended } from "./suspended_tasks.ts";

/**
 * Measures a scrape of the metrics of this process and of the queues: without tasks, with ready ones, with suspended ones,
 * and with records.
 */
export async function measureScrape(stage: Stage): Promise<(Metrics & { page: string })[]> {
  const { ready, board } = stage.sizes;
  await using ff = new Firefly({ database: stage.url });
  const measure = async (page: string) => ({ ...await measureRequests(stage, () => writeMetrics(ff)), page });
  const empty = await measure("no tasks");
  await stage.control.ask("fill", { count: ready, chunk: stage.peer.chunk });
  await stage.settle();
  const withReady = await measure(`${ready.toLocaleString("en")} tasks ready`);
  await stage.sql`TRUNCATE firefly.task, firefly.ready`;
  await fillSuspended(stage.sql, ready);
  await sampleQueues((await ff.connect()).database.sql);
  const withSuspended = await measure(`${ready.toLocaleString("en")} tasks suspended`);
  await stage.sql`TRUNCATE firefly.task, firefly.waiting, firefly.queue_minute`;
  await fillTables(stage.sql, board);
  return [empty, withReady, withSuspended, await measure(`${board.toLocaleString("en")} records, 2.8% of them ready`)];
}
