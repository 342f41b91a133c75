import { DASHBOARD_TARGETS } from "./dashboard_targets.ts";
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
  "drain_1/graphile":
    "Both take about 26 µs of the two processors for a task, but graphile-worker keeps no row of it. In Firefly the claim takes 8 and the completion 7 on the server (`pg_stat_statements`). The 11 of the consumer have no single cause: a sixth is garbage collection, and most is code that is not compiled yet, as a second drain in the same process takes 6 to 9 (`--cpu-prof`)",
  "drain_1/pgboss": "As above: 3 × would leave 20 µs of both processors for a task, and Firefly takes 26",
  "drain_1/sql":
    "SQL alone takes 9 µs of one processor, and sends no arguments to a client. Claims that do take 8, completions with results 7 (`pg_stat_statements`), and the consumer takes the other processor",
  "drain_1/server": "",
  "drain_1/client": "",
  "drain_2/drain_1":
    "Two processes compile their code twice: 14 to 18 µs of client CPU for a task instead of 11 to 13, and both share two processors with the server",
  "drain_2/graphile": "As with 1 process; both processors are busy either way",
  "effects/loop":
    "One statement fewer than the loop, and two round trips instead of five, at about the same cost: in the client, the driver and the runtime take as much for BEGIN and COMMIT as for other statements, whether they are sent together with them or not (`--cpu-prof`), and on the server an UPDATE of the whole, wide record, with its checks, takes 160 of 390 µs",
  "schedule_1/bare":
    "Through the driver alone, the same INSERT with its trigger reaches 0.8 × the bare one (server: 271 against 198 µs; filling `ready` and notifying make the difference). The rest is 100 µs in the client: deadlines, promises and the record, none of which takes more than a twentieth (`--cpu-prof`)",
  "schedule_10/graphile":
    "A statement costs 250 µs of the server and 200 of the client before its first row, which ten tasks share; calls of one tick are one statement, so client and server take turns",
  "schedule_10/bullmq": "As above; BullMQ sends each job at once and waits for no disk",
  "schedule_100/bullmq": "",
  "bulk/graphile":
    "6 µs of the server (2.5 to 5 for the INSERT of such a wide row, 2.3 for `ready`) and 7 of the client for a task, one after the other within a call; 3 × would leave 5 for both",
  "fleet_busy/silent": "See the next line",
  "fleet_busy/inserts":
    "`_notify()` takes 25 of some 190 µs: 10 as a SECURITY DEFINER with a `search_path` of its own, 12 for its two lookups of consumers and queues, 2.5 for the lock (each measured by removing it)",
  "latency/p50":
    "The INSERT takes 1.2 ms (0.25 to 0.4 in the statement, the rest in commit, driver and network), the claim 0.6 (0.15 in the statement), the notification and the call of the handler 0.15 together. Through this driver on Deno, `SELECT 1` alone takes 0.2 ms, a quarter of it on the server",
  "latency/p99": "As above, and four processes share two processors",
  "wal/graphile":
    "Of 745 B, 282 are images of pages changed for the first time after the checkpoint, 262 the HOT update (the fence is the second column, so the unchanged prefix that WAL omits is short), 108 two row locks, 54 the row of `ready`, 20 the vacuum (`pg_waldump --stats=record`)",
  "rounds/last": "",
  "records/rate": "",
  "records/oneRate": "",
  "records/scheduleRate": "",
  "memory/busy":
    "An idle consumer has 66 MB, and the heap in use stays below 80 MB; the rest is memory that V8 took for its young generation and has not returned. It does not grow: 211 MB after a million tasks, as after 400,000",
  "dashboard/pages":
    "A question counts each task that it is about, for 2 s at most: to cancel what waits in a queue is about 74,000 of them",
  "dashboard/overview": "",
  "drain_1/uncounted": "",
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
    bound: 0.7,
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
