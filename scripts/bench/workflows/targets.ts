import type { Metric, Results } from "../results.ts";
import type { WorkflowScenario } from "../scenarios.ts";
import { summarize } from "../statistics.ts";
import type { Target } from "../targets.ts";

/** Why a target is missed, as profiling showed. */
export const WORKFLOW_REASONS: Readonly<Record<string, string>> = {
  "steps_20/dbos": "",
  "steps_20/absurd": "",
  "inserts_20/dbos": "",
  "wal/dbos": "",
  "wal/absurd": "",
  "wal_inserts/dbos": "",
  "fan_in/release": "",
  "sleepers/heap": "",
  "sleepers/sessions": "",
  "sleepers/timers": "",
};

function against(peer: string, scenario: WorkflowScenario, metric: Metric): Target["measured"] {
  return (results) => {
    const of = (peer: string) => summarize(results, { peer, scenario, metric })?.median;
    const [own, theirs] = [of("firefly"), of(peer)];
    return own && theirs && own / theirs;
  };
}

function own(scenario: WorkflowScenario, metric: Metric): (results: Results) => number | undefined {
  return (results) => summarize(results, { peer: "firefly", scenario, metric })?.median;
}

const PEERS = [["dbos", "DBOS"], ["absurd", "Absurd"]] as const;

/** What Firefly's workflows should reach, in the order of the page. */
export const WORKFLOW_TARGETS: readonly Target[] = [
  ...PEERS.map(([peer, of]): Target => ({
    key: `steps_20/${peer}`,
    scenario: "ten steps, 20 at a time",
    of,
    sense: "at least",
    bound: peer === "dbos" ? 3 : 2,
    measured: against(peer, "steps_20", "rate"),
  })),
  {
    key: "inserts_20/dbos",
    scenario: "ten steps with an INSERT each, 20 at a time",
    of: "DBOS",
    sense: "at least",
    bound: 2,
    measured: against("dbos", "inserts_20", "rate"),
  },
  ...PEERS.map(([peer, of]): Target => ({
    key: `wal/${peer}`,
    scenario: "WAL of a step, 20 at a time",
    of,
    sense: "at most",
    bound: 0.6,
    measured: against(peer, "steps_20", "wal"),
  })),
  {
    key: "wal_inserts/dbos",
    scenario: "WAL of a step with an INSERT, 20 at a time",
    of: "DBOS",
    sense: "at most",
    bound: 0.6,
    measured: against("dbos", "inserts_20", "wal"),
  },
  {
    key: "fan_in/release",
    scenario: "fan-in, release of a dependant",
    of: "an edge, on the server",
    sense: "at most",
    bound: 100,
    unit: "µs",
    measured: own("fan_in", "release"),
  },
  {
    key: "sleepers/heap",
    scenario: "many sleepers, heap of the consumer",
    of: "more than before",
    sense: "less than",
    bound: 1,
    unit: "MB",
    measured: own("sleepers", "heap"),
  },
  ...(["sessions", "timers"] as const).map((metric): Target => ({
    key: `sleepers/${metric}`,
    scenario: `many sleepers, ${metric}`,
    of: "more than before",
    sense: "at most",
    bound: 0,
    unit: metric,
    measured: own("sleepers", metric),
  })),
];
