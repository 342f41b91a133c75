import { Figures } from "../../tests/faults/fault.ts";
import type { Evidence } from "./evidence.ts";
import { fitLine, lastTwoThirds, type Line, type Point, thirds } from "./numbers.ts";
import { isCalm } from "./plan.ts";
import type { ProcessSample, Sample } from "./probe.ts";

const MIB = 2 ** 20;
/** The 99th percentile from scheduling to the start in a period without faults, in milliseconds. */
const CALM_P99 = 500;
/** By how much what counts resources may differ between two times of rest: one statement may just be under way. */
const SLACK = 5;

/** How memory may grow: so much a minute, and in short runs so much in all, which is what noise comes to. */
const MEMORY = { rss: { perMinute: 2, inAll: 40 }, heap: { perMinute: 0.4, inAll: 6 } } as const;

/** Judges a run; each verdict with its figure. */
export function judge(evidence: Evidence): Figures {
  const figures = new Figures();
  judgeTasks(figures, evidence);
  judgeRest(figures, evidence);
  for (const name of ["scheduler", "consumer-1"]) judgeMemory(figures, name, evidence.samples);
  judgeTables(figures, evidence);
  const calm = evidence.rows.filter(({ index, faults }) =>
    faults.length === 0 && (isCalm(index) || !evidence.options.faults)
  );
  const slowest = Math.max(...calm.map(({ latencies }) => latencies.start[2]).filter((ms) => ms >= 0));
  // In shorter periods there is no calm: what the last fault left takes as long as a lease to mend.
  if (slowest >= 0 && evidence.division.period >= 60) {
    figures.within("schedule to start, p99 of the slowest period without faults", slowest, CALM_P99);
  }
  return figures;
}

function judgeTasks(figures: Figures, { account, counts, unasked, unhandled, left }: Evidence): void {
  figures.atLeast("tasks in the ledger", account.tasks, 1);
  figures.is("tasks that ended otherwise than they should, or not at all", account.lost, 0);
  figures.is("tasks that were confirmed and never there", account.vanished, 0);
  figures.is("tasks that ran to their end though cancelled", account.uncancelled, 0);
  figures.is("effects twice", account.twice, 0);
  figures.is("completed without their effect, or effects without a completed task", account.unmatched, 0);
  figures.is("wrong results", counts.wrong, 0);
  figures.is("waits that broke off", counts.broken.length, 0);
  figures.is("tasks held back since too much was under way", counts.heldBack, 0);
  figures.is("unplaced rows after the drain", Object.values(left).reduce((sum, count) => sum + count, 0), 0);
  figures.is("consumers that ended unasked", unasked, 0);
  figures.is("rejections in the scheduling process that nobody handled", unhandled.length, 0);
}

/** At rest, everything must be as it was at rest before. */
function judgeRest(figures: Figures, { before, after, final }: Evidence): void {
  const count = ({ server }: Sample) => Object.values(server?.connections ?? {}).reduce((sum, n) => sum + n, 0);
  figures.atMost("connections at rest", after.server ? count(after) : Infinity, count(before));
  figures.atMost("listeners at rest", after.server?.listeners ?? Infinity, Object.keys(after.processes).length);
  for (const what of ["fds", "timers"] as const) {
    for (const name of ["scheduler", "consumer-1"]) {
      const [first, last] = [before, after].map(({ processes }) => processes[name]?.[what]);
      if (first === undefined || last === undefined) continue;
      figures.atMost(`${what} of ${name} at rest`, last, first + SLACK);
    }
  }
  figures.is("connections when all had stopped", final ? Object.values(final.connections).length : "?", 0);
  figures.is("locks when all had stopped", final?.locks ?? "?", 0);
}

function judgeMemory(figures: Figures, name: string, samples: readonly Sample[]): void {
  for (const what of ["rss", "heap"] as const) {
    const line = fitLine(lastTwoThirds(pointsOf(samples, name, what)));
    if (!line) continue;
    const { perMinute, inAll } = MEMORY[what];
    const bound = Math.max(perMinute, inAll / line.span);
    const text = `${what} of ${name}, MiB a minute (${describe(line)})`;
    figures.atMost(text, round(line.slope / MIB), round(bound));
  }
}

/** The values of one process, by minutes. */
export function pointsOf(samples: readonly Sample[], name: string, what: keyof ProcessSample): Point[] {
  return samples.flatMap(({ at, processes }) => {
    const value = processes[name]?.[what];
    return value === undefined ? [] : [[at / 60, value] as const];
  });
}

function describe({ mean, noise }: Line): string {
  return `mean ${round(mean / MIB)} MiB, noise ±${round(noise / MIB)}`;
}

/** Tables may be as large as their dead rows between two vacuums make them, and then no larger. */
function judgeTables(figures: Figures, { samples }: Evidence): void {
  for (const table of ["task", "ready", "waiting", "lease", "slot", "unique_key"]) {
    const points = samples.flatMap(({ at, server }): Point[] => {
      const size = server?.sizes[table];
      return size === undefined ? [] : [[at / 60, size]];
    });
    const [, middle, last] = thirds(points).map((part) => Math.max(0, ...part.map(([, size]) => size)));
    figures.atMost(`size of ${table} in the last third, MiB`, round(last! / MIB), round(1.25 * middle! / MIB + 4));
  }
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
