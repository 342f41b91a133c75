import process from "node:process";
import type { Consumer } from "../consume/consume.ts";
import type { ConsumerCounts } from "../consume/counts.ts";
import type { ReleaseCounts } from "../claim/dependants.ts";
import { addHistogram, type Histogram } from "../statistics/histogram.ts";
import { type Counts, Tally } from "../statistics/tally.ts";
import { VERSION } from "../version.ts";
import { Known } from "./known.ts";
import { addSteps } from "./step_metrics.ts";
import { toSample } from "./samples.ts";
import type { MetricsText } from "./text.ts";

/** The tasks that are told apart, each with its queue; the others are summed up as `other`. */
const TASKS = new Known(100);
/** The queues whose waits are told apart. */
const QUEUES = new Known(50);

const OUTCOMES = ["completed", "failed", "retried", "snoozed", "suspended", "cancelled", "lost"] as const;

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
  addSteps(text, counts.map(({ steps }) => steps).filter((steps) => steps !== undefined));
  addReleases(text, counts.map(({ releases }) => releases));
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

/** Adds the releases of tasks that wait for others. */
function addReleases(text: MetricsText, all: readonly ReleaseCounts[]): void {
  const sum = { released: 0, cancelled: 0, waits: [] as Histogram, waited: 0 };
  for (const { released, cancelled, waits, waited } of all) {
    sum.released += released;
    sum.cancelled += cancelled;
    addHistogram(sum.waits, waits);
    sum.waited += waited;
  }
  text.counter("firefly_dependants_total", "Tasks that waited for others until these had ended, by the outcome.");
  for (const outcome of ["released", "cancelled"] as const) {
    text.add("firefly_dependants_total", sum[outcome], { outcome });
  }
  text.histogram("firefly_release_seconds", "From the ends of tasks to the release of those that depend on them.");
  text.addHistogram("firefly_release_seconds", toSample(sum.waits, sum.waited), {});
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
