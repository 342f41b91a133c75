import { Random } from "../../tests/support/random.ts";

/** What happens to processes, connections and the server. */
export const FAULT_KINDS = [
  "kill",
  "freeze",
  "deploy",
  "terminate",
  "makeUnavailable",
  "cut",
  "hole",
  "restart",
  "crash",
] as const;

/** One of them. */
export type FaultKind = typeof FAULT_KINDS[number];

/** What each kind does, for the legend. */
export const FAULT_TITLES: Record<FaultKind, string> = {
  kill: "SIGKILL",
  freeze: "SIGSTOP",
  deploy: "SIGTERM",
  terminate: "backends terminated",
  makeUnavailable: "listeners terminated",
  cut: "connections reset",
  hole: "network black-holed",
  restart: "server restart",
  crash: "server crash",
};

/** A fault to come. */
export interface PlannedFault {
  /** Seconds from the start of the load. */
  readonly at: number;
  readonly kind: FaultKind;
  /** The number of the consumer that it happens to, from 0. */
  readonly consumer: number;
  /** How long it lasts, in seconds, where that can be chosen. */
  readonly seconds: number;
  /** Chooses among connections: from 0 to less than 1. */
  readonly share: number;
}

/** How the time is divided. */
export interface Division {
  /** Length of the load, in seconds. */
  readonly seconds: number;
  /** Length of what one row of the table is about, in seconds: a minute, unless the whole is shorter than three. */
  readonly period: number;
}

/** Divides the time into rows of the table. */
export function divide(minutes: number): Division {
  const seconds = minutes * 60;
  return { seconds, period: Math.min(60, seconds / 3) };
}

/** Every third period is left in peace, to see how latency and connections are then. */
export function isCalm(index: number): boolean {
  return index % 3 === 2;
}

/** A server that is down takes a while to come back, so this comes more seldom than the rest. */
const SERVER_FAULT_CHANCE = 12;

/** Plans the faults of a whole run: the same ones for the same seed. */
export function planFaults(
  { seconds, period }: Division,
  { seed, consumers, lease, ownServer }: { seed: number; consumers: number; lease: number; ownServer: boolean },
): PlannedFault[] {
  const random = new Random(seed);
  const faults: PlannedFault[] = [];
  const gap = Math.min(6, period / 5);
  // The first consumer lives as long as the run, or it would never be seen to leak.
  const mortal: FaultKind[] = consumers > 1 ? ["kill", "deploy"] : [];
  const kinds: FaultKind[] = [...mortal, "freeze", "terminate", "makeUnavailable", "cut", "hole"];
  for (let at = gap; at < seconds; at += gap * (0.5 + random.next())) {
    const isServers = ownServer && random.once(SERVER_FAULT_CHANCE);
    const kind = isServers ? random.pick(["restart", "crash"] as const) : random.pick(kinds);
    const isMortal = kind === "kill" || kind === "deploy";
    const consumer = isMortal ? 1 + random.below(consumers - 1) : random.below(consumers);
    const fault = { at, kind, consumer, seconds: lease * (0.3 + 1.2 * random.next()), share: random.next() };
    const index = Math.floor(at / period);
    // It must be over before the calm begins, too.
    const leavesTime = !isCalm(index + 1) || at + fault.seconds < (index + 1) * period;
    if (!isCalm(index) && leavesTime) faults.push(fault);
  }
  return faults;
}
