import { markdownTable } from "../markdown_table.ts";
import { PEERS } from "./peers.ts";
import type { Metric, Results } from "./results.ts";
import type { Scenario } from "./scenarios.ts";
import { summarize } from "./statistics.ts";
import { formatNumber } from "./tables.ts";

/** The numbers that a user asks for first. */
const QUESTIONS: readonly { readonly what: string; readonly scenario: Scenario; readonly metric: Metric }[] = [
  { what: "tasks run a second, 1 process", scenario: "drain_1", metric: "rate" },
  { what: "tasks run a second, 2 processes", scenario: "drain_2", metric: "rate" },
  { what: "tasks with a transaction a second", scenario: "effects", metric: "rate" },
  { what: "scheduled a second, in bulk", scenario: "bulk", metric: "rate" },
  { what: "scheduled a second, 100 at a time", scenario: "schedule_100", metric: "rate" },
  { what: "scheduled a second, 10 at a time", scenario: "schedule_10", metric: "rate" },
  { what: "scheduled a second, one at a time", scenario: "schedule_1", metric: "rate" },
  { what: "ms from schedule() to the handler, p50", scenario: "latency", metric: "p50" },
  { what: "ms from schedule() to the handler, p99", scenario: "latency", metric: "p99" },
  { what: "bytes of log (WAL) a task run", scenario: "drain_1", metric: "wal" },
  { what: "MB of a busy consumer", scenario: "drain_1", metric: "memory" },
];

/** Whom a user would take instead. */
const ALTERNATIVES = ["firefly", "graphile-fast", "pgboss-fast", "bullmq"];

/** The table at the top of the page: what was measured of the numbers that a user asks for first, beside the others. */
export function headlineTable(results: Results): string[] {
  const peers = PEERS.filter(({ name }) => ALTERNATIVES.includes(name));
  const rows = QUESTIONS.flatMap(({ what, scenario, metric }) => {
    const numbers = peers.map(({ name }) => summarize(results, { peer: name, scenario, metric })?.median);
    if (numbers[0] === undefined) return [];
    return [[what, ...numbers.map((number) => number === undefined ? "" : formatNumber(number))]];
  });
  return markdownTable(["", ...peers.map(({ title }) => title)], rows);
}
