import type { Metrics } from "../results.ts";
import type { Scenario } from "../scenarios.ts";
import type { Stage } from "../stage.ts";
import { measureDrain, measureRounds } from "./drain.ts";
import { measureFleet } from "./fleet.ts";
import { measureLatency, measureLoad, measureResult } from "./latency.ts";
import { measureMemory } from "./memory.ts";
import { measureBulk, measureSchedule } from "./schedule.ts";
import { measurePgbench, measureSqlDrain } from "./sql_alone.ts";

/** Measures a peer in a scenario. `ownRate` is how many tasks a second it schedules one at a time. */
export async function measure(
  stage: Stage,
  scenario: Scenario,
  ownRate: () => number | undefined,
): Promise<Metrics | Metrics[]> {
  const measures = stage.peer.name === "sql" ? SQL_ALONE : MEASURES;
  return await measures[scenario]!(stage, ownRate);
}

type Measure = (stage: Stage, ownRate: () => number | undefined) => Promise<Metrics | Metrics[]>;

const MEASURES: Record<Scenario, Measure> = {
  schedule_1: (stage) => measureSchedule(stage, 1),
  schedule_10: (stage) => measureSchedule(stage, 10),
  schedule_100: (stage) => measureSchedule(stage, 100),
  bulk: measureBulk,
  fleet_idle: (stage) => measureFleet(stage, "idle"),
  fleet_busy: (stage) => measureFleet(stage, "busy"),
  drain_1: (stage) => measureDrain(stage, 1),
  drain_2: (stage) => measureDrain(stage, 2),
  effects: (stage) => measureDrain(stage, 1, stage.sizes.effects),
  latency: measureLatency,
  latency_load: (stage) => measureLoad(stage, stage.sizes.rate),
  latency_half(stage, ownRate) {
    const rate = ownRate();
    if (rate === undefined) throw new Error("Its rate of schedule_1 is not known: measure that, too");
    return measureLoad(stage, rate / 2);
  },
  result: measureResult,
  rounds: measureRounds,
  memory: measureMemory,
};

const SQL_ALONE: Partial<Record<Scenario, Measure>> = {
  schedule_1: (stage) => measurePgbench(stage, 1),
  fleet_idle: (stage) => measurePgbench(stage, stage.sizes.fleet),
  fleet_busy: (stage) => measurePgbench(stage, stage.sizes.fleet),
  drain_1: (stage) => measureSqlDrain(stage, 1),
  drain_2: (stage) => measureSqlDrain(stage, 2),
};
