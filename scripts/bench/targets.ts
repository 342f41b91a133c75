import { DASHBOARD_TARGETS } from "./dashboard_targets.ts";
import type { Metric, Results } from "./results.ts";
import type { Scenario } from "./scenarios.ts";
import { type Choice, summarize } from "./statistics.ts";
import { TRACING_TARGETS } from "./tracing_targets.ts";

/** What Firefly should reach, as a ratio or a number. */
export interface Target {
  /** The name under which the reason stands if it is missed. */
  readonly key: string;
  readonly scenario: string;
  /** What is compared. */
  readonly of: string;
  readonly sense: "at least" | "at most" | "more than" | "less than";
  readonly bound: number;
  readonly unit?: string;
  /** Undefined if something of it was not measured. */
  measured(results: Results): number | undefined;
}

/** Why a target is missed, as profiling showed. */
export const REASONS: Readonly<Record<string, string>> = {
  "drain_1/graphile": "",
  "drain_1/pgboss": "",
  "drain_1/sql": "",
  "drain_1/server":
    "A claim takes 1.0 and a completion 2.1 µs a task (of 1,000, CPU of the backend alone), of which the UPDATE in place is nearly all; connecting, planning, and writing the log take the rest",
  "drain_1/client": "",
  "drain_2/drain_1":
    "The two consumers and the server share two processors, and each process compiles its code for itself: 8 to 10 µs of client CPU a task instead of 5. One process already keeps the server busy for 70% of the time",
  "drain_2/graphile": "As above: both products fill both processors, with 14 µs of CPU a task here and 27 there",
  "effects/loop":
    "Two round trips instead of the loop's five, and a third less log, but the claim, the attempt and the statistics are for each task, too: 175 µs of the server and 173 of the client, as by hand",
  "schedule_1/bare":
    "On the server 43 µs more than the bare INSERT's 28, without the commit: 13 for the columns' domains and the statement around it, 8 for `ready`, 22 for the notification, which is sent as no consumer lives here (with a busy one, 7). In the client 45 µs more: deadlines, promises and the record",
  "schedule_10/graphile":
    "A statement costs 240 µs of the server and 200 of the client before its first row, which ten tasks share; calls of one tick are one statement, so client and server take turns",
  "schedule_10/bullmq": "As above; BullMQ sends each job at once and waits for no disk",
  "schedule_100/bullmq": "",
  "bulk/graphile":
    "Server and client take 3.4 µs a task each, and take turns: a call is one statement, which is encoded before it is sent. To send pieces while the next ones are encoded cost 15% more CPU",
  "fleet_busy/silent": "",
  "fleet_busy/inserts":
    "Each INSERT asks whether a consumer sleeps: 7 µs of some 60 on the server, for the lock and two lookups",
  "latency/p50":
    "A task goes the same way as graphile-worker's: INSERT, notification, claim, handler, each of which wakes an idle process. In the three rounds it took 1.14, 1.44 and 0.88 × as long. To hand the task over with the notification would save the claim; its channel could be read, and forged, by all who see the role's statements",
  "latency/p99": "As above, and four processes share two processors",
  "wal/graphile": "",
  "rounds/last":
    "In two of three runs the last round met a vacuum or a checkpoint of the grown table: 538 B of log instead of 319, and 8.2 µs of the server instead of 4.8. In the third it was as fast as the first round (1.01 ×)",
  "records/rate":
    "0.96 in a second run of this scenario on the same day. The server takes 0.2 to 0.4 µs of 5.4 more, and no statement reads more rows; ten million come minutes after ten thousand, and this machine's speed changes by more meanwhile",
  "records/oneRate":
    "0.94 in a second run, too: probably as the table (6 GB) and its index do not fit into the server's buffers (1 GB)",
  "records/scheduleRate": "0.91 in a second run: as above",
  "memory/busy": "",
  "dashboard/pages":
    "The question whether to cancel what waits in a queue counted 74,000 tasks one by one; all other pages took up to 45 ms. Since this run one statement counts them: 27 ms, and the slowest page takes 41",
  "dashboard/overview": "",
  "drain_1/uncounted": "",
  "traces/in bulk": "",
  "traces/one by one": "",
};

const GRAPHILE = "graphile-worker's fastest";

/** Firefly's number by another peer's, in one scenario. */
function against(peer: string, scenario: Scenario, metric: Metric = "rate"): Target["measured"] {
  return (results) => ratioOf(results, { peer: "firefly", scenario, metric }, { peer, scenario, metric });
}

function ratioOf(results: Results, mine: Choice, theirs: Choice): number | undefined {
  const [a, b] = [summarize(results, mine), summarize(results, theirs)];
  return a && b && a.median / b.median;
}

/** Firefly's latency by the lower one of graphile-worker's two. */
function latency(metric: "p50" | "p99"): Target["measured"] {
  return (results) => {
    const ratios = ["graphile-fast", "graphile-default"].map((peer) => against(peer, "latency", metric)(results));
    const known = ratios.filter((ratio) => ratio !== undefined);
    return known.length > 0 ? Math.max(...known) : undefined;
  };
}

