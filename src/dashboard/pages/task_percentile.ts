import { readRunTimes } from "../../store/task_lists_task.ts";
import { formatSeconds } from "../../times.ts";
import type { PageContext } from "../context.ts";
import { countOf, percentile } from "../histogram.ts";
import type { ShownTask } from "./task_facts.ts";

/** Fewer attempts say nothing about how long a task takes. */
const FEW = 20;

/** Compares how long a task runs with other tasks of its name in the last hour. */
export async function percentileNote(context: PageContext, { func_name, started }: ShownTask): Promise<string> {
  const histogram = await readRunTimes(context.sql, func_name);
  if (started === null || countOf(histogram) < FEW) return "";
  const p95 = percentile(histogram, 0.95) ?? 0;
  const ran = (context.now.getTime() - started.getTime()) / 1000;
  const words = `p95 of the last hour is ${formatSeconds(p95)}`;
  return ran > p95 ? `${words}: it is slower than 95 of 100` : words;
}
