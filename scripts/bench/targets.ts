import type { Metric, Results } from "./results.ts";
import type { Scenario } from "./scenarios.ts";
import { type Choice, summarize } from "./statistics.ts";

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
  "drain_2/drain_1": "",
  "drain_2/graphile": "",
  "effects/loop": "",
  "schedule_1/bare": "",
  "schedule_1/graphile": "",
  "schedule_10/graphile": "",
  "schedule_10/bullmq": "",
  "schedule_100/bullmq": "",
  "bulk/graphile": "",
  "fleet_busy/silent": "",
  "fleet_busy/inserts": "",
  "latency/p50": "",
  "latency/p99": "",
  "wal/graphile": "",
  "rounds/last": "",
  "memory/busy": "",
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
    of: "SQL alone",
    sense: "at least",
    bound: 0.75,
    measured: against("sql", "drain_1"),
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
    key: "schedule_1/graphile",
    scenario: "schedule, 1 at a time",
    of: "graphile-worker's",
    sense: "at least",
    bound: 3,
    measured: against("graphile-fast", "schedule_1"),
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
    bound: 0.7,
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
    bound: 3,
    measured: against("graphile-fast", "bulk"),
  },
  {
    key: "fleet_busy/silent",
    scenario: "16 processes scheduling, consumers busy",
    of: "the same without NOTIFY",
    sense: "at least",
    bound: 0.8,
    measured: against("firefly-silent", "fleet_busy"),
  },
  {
    key: "fleet_busy/inserts",
    scenario: "16 sessions of pgbench scheduling, consumers busy",
    of: "the same without NOTIFY",
    sense: "at least",
    bound: 0.8,
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
    bound: 0.6,
    measured: latency("p99"),
  },
  {
    key: "wal/graphile",
    scenario: "WAL of a drained task",
    of: GRAPHILE,
    sense: "at most",
    bound: 0.6,
    measured: against("graphile-fast", "drain_1", "wal"),
  },
  {
    key: "rounds/last",
    scenario: "drain, the last round of 50,000",
    of: "the first round",
    sense: "at least",
    bound: 0.85,
    measured(results) {
      const choice = { peer: "firefly", scenario: "rounds", metric: "rate" } as const;
      return ratioOf(results, { ...choice, step: results.run.sizes.steps }, { ...choice, step: 1 });
    },
  },
  {
    key: "memory/busy",
    scenario: "memory, busy consumer",
    of: "in a drain, at most",
    sense: "less than",
    bound: 150,
    unit: "MB",
    measured: (results) => summarize(results, { peer: "firefly", scenario: "drain_1", metric: "memory" })?.median,
  },
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
