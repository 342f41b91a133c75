import process from "node:process";
import type { Consumer } from "../consume/consume.ts";
import type { ConsumerCounts } from "../consume/counts.ts";
import type { Histogram } from "../statistics/histogram.ts";
import { type Counts, Tally } from "../statistics/tally.ts";
import { VERSION } from "../version.ts";
import type { HistogramSample, MetricsText } from "./text.ts";

/** What is told apart by a label: the first so many of this process, so that a counter keeps its labels and never falls. */
class Known {
  readonly #most: number;
  readonly #keys = new Set<string>();

  constructor(most: number) {
    this.#most = most;
  }

  /** Whether it is one of the first. */
  has(key: string): boolean {
    if (this.#keys.size < this.#most) this.#keys.add(key);
    return this.#keys.has(key);
  }
}

/** The tasks that are told apart, each with its queue; the others are summed up as `other`. */
const TASKS = new Known(100);
/** The queues whose waits are told apart. */
const QUEUES = new Known(50);

const OUTCOMES = ["completed", "failed", "retried", "snoozed", "cancelled", "lost"] as const;

/**
 * The bounds of buckets, each with the buckets of a {@linkcode Histogram} that it has: every second one, from 1 ms to 5
 * days, as each is a series of its own for every task.
 */
const BOUNDS = Array.from({ length: 18 }, (_, index) => ({
  seconds: Number((10 ** (index / 2 - 3)).toPrecision(3)),
  buckets: 1 + 2 * index,
}));

/** Adds what this process has counted: its own alone, so sum it up over processes. */
export function addConsumerMetrics(text: MetricsText, consumers: readonly Consumer[]): void {
  const counts = consumers.map(({ counts }) => counts).filter((counts) => counts !== undefined);
  text.gauge("firefly_build_info", "1, with the version of Firefly and the release of the application.");
  text.add("firefly_build_info", 1, { version: VERSION, release: counts[0]?.release ?? "" });
  addState(text, consumers, counts);
  text.counter("firefly_consumer_errors_total", "Failures of a consumer's own actions, which it retries: see events.");
  for (const [action, n] of sumErrors(counts)) text.add("firefly_consumer_errors_total", n, { action });
  const attempts = new Tally();
  for (const { attempts: counted, tasks } of counts) {
    if (!counted) continue;
    attempts.addAttempts(counted);
    // A counter that appears with its first failure has not increased for Prometheus: it begins with 0.
    for (const { queue, name } of tasks) attempts.of(queue, name);
  }
  addAttempts(text, attempts);
  addProcess(text);
}

function addState(text: MetricsText, consumers: readonly Consumer[], counts: readonly ConsumerCounts[]): void {
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const health = consumers.map(({ health }) => health);
  const gauges: [name: string, help: string, value: number][] = [
    ["ready", "Consumers of this process that claim tasks and have a lease.", countOf(health, isReady)],
    [
      "listener_up",
      "Consumers whose notifications arrive.",
      countOf(health, ({ listener }) => listener === "connected"),
    ],
    ["slots", "Handlers that may run at a time.", sum(counts.map(({ concurrency }) => concurrency))],
    ["slots_taken", "Handlers that run.", sum(counts.map(({ running }) => running))],
    ["wake_locks", "Wake locks held: 0 while it is busy and polls.", sum(counts.map(({ wakeLocks }) => wakeLocks))],
  ];
  for (const [name, help, value] of gauges) {
    text.gauge(`firefly_consumer_${name}`, help);
    text.add(`firefly_consumer_${name}`, value);
  }
}

function isReady({ state, leased }: Consumer["health"]): boolean {
  return state === "running" && leased;
}

function countOf<T>(values: readonly T[], predicate: (value: T) => boolean): number {
  return values.filter(predicate).length;
}

function sumErrors(counts: readonly ConsumerCounts[]): Map<string, number> {
  const sums = new Map<string, number>();
  for (const { errors } of counts) for (const [action, n] of errors) sums.set(action, (sums.get(action) ?? 0) + n);
  return sums;
}

/** Adds outcomes and times. */
function addAttempts(text: MetricsText, attempts: Tally): void {
  const byTask = new Tally();
  const byQueue = new Tally();
  for (const { queue, funcName, counts } of attempts.entries()) {
    const isKept = TASKS.has(JSON.stringify([queue, funcName]));
    addTo(byTask, { queue: isKept ? queue : "other", funcName: isKept ? funcName : "other", counts });
    addTo(byQueue, { queue: QUEUES.has(queue) ? queue : "other", funcName: "", counts });
  }
  text.counter("firefly_attempts_total", "Attempts that ended, by the outcome.");
  for (const { queue, funcName: task, counts } of byTask.entries()) {
    for (const outcome of OUTCOMES) text.add("firefly_attempts_total", counts[outcome], { queue, task, outcome });
  }
  text.histogram("firefly_run_seconds", "How long handlers ran.");
  for (const { queue, funcName: task, counts: { run, ran } } of byTask.entries()) {
    text.addHistogram("firefly_run_seconds", toSample(run, ran), { queue, task });
  }
  text.histogram("firefly_wait_seconds", "From when tasks were due to the starts of their attempts.");
  for (const { queue, counts: { wait, waited } } of byQueue.entries()) {
    text.addHistogram("firefly_wait_seconds", toSample(wait, waited), { queue });
  }
}

function addTo(
  sum: Tally,
  { queue, funcName, counts }: { readonly queue: string; readonly funcName: string; readonly counts: Counts },
): void {
  const one = new Tally();
  Object.assign(one.of(queue, funcName), counts);
  sum.addAttempts(one);
}

/** Converts a histogram of the statistics, whose durations sum up to `ms` milliseconds. */
export function toSample(histogram: Histogram, ms: number): HistogramSample {
  const upTo = (buckets: number) => histogram.slice(0, buckets).reduce((sum, count) => sum + count, 0);
  return {
    bounds: BOUNDS.map(({ seconds }) => seconds),
    counts: BOUNDS.map(({ buckets }) => upTo(buckets)),
    sum: ms / 1000,
    count: upTo(histogram.length),
  };
}

/** Adds the process itself, under the names that all exporters share. */
function addProcess(text: MetricsText): void {
  const { user, system } = process.cpuUsage();
  text.counter("process_cpu_seconds_total", "Time of the processor that the process has used.");
  text.add("process_cpu_seconds_total", (user + system) / 1e6);
  text.gauge("process_resident_memory_bytes", "Memory of the process.");
  text.add("process_resident_memory_bytes", process.memoryUsage().rss);
  text.gauge("process_start_time_seconds", "When the process started, in seconds since 1970.");
  text.add("process_start_time_seconds", performance.timeOrigin / 1000);
}
