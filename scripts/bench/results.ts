import type { Scenario, Sizes } from "./scenarios.ts";

/** Numbers of one measurement; what could not be found out is left out. */
export interface Metrics {
  /** Tasks a second. */
  readonly rate?: number;
  /** Tasks a second from the start of the first one on. */
  readonly rateFromFirst?: number;
  /** Tasks that have not been started at the end, of those that processes scheduled meanwhile. */
  readonly behind?: number;
  /** Milliseconds. */
  readonly p50?: number;
  readonly p95?: number;
  readonly p99?: number;
  /** Bytes of WAL a task. */
  readonly wal?: number;
  /** Microseconds of CPU a task: of the server, and of the peer's processes. */
  readonly serverCpu?: number;
  readonly clientCpu?: number;
  /** Statements that clients sent, waits for the disk, and microseconds of the statements that release, a task. */
  readonly statements?: number;
  readonly syncs?: number;
  readonly release?: number;
  /** What tasks that sleep hold: sessions, timers and MB of heap of the process, more than before. */
  readonly sessions?: number;
  readonly timers?: number;
  readonly heap?: number;
  /** Of the scenario `traces`: CPU of server and client as a multiple of that without traces, the median of the turns. */
  readonly ratio?: number;
  /** The most memory (RSS) that a consumer had, in MB of 10^6 bytes. */
  readonly memory?: number;
  /** Which of the rounds of `rounds`, or of the numbers of records of `records`, it is, from 1. */
  readonly step?: number;
  /** Tasks a second that were scheduled in bulk in that round. */
  readonly scheduleRate?: number;
  /** Tasks a second that were scheduled one at a time in that round. */
  readonly oneRate?: number;
  /** Sizes in MB after that round. */
  readonly tables?: number;
  readonly indexes?: number;
  /** The share of all cores that other processes took meanwhile, and that the hypervisor did. */
  readonly others?: number;
  readonly steal?: number;
}

/** The name of a number. */
export type Metric = keyof Metrics;

/** What came of one peer in one scenario in one round. */
export interface Measurement {
  readonly kind: "measurement";
  readonly round: number;
  readonly peer: string;
  readonly scenario: Scenario;
  /** Of the scenarios `dashboard` and `scrape`, whose metrics of a task are those of a request: what was asked for. */
  readonly page?: string;
  readonly metrics: Metrics;
}

/** A measurement that nothing came of. */
export interface Failure {
  readonly kind: "failure";
  readonly round: number;
  readonly peer: string;
  readonly scenario: Scenario;
  readonly message: string;
}

/** Where and with what it was measured: the first line of a file of results. */
export interface Run {
  readonly kind: "run";
  /** ISO 8601. */
  readonly started: string;
  readonly rounds: number;
  readonly sizes: Sizes;
  /** A name and what it is, each: processor, memory, versions, … */
  readonly machine: readonly (readonly [string, string])[];
  /** Settings of the server that are not its defaults, or that matter. */
  readonly server: readonly (readonly [string, string])[];
  /** Of each peer by its name. */
  readonly versions: Readonly<Record<string, string>>;
}

/** A line of a file of results. */
export type Line = Run | Measurement | Failure;

/** All that is known of a run. */
export interface Results {
  readonly run: Run;
  readonly measurements: readonly Measurement[];
  readonly failures: readonly Failure[];
}

/** Reads a file of results. */
export function parseResults(text: string): Results {
  const lines = text.split("\n").filter(Boolean).map((line) => JSON.parse(line) as Line);
  const run = lines.find((line) => line.kind === "run");
  if (!run) throw new Error(`Cannot read the results as no line of them is of the kind "run"`);
  return {
    run,
    measurements: lines.filter((line) => line.kind === "measurement"),
    failures: lines.filter((line) => line.kind === "failure"),
  };
}
