import type { Peer } from "../peers.ts";
import type { Metrics } from "../results.ts";
import type { Scenario } from "../scenarios.ts";
import type { Stage } from "../stage.ts";
import { measureDashboard } from "./dashboard.ts";
import { measureDrain, measureRounds } from "./drain.ts";
import { measureFleet } from "./fleet.ts";
import { measureLatency, measureLoad, measureResult } from "./latency.ts";
import { measureMemory } from "./memory.ts";
import { measureRecords } from "./records.ts";
import { measureBulk, measureSchedule } from "./schedule.ts";
import { measureBareInserts, measureTaskInserts } from "./pgbench.ts";
import { measureScrape } from "./scrape.ts";
import { measureSqlDrain } from "./sql_drain.ts";
import { measureTraces } from "./traces.ts";
import { measureTrees } from "./trees.ts";
import { WORKFLOW_MEASURES } from "./workflows.ts";

/** Measures a peer in a scenario. `ownRate` is how many tasks a second it schedules one at a time, if that is known. */
export async function measure(
  stage: Stage,
  { scenario, ownRate }: { scenario: Scenario; ownRate: number | undefined },
): Promise<Measured | Measured[]> {
  return await MEASURES[stage.peer.by ?? "processes"][scenario]!(stage, ownRate);
}

type Measured = Metrics & { readonly page?: string };
type Measure = (stage: Stage, ownRate: number | undefined) => Promise<Measured | Measured[]>;

const BY_PROCESSES: Record<Scenario, Measure> = {
  ...WORKFLOW_MEASURES,
  schedule_1: (stage) => measureSchedule(stage, 1),
  schedule_10: (stage) => measureSchedule(stage, 10),
  schedule_100: (stage) => measureSchedule(stage, 100),
  bulk: measureBulk,
  fleet_idle: (stage) => measureFleet(stage, "idle"),
  fleet_busy: (stage) => measureFleet(stage, "busy"),
  drain_1: (stage) => measureDrain(stage, { consumers: 1 }),
  drain_2: (stage) => measureDrain(stage, { consumers: 2 }),
  effects: (stage) => measureDrain(stage, { consumers: 1, tasks: stage.sizes.effects }),
  latency: measureLatency,
  latency_load: (stage) => measureLoad(stage, stage.sizes.rate),
  latency_half(stage, ownRate) {
    if (ownRate === undefined) throw new Error("Its rate of schedule_1 is not known: measure that, too");
    return measureLoad(stage, ownRate / 2);
  },
  result: measureResult,
  rounds: measureRounds,
  records: measureRecords,
  memory: measureMemory,
  dashboard: measureDashboard,
  scrape: measureScrape,
  traces: measureTraces,
  trees: measureTrees,
};

const BY_SQL: Partial<Record<Scenario, Measure>> = {
  schedule_1: (stage) => measureBareInserts(stage, 1),
  fleet_idle: (stage) => measureBareInserts(stage, stage.sizes.fleet),
  fleet_busy: (stage) => measureBareInserts(stage, stage.sizes.fleet),
  drain_1: (stage) => measureSqlDrain(stage, 1),
  drain_2: (stage) => measureSqlDrain(stage, 2),
};

const BY_INSERTS: Partial<Record<Scenario, Measure>> = {
  fleet_idle: (stage) => measureTaskInserts(stage, "idle"),
  fleet_busy: (stage) => measureTaskInserts(stage, "busy"),
};

const MEASURES: Record<NonNullable<Peer["by"]> | "processes", Partial<Record<Scenario, Measure>>> = {
  processes: BY_PROCESSES,
  sql: BY_SQL,
  inserts: BY_INSERTS,
};
