import type { Metric } from "./results.ts";
import type { Scenario, Sizes } from "./scenarios.ts";

/** A number that a section compares. */
export interface Compared {
  readonly metric: Metric;
  readonly title: string;
}

/** A table of the page. */
export interface Section {
  readonly scenario: Scenario;
  readonly title: string;
  /** How it is measured. */
  about(sizes: Sizes): string;
  /** Each with its least and most, and the ratio. */
  readonly compared: readonly Compared[];
  /** Shown by its median alone. */
  readonly others: readonly Compared[];
}

const RATE: Compared = { metric: "rate", title: "tasks/s" };
const COSTS: readonly Compared[] = [
  { metric: "wal", title: "WAL B/task" },
  { metric: "serverCpu", title: "server CPU µs/task" },
  { metric: "clientCpu", title: "client CPU µs/task" },
];
const MEMORY: Compared = { metric: "memory", title: "memory MB" };
const FROM_FIRST: Compared = { metric: "rateFromFirst", title: "tasks/s from the first start on" };
const QUANTILES: readonly Compared[] = [
  { metric: "p50", title: "p50 ms" },
  { metric: "p95", title: "p95 ms" },
  { metric: "p99", title: "p99 ms" },
];

function ofDrain(consumers: 1 | 2): Section {
  return {
    scenario: `drain_${consumers}`,
    title: consumers === 1 ? "Drain, 1 process" : "Drain, 2 processes",
    about: ({ tasks }) =>
      `${
        tasks.toLocaleString("en")
      } tasks that do nothing wait in freshly vacuumed tables. Measured from the start of ` +
      `${consumers === 1 ? "the consumer" : "the consumers"} to the end of the last task. Memory is the maximum of a ` +
      "consumer.",
    compared: [RATE],
    others: [FROM_FIRST, ...COSTS, MEMORY],
  };
}

/** All of them but those of the rounds and the records, whose tables are of another kind. */
export const SECTIONS: readonly Section[] = [
  {
    scenario: "schedule_1",
    title: "Schedule, one at a time",
    about: ({ seconds }) => `One process schedules for ${seconds} s, one call after another. No consumer runs.`,
    compared: [RATE],
    others: COSTS,
  },
  {
    scenario: "schedule_10",
    title: "Schedule, 10 at a time",
    about: () => "The same with 10 concurrent calls.",
    compared: [RATE],
    others: COSTS,
  },
  {
    scenario: "schedule_100",
    title: "Schedule, 100 at a time",
    about: () => "The same with 100 concurrent calls.",
    compared: [RATE],
    others: COSTS,
  },
  {
    scenario: "bulk",
    title: "Schedule, bulk",
    about: ({ tasks }) => `${tasks.toLocaleString("en")} tasks by calls with many tasks each: see the settings below.`,
    compared: [RATE],
    others: COSTS,
  },
  {
    scenario: "fleet_idle",
    title: "Many processes scheduling, consumers idle",
    about: ({ fleet }) =>
      `${fleet} processes schedule, each one call at a time, and one consumer runs the tasks. Tasks that have ` +
      "not started when the processes end are behind. pgbench uses as many sessions; SQL alone has no consumer.",
    compared: [RATE],
    others: [{ metric: "behind", title: "tasks behind" }, ...COSTS],
  },
  {
    scenario: "fleet_busy",
    title: "Many processes scheduling, consumers busy",
    about: ({ fleet }) =>
      `${fleet} processes schedule, each one call at a time, while endless tasks keep all slots of the ` +
      "consumer busy. pgbench uses as many sessions; SQL alone has no consumer.",
    compared: [RATE],
    others: COSTS,
  },
  ofDrain(1),
  ofDrain(2),
  {
    scenario: "effects",
    title: "Drain with effects",
    about: ({ effects }) =>
      `${effects.toLocaleString("en")} tasks, 16 at a time; each inserts a row in the transaction that completes it.`,
    compared: [RATE],
    others: [FROM_FIRST, ...COSTS, MEMORY],
  },
  {
    scenario: "latency",
    title: "Latency at low load",
    about: ({ pings }) =>
      `From the call that schedules to the start of the handler in another process. ${pings} tasks, one at a time, with ` +
      "pauses of 3 to 10 ms. A ratio below 1 is better.",
    compared: QUANTILES,
    others: [],
  },
  {
    scenario: "latency_load",
    title: "Latency under the same load",
    about: ({ rate, seconds }) =>
      `The same while tasks arrive at random times for ${2 * seconds} s, ${rate} a second on average for each peer.`,
    compared: QUANTILES,
    others: [RATE],
  },
  {
    scenario: "latency_half",
    title: "Latency under half of its own load",
    about: () =>
      "The same at half of the rate at which the peer schedules one at a time, so each peer has its own load.",
    compared: QUANTILES,
    others: [RATE],
  },
  {
    scenario: "result",
    title: "Round trip of a result",
    about: ({ results }) =>
      `From the call that schedules to the result in the same process, ${results} in succession; the consumer is ` +
      "another process.",
    compared: QUANTILES,
    others: [],
  },
  {
    scenario: "memory",
    title: "Memory of an idle consumer",
    about: () => "The resident memory of an idle consumer process. Most of it belongs to Node or Deno.",
    compared: [MEMORY],
    others: [],
  },
];