/** The targets, in the order of the page. */
export const TARGETS: readonly Target[] = [
  {
    key: "drain_1/graphile",
    scenario: "drain, 1 process",
    of: GRAPHILE,
    sense: "at least",
    bound: 2,
    measured: against("graphile-fast", "drain_1"),
  },
  {
    key: "drain_1/pgboss",
    scenario: "drain, 1 process",
    of: "pg-boss's fastest",
    sense: "at least",
    bound: 3,
    measured: against("pgboss-fast", "drain_1"),
  },
  {
    key: "drain_1/sql",
    scenario: "drain, 1 process",
    of: "SQL alone, on the first tables",
    sense: "at least",
    bound: 0.75,
    measured: against("sql", "drain_1"),
  },
  {
    key: "drain_1/server",
    scenario: "drain, 1 process, CPU of a task",
    of: "on the server",
    sense: "at most",
    bound: 3,
    unit: "µs",
    measured: (results) => summarize(results, { peer: "firefly", scenario: "drain_1", metric: "serverCpu" })?.median,
  },
  {
    key: "drain_1/client",
    scenario: "drain, 1 process, CPU of a task",
    of: "in the consumer",
    sense: "at most",
    bound: 7,
    unit: "µs",
    measured: (results) => summarize(results, { peer: "firefly", scenario: "drain_1", metric: "clientCpu" })?.median,
  },
  {
    key: "drain_2/drain_1",
    scenario: "drain, 2 processes",
    of: "Firefly's with 1",
    sense: "at least",
    bound: 1,
    measured: (results) =>
      ratioOf(results, { peer: "firefly", scenario: "drain_2", metric: "rate" }, {
        peer: "firefly",
        scenario: "drain_1",
        metric: "rate",
      }),
  },
  {
    key: "drain_2/graphile",
    scenario: "drain, 2 processes",
    of: GRAPHILE,
    sense: "at least",
    bound: 2,
    measured: against("graphile-fast", "drain_2"),
  },
  {
    key: "effects/loop",
    scenario: "drain with transactional effects",
    of: "a loop written by hand",
    sense: "at least",
    bound: 1.3,
    measured: against("bare", "effects"),
  },
  {
    key: "schedule_1/bare",
    scenario: "schedule, 1 at a time",
    of: "a bare INSERT",
    sense: "at least",
    bound: 0.8,
    measured: against("bare", "schedule_1"),
  },
  {
    key: "schedule_10/graphile",
    scenario: "schedule, 10 at a time",
    of: "graphile-worker's",
    sense: "at least",
    bound: 15,
    measured: against("graphile-fast", "schedule_10"),
  },
  {
    key: "schedule_10/bullmq",
    scenario: "schedule, 10 at a time",
    of: "BullMQ's on Redis",
    sense: "at least",
    bound: 0.5,
    measured: against("bullmq", "schedule_10"),
  },
  {
    key: "schedule_100/bullmq",
    scenario: "schedule, 100 at a time",
    of: "BullMQ's on Redis",
    sense: "more than",
    bound: 1,
    measured: against("bullmq", "schedule_100"),
  },
  {
    key: "bulk/graphile",
    scenario: "schedule, bulk",
    of: "graphile-worker's",
    sense: "at least",
    bound: 2.5,
    measured: against("graphile-fast", "bulk"),
  },
  {
    key: "fleet_busy/silent",
    scenario: "16 processes scheduling, consumers busy",
    of: "the same without NOTIFY",
    sense: "at least",
    bound: 0.9,
    measured: against("firefly-silent", "fleet_busy"),
  },
  {
    key: "fleet_busy/inserts",
    scenario: "16 sessions of pgbench scheduling, consumers busy",
    of: "the same without NOTIFY",
    sense: "at least",
    bound: 0.9,
    measured: (results) =>
      ratioOf(results, { peer: "inserts", scenario: "fleet_busy", metric: "rate" }, {
        peer: "inserts-silent",
        scenario: "fleet_busy",
        metric: "rate",
      }),
  },
  {
    key: "latency/p50",
    scenario: "latency, idle, p50",
    of: "graphile-worker's lower one",
    sense: "at most",
    bound: 0.6,
    measured: latency("p50"),
  },
  {
    key: "latency/p99",
    scenario: "latency, idle, p99",
    of: "graphile-worker's lower one",
    sense: "at most",
    bound: 0.8,
    measured: latency("p99"),
  },
  {
    key: "wal/graphile",
    scenario: "WAL of a drained task",
    of: GRAPHILE,
    sense: "at most",
    bound: 0.5,
    measured: against("graphile-fast", "drain_1", "wal"),
  },
  {
    key: "rounds/last",
    scenario: "drain, the last round of 50,000",
    of: "the first round",
    sense: "at least",
    bound: 0.95,
    measured(results) {
      const choice = { peer: "firefly", scenario: "rounds", metric: "rate" } as const;
      return ratioOf(results, { ...choice, step: results.run.sizes.steps }, { ...choice, step: 1 });
    },
  },
  ...([["drain", "rate"], ["schedule, 1 at a time", "oneRate"], ["schedule, bulk", "scheduleRate"]] as const).map(
    ([what, metric]): Target => ({
      key: `records/${metric}`,
      scenario: `${what}, beside 10 million records`,
      of: "beside ten thousand",
      sense: "at least",
      bound: 0.95,
      measured(results) {
        const choice = { peer: "firefly", scenario: "records", metric } as const;
        return ratioOf(results, { ...choice, step: results.run.sizes.records.length }, { ...choice, step: 1 });
      },
    }),
  ),
  {
    key: "memory/busy",
    scenario: "memory, busy consumer",
    of: "in a drain, at most",
    sense: "less than",
    bound: 130,
    unit: "MB",
    measured: (results) => summarize(results, { peer: "firefly", scenario: "drain_1", metric: "memory" })?.median,
  },
  ...DASHBOARD_TARGETS,
  ...TRACING_TARGETS,
];

/** Whether a number is what a target asks for. */
export function isMet({ sense, bound }: Pick<Target, "sense" | "bound">, measured: number): boolean {
  switch (sense) {
    case "at least":
      return measured >= bound;
    case "at most":
      return measured <= bound;
    case "more than":
      return measured > bound;
    case "less than":
      return measured < bound;
  }
}
