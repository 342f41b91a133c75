/** What is measured of queues, by scripts/bench.ts. */
export const SCENARIOS = [
  "schedule_1",
  "schedule_10",
  "schedule_100",
  "bulk",
  "fleet_idle",
  "fleet_busy",
  "drain_1",
  "drain_2",
  "effects",
  "latency",
  "latency_load",
  "latency_half",
  "result",
  "rounds",
  "records",
  "memory",
  "dashboard",
  "scrape",
  "traces",
  "trees",
] as const;

/** What is measured of workflows, by scripts/bench/workflows.ts. */
export const WORKFLOWS = [
  "steps_1",
  "steps_20",
  "steps_100",
  "inserts_1",
  "inserts_20",
  "inserts_100",
  "fan_in",
  "chain_1",
  "chain_20",
  "sleep_1s",
  "asleep",
  "sleepers",
  "signal",
] as const;

/** What is measured of queues. */
export type QueueScenario = typeof SCENARIOS[number];
/** What is measured of workflows. */
export type WorkflowScenario = typeof WORKFLOWS[number];
/** One of all. */
export type Scenario = QueueScenario | WorkflowScenario;

/** Those that are measured in the first round alone, as they repeat themselves and take minutes. */
export const ONCE: readonly Scenario[] = ["records", "dashboard", "scrape", "trees", "sleepers"];

/** How much of everything. */
export interface Sizes {
  /** Seconds of each measurement that has no number of tasks. */
  readonly seconds: number;
  /** Tasks scheduled in bulk, and those of a drain and of a round. */
  readonly tasks: number;
  /** Tasks with an effect. */
  readonly effects: number;
  /** Tasks whose latency is measured one at a time. */
  readonly pings: number;
  /** Tasks a second of the load that is the same for all. */
  readonly rate: number;
  /** Processes that schedule at the same time. */
  readonly fleet: number;
  /** Results that are waited for. */
  readonly results: number;
  /** Rounds of the scenario `rounds`. */
  readonly steps: number;
  /** How many records of ended tasks there are in the scenario `records`, from few to many. */
  readonly records: readonly number[];
  /** Milliseconds that a consumer has to come to rest. */
  readonly rest: number;
  /** How many tasks consumers with and without traces run in turn, and how many turns each of them has. */
  readonly slice: number;
  readonly slices: number;
  /** Tasks that are ready while metrics are scraped. */
  readonly ready: number;
  /** Tasks in the database whose dashboard is measured, and how often each page is asked for. */
  readonly board: number;
  readonly pages: number;
  readonly workflows: WorkflowSizes;
}

/** How many workflows. */
export interface WorkflowSizes {
  /** Those of ten steps that run many at a time; one at a time, a fifth of them. */
  readonly steps: number;
  /** Tasks of a fan-out, and how many fan-outs follow each other. */
  readonly width: number;
  readonly fans: number;
  /** Chains of ten. */
  readonly chains: number;
  /** Those that sleep for a second. */
  readonly sleeps: number;
  /** Those that sleep for long, of each peer and of Firefly alone. */
  readonly asleep: number;
  readonly sleepers: number;
  readonly signals: number;
}

/** What the page shows. */
export const FULL: Sizes = {
  seconds: 3,
  tasks: 50_000,
  effects: 10_000,
  pings: 500,
  rate: 250,
  fleet: 16,
  results: 500,
  steps: 10,
  records: [10_000, 10_000_000],
  rest: 1500,
  slice: 5000,
  slices: 40,
  ready: 100_000,
  board: 1_000_000,
  pages: 50,
  workflows: {
    steps: 1000,
    width: 1000,
    fans: 3,
    chains: 100,
    sleeps: 200,
    asleep: 1000,
    sleepers: 100_000,
    signals: 200,
  },
};

/** What `--quick` does: enough to see that it works. */
export const QUICK: Sizes = {
  seconds: 0.3,
  tasks: 2000,
  effects: 200,
  pings: 30,
  rate: 100,
  fleet: 3,
  results: 20,
  steps: 3,
  records: [1_000, 20_000],
  rest: 300,
  slice: 200,
  slices: 3,
  ready: 1000,
  board: 10_000,
  pages: 3,
  workflows: { steps: 40, width: 40, fans: 1, chains: 3, sleeps: 10, asleep: 20, sleepers: 200, signals: 5 },
};
