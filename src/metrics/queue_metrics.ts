import type { ConsumerTotals, LeftOver, QueueLoad } from "../store/queue_load.ts";
import type { MetricsText } from "./text.ts";
import { wantedConsumers } from "./wanted.ts";

/** The most queues that are told apart; the others are summed up as `other`. */
const MOST_QUEUES = 100;

/** What a queue has as metrics. */
interface QueueMetrics {
  readonly queue: string;
  readonly paused: number;
  readonly consumers: number;
  readonly slots: number;
  readonly ready: number;
  readonly running: number;
  readonly backlog: number;
  readonly oldest: number;
  readonly wanted: number;
  readonly waiting: Readonly<Record<string, number>>;
  readonly lastMinute: Readonly<Record<string, number>>;
}

/** The gauges that have one value for each queue. */
const GAUGES: readonly [
  name: string,
  key: "ready" | "backlog" | "oldest" | "running" | "slots" | "paused",
  help: string,
][] = [
  ["firefly_queue_ready", "ready", "Tasks that may run now."],
  ["firefly_queue_backlog", "backlog", "Tasks that are due and that no consumer has claimed: ready, or about to be."],
  ["firefly_queue_oldest_due_seconds", "oldest", "For how long the oldest task of the backlog has been due."],
  ["firefly_queue_running", "running", "Tasks that consumers have claimed."],
  ["firefly_queue_slots", "slots", "Tasks that the live consumers of the queue can run at a time."],
  ["firefly_queue_paused", "paused", "Whether the queue is paused."],
];

/** Adds what the database holds: the same from whatever process, so take the maximum over processes. */
export function addQueueMetrics(
  text: MetricsText,
  { loads, totals, leftOver }: {
    readonly loads: readonly QueueLoad[];
    readonly totals: ConsumerTotals;
    readonly leftOver: LeftOver;
  },
): void {
  const queues = capQueues(loads.map(toMetrics));
  for (const [name, key, help] of GAUGES) {
    text.gauge(name, help);
    for (const { queue, [key]: value } of queues) text.add(name, value, { queue });
  }
  text.gauge("firefly_queue_consumers", "Live consumers that serve the queue.");
  for (const { queue, consumers } of queues) text.add("firefly_queue_consumers", consumers, { queue });
  text.gauge("firefly_queue_waiting", "Tasks that may not run yet, by the reason.");
  for (const { queue, waiting } of queues) {
    for (const [reason, count] of Object.entries(waiting)) text.add("firefly_queue_waiting", count, { queue, reason });
  }
  text.gauge("firefly_queue_last_minute", "Attempts that ended in the last whole minute, by the outcome.");
  for (const { queue, lastMinute } of queues) {
    for (const [outcome, n] of Object.entries(lastMinute)) text.add("firefly_queue_last_minute", n, { queue, outcome });
  }
  text.gauge("firefly_wanted_consumers", "Consumers that keep up with the queue and work off its backlog in a minute.");
  for (const { queue, wanted } of queues) text.add("firefly_wanted_consumers", wanted, { queue });
  text.gauge("firefly_consumers", "Consumers of all queues, by their state.");
  for (const [state, count] of Object.entries(totals)) text.add("firefly_consumers", count, { state });
  text.gauge("firefly_signals", "Signals that no task has received yet.");
  text.add("firefly_signals", leftOver.signals);
  text.gauge("firefly_unreleased", "Tasks that have ended and whose dependants have not been released.");
  text.add("firefly_unreleased", leftOver.unreleased);
  text.gauge("firefly_unreleased_oldest_seconds", "For how long the oldest of them has ended.");
  text.add("firefly_unreleased_oldest_seconds", leftOver.oldest);
}

function toMetrics(load: QueueLoad): QueueMetrics {
  const { queue, paused, consumers, slots, ready, running, delayed, due, unknown, concurrency, rate, waits, oldest } =
    load;
  return {
    queue,
    paused: paused ? 1 : 0,
    consumers,
    slots,
    ready,
    running,
    backlog: ready + due,
    oldest: oldest ?? 0,
    wanted: wantedConsumers(load),
    waiting: { time: delayed, unknown, concurrency, rate, ...waits },
    lastMinute: load.lastMinute,
  };
}

/** Keeps the queues with the most tasks and sums up the others, so that names made of data do not flood Prometheus. */
function capQueues(queues: QueueMetrics[]): QueueMetrics[] {
  if (queues.length <= MOST_QUEUES) return queues;
  const tasks = ({ backlog, running, waiting }: QueueMetrics) =>
    backlog + running + Object.values(waiting).reduce((sum, count) => sum + count, 0);
  const sorted = queues.toSorted((a, b) => tasks(b) - tasks(a));
  return [...sorted.slice(0, MOST_QUEUES), sorted.slice(MOST_QUEUES).reduce(addQueue)];
}

function addQueue(sum: QueueMetrics, one: QueueMetrics): QueueMetrics {
  return {
    queue: "other",
    paused: Math.max(sum.paused, one.paused),
    consumers: Math.max(sum.consumers, one.consumers),
    slots: Math.max(sum.slots, one.slots),
    ready: sum.ready + one.ready,
    running: sum.running + one.running,
    backlog: sum.backlog + one.backlog,
    oldest: Math.max(sum.oldest, one.oldest),
    wanted: Math.max(sum.wanted, one.wanted),
    waiting: addEach(sum.waiting, one.waiting),
    lastMinute: addEach(sum.lastMinute, one.lastMinute),
  };
}

function addEach(sum: Readonly<Record<string, number>>, one: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(sum).map(([key, value]) => [key, value + one[key]!]));
}
