import type { Bucket } from "../../store/queue_statistics.ts";
import { percentile } from "../histogram.ts";
import type { Steps } from "./overview_series.ts";

/** The delays before a start: of the whole span, and of each step of it. */
export function delayOf(delays: readonly Bucket[], steps: Steps) {
  const all: number[] = [];
  const each = Array.from({ length: steps.count }, (): number[] => []);
  for (const { at, bucket, count } of delays) {
    all[bucket - 1] = (all[bucket - 1] ?? 0) + count;
    const step = each[steps.indexOf(at)];
    if (step) step[bucket - 1] = count;
  }
  return {
    median: percentile(all, 0.5),
    p95: percentile(all, 0.95),
    line: each.map((step) => percentile(step, 0.95)),
    medians: each.map((step) => percentile(step, 0.5)),
  };
}
