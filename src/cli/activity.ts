import { quantileOf } from "../statistics/histogram.ts";
import type { QueueActivity, RecentError, TaskActivity } from "../store/activity.ts";
import type { Cell, Table } from "./table.ts";
import { formatSeconds } from "../times.ts";

/** The percentiles that are shown. */
const SHARES = { p50: 0.5, p95: 0.95, p99: 0.99 };
const NOTHING = "·";

/** A table of what queues did within `seconds`, and what is in them. */
export function queueTable(queues: readonly QueueActivity[], seconds: number): Table {
  const hasSuspended = queues.some(isSuspended);
  const header = [
    "queue",
    "completed",
    "failed",
    "retried",
    "per s",
    "wait p50",
    "p95",
    "p99",
    "due",
    "waiting",
    ...(hasSuspended ? ["suspended"] : []),
    "running",
    "oldest",
  ];
  return {
    header,
    rows: queues.map((
      { queue, completed, failed, retried, wait, due, waiting, suspended, running, places, oldest },
    ) => [
      queue,
      String(completed),
      countOf(failed, "red"),
      countOf(retried, "yellow"),
      formatRate((completed + failed) / seconds),
      ...quantilesOf(wait),
      orNothing(due),
      orNothing(waiting),
      ...(hasSuspended ? [orNothing(suspended)] : []),
      running === null ? NOTHING : `${running} of ${places ?? 0}`,
      oldest === null ? "" : formatSeconds(oldest),
    ]),
    right: header.map((_, column) => column).slice(1, -1),
    optional: ["p95", "waiting", "p99", "retried", "wait p50"].map((name) => header.indexOf(name)),
  };
}

/** Whether tasks of a queue were suspended: only then is there a column for them. */
export function isSuspended({ suspended }: QueueActivity): boolean {
  return suspended !== null && suspended > 0;
}

/** A table of what tasks did within `seconds`. */
export function nameTable(tasks: readonly TaskActivity[], seconds: number): Table {
  const header = ["task", "queue", "completed", "failed", "retried", "per s", "run p50", "p95", "p99"];
  return {
    header,
    rows: tasks.map(({ funcName, queue, completed, failed, retried, run }) => [
      funcName,
      queue,
      String(completed),
      countOf(failed, "red"),
      countOf(retried, "yellow"),
      formatRate((completed + failed) / seconds),
      ...quantilesOf(run),
    ]),
    right: [2, 3, 4, 5, 6, 7, 8],
    optional: ["p95", "p99"].map((name) => header.indexOf(name)),
  };
}

/** The fields of a queue, for JSON: durations in seconds. */
export function queueFields({ wait, ...queue }: QueueActivity, seconds: number): object {
  return { ...queue, per_second: (queue.completed + queue.failed) / seconds, wait: secondsOf(wait) };
}

/** The fields of a task, for JSON: durations in seconds. */
export function nameFields({ funcName, run, ...task }: TaskActivity, seconds: number): object {
  const rate = (task.completed + task.failed) / seconds;
  return { ...task, func_name: funcName, per_second: rate, run: secondsOf(run) };
}

/** The fields of an error, for JSON. */
export function errorFields({ funcName, lastTaskId, ...error }: RecentError): object {
  return { ...error, func_name: funcName, last_task_id: lastTaskId };
}

/** Formats a number of tasks a second: `0.03`, `4.2`, `1200`. */
export function formatRate(rate: number): string {
  if (rate === 0) return "0";
  return rate < 0.01 ? "<0.01" : rate < 1 ? rate.toFixed(2) : rate < 10 ? rate.toFixed(1) : String(Math.round(rate));
}

function secondsOf(histogram: readonly number[]): Record<string, number | null> {
  return Object.fromEntries(
    Object.entries(SHARES).map(([name, share]) => {
      const ms = quantileOf(histogram, share);
      return [name, ms === undefined ? null : Number((ms / 1000).toPrecision(3))];
    }),
  );
}

function quantilesOf(histogram: readonly number[]): string[] {
  return Object.values(SHARES).map((share) => {
    const ms = quantileOf(histogram, share);
    return ms === undefined ? NOTHING : formatSeconds(Number((ms / 1000).toPrecision(2)));
  });
}

function countOf(count: number, style: "red" | "yellow"): Cell {
  return count === 0 ? "0" : { text: String(count), style };
}

function orNothing(count: number | null): string {
  return count === null ? NOTHING : String(count);
}
