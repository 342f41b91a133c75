import type { Runtime } from "./child_process.ts";
import type { Config } from "./drivers/driver.ts";
import { REDIS_DATABASE } from "./redis.ts";
import type { Scenario } from "./scenarios.ts";

/** Something that is measured. */
export interface Peer {
  readonly name: string;
  /** As the tables call it. */
  readonly title: string;
  /** The file of `drivers/` without its ending. */
  readonly driver: string;
  readonly runtime: Runtime;
  readonly config: Config;
  /** What else its reader should know of how it was set up. */
  readonly note: string;
  /** How many tasks one call of a bulk takes. */
  readonly chunk: number;
  /** The share of the tasks of a bulk and a drain that it is given: slow ones get fewer. */
  readonly share: number;
  /** More tasks than one consumer takes, so that these keep all of its slots. */
  readonly slots: number;
  readonly scenarios: readonly Scenario[];
  /** The packages of which its version is told. */
  readonly packages: readonly string[];
  /** What schedules and drains, if that is not the peer's own processes: SQL without a queue, or plain INSERTs. */
  readonly by?: "sql" | "inserts";
  /** Whether it needs a Redis. */
  readonly redis?: true;
  /** What its processes understand, if not what those of a queue do. */
  readonly program?: "workflows";
  /** The checkout whose code it runs; none for this one. */
  readonly tree?: string;
  /**
   * Makes what it needs beside its packages, in their directory; resolves to what its version is to say of that, and
   * rejects with the reason if it cannot be had.
   */
  prepare?(directory: string, signal: AbortSignal): Promise<string>;
}

const SCHEDULING = ["schedule_1", "schedule_10", "schedule_100", "bulk"] as const;
const FLEETS = ["fleet_idle", "fleet_busy"] as const;
const DRAINS = ["drain_1", "drain_2"] as const;
const LATENCIES = ["latency", "latency_load", "latency_half"] as const;

/** All of them; the first is whom the others are compared with. */
export const PEERS: readonly Peer[] = [
  {
    name: "firefly",
    title: "Firefly",
    driver: "firefly",
    runtime: "deno",
    config: { concurrency: 100, effectsConcurrency: 16 },
    note: "defaults: durable, rows kept, all features on",
    chunk: 5000,
    share: 1,
    slots: 1000,
    scenarios: [
      ...SCHEDULING,
      ...FLEETS,
      ...DRAINS,
      "effects",
      ...LATENCIES,
      "result",
      "rounds",
      "records",
      "memory",
      "dashboard",
      "scrape",
      "traces",
    ],
    packages: [],
  },
  {
    name: "firefly-silent",
    title: "Firefly, never notifying",
    driver: "firefly",
    runtime: "deno",
    config: { concurrency: 100, silent: true },
    note: "its trigger never notifies: the cost of the same inserts without NOTIFY",
    chunk: 5000,
    share: 1,
    slots: 1000,
    scenarios: FLEETS,
    packages: [],
  },
  {
    name: "firefly-uncounted",
    title: "Firefly, without statistics",
    driver: "firefly",
    runtime: "deno",
    config: { concurrency: 100, statistics: false },
    note: "`statistics: false`: consumers count nothing by the minute",
    chunk: 5000,
    share: 1,
    slots: 1000,
    scenarios: DRAINS,
    packages: [],
  },
  {
    name: "graphile-fast",
    title: "graphile-worker, fastest",
    driver: "graphile",
    runtime: "node",
    config: { localQueue: 1000, concurrentJobs: 24, maxPoolSize: 10 },
    note: "`completeJobBatchDelay: 0`, `failJobBatchDelay: 0`, a pool of 10 to schedule; it deletes completed rows",
    chunk: 5000,
    share: 1,
    slots: 3000,
    scenarios: [...SCHEDULING, ...FLEETS, ...DRAINS, ...LATENCIES, "rounds", "memory"],
    packages: ["graphile-worker", "pg"],
  },
  {
    name: "graphile-default",
    title: "graphile-worker, default",
    driver: "graphile",
    runtime: "node",
    config: { concurrentJobs: 24, maxPoolSize: 26 },
    note: "defaults: no local queue and no batches; it deletes completed rows",
    chunk: 5000,
    share: 0.2,
    slots: 100,
    scenarios: [...DRAINS, "latency", "latency_load", "memory"],
    packages: ["graphile-worker", "pg"],
  },
  {
    name: "pgboss-fast",
    title: "pg-boss, batches",
    driver: "pg_boss",
    runtime: "node",
    config: { batchSize: 1000, localConcurrency: 2, pollingIntervalSeconds: 0.5 },
    note: "`burstWhenBatchFull`, `returnId: false` in bulk, a pool of 10; supervision and cron off",
    chunk: 1000,
    share: 1,
    slots: 4000,
    scenarios: [...SCHEDULING, ...DRAINS, "memory"],
    packages: ["pg-boss", "pg"],
  },
  {
    name: "pgboss-notify",
    title: "pg-boss, LISTEN/NOTIFY",
    driver: "pg_boss",
    runtime: "node",
    config: { batchSize: 100, localConcurrency: 2, pollingIntervalSeconds: 0.5, notify: true },
    note: "as above, with `notify` of the queue and `useListenNotify` of the consumer",
    chunk: 1000,
    share: 1,
    slots: 400,
    scenarios: ["schedule_1", "schedule_10", ...FLEETS, ...LATENCIES, "memory"],
    packages: ["pg-boss", "pg"],
  },
  {
    name: "bullmq",
    title: "BullMQ on Redis",
    driver: "bullmq",
    runtime: "node",
    config: { concurrency: 200, redisDatabase: REDIS_DATABASE, events: false },
    note: "the Redis at 127.0.0.1:6379 as it is configured; completed jobs are kept",
    chunk: 1000,
    share: 1,
    slots: 400,
    scenarios: [...SCHEDULING, ...FLEETS, ...DRAINS, ...LATENCIES, "memory"],
    packages: ["bullmq", "ioredis"],
    redis: true,
  },
  {
    name: "bullmq-events",
    title: "BullMQ on Redis, `waitUntilFinished`",
    driver: "bullmq",
    runtime: "node",
    config: { concurrency: 200, redisDatabase: REDIS_DATABASE, events: true },
    note: "as above, with a `QueueEvents` in the process that schedules",
    chunk: 1000,
    share: 1,
    slots: 400,
    scenarios: ["result"],
    packages: ["bullmq", "ioredis"],
    redis: true,
  },
  {
    name: "kv",
    title: "Deno KV",
    driver: "kv",
    runtime: "deno",
    config: {},
    note: "in a file on the disk of the server; a drain ends with its last handler; a consumer does not see tasks of " +
      "another process at once, so latency cannot be measured",
    chunk: 500,
    share: 0.1,
    slots: 1000,
    scenarios: [...SCHEDULING, ...DRAINS, "memory"],
    packages: [],
  },
  {
    name: "sql",
    title: "SQL alone, on the first tables",
    driver: "firefly",
    runtime: "deno",
    config: { concurrency: 100 },
    note:
      "drains: a procedure in one session (or two) claims 500 and commits, completes 500 and commits, in the tables " +
      "that Firefly had when this was first measured, without triggers; otherwise pgbench inserts a row without a trigger",
    chunk: 5000,
    share: 1,
    slots: 0,
    scenarios: ["schedule_1", ...FLEETS, ...DRAINS],
    packages: [],
    by: "sql",
  },
  {
    name: "inserts",
    title: "Firefly, by pgbench",
    driver: "firefly",
    runtime: "deno",
    config: { concurrency: 100 },
    note: "pgbench inserts tasks into `firefly.task`, so clients cost little and the server is measured",
    chunk: 5000,
    share: 1,
    slots: 1000,
    scenarios: FLEETS,
    packages: [],
    by: "inserts",
  },
  {
    name: "inserts-silent",
    title: "Firefly, by pgbench, never notifying",
    driver: "firefly",
    runtime: "deno",
    config: { concurrency: 100, silent: true },
    note: "the same with a trigger that never notifies",
    chunk: 5000,
    share: 1,
    slots: 1000,
    scenarios: FLEETS,
    packages: [],
    by: "inserts",
  },
  {
    name: "bare",
    title: "By hand, postgres.js",
    driver: "bare",
    runtime: "deno",
    config: { connections: 16 },
    note: "an INSERT of one row without a trigger; tasks with effects by a loop of " +
      "`begin; claim one; effect; complete; commit` on each connection",
    chunk: 5000,
    share: 1,
    slots: 0,
    scenarios: ["schedule_1", "schedule_10", "schedule_100", "effects"],
    packages: [],
  },
];

/** Firefly as another checkout has it: what was before a change, beside what is after it. */
export function otherPeer(tree: string): Peer {
  const [firefly] = PEERS;
  return {
    ...firefly!,
    name: "firefly-other",
    title: "Firefly, the other checkout",
    note: `the code of ${tree}`,
    tree,
    scenarios: [...firefly!.scenarios, "trees"],
  };
}

/** All that tables may show. */
export const SHOWN: readonly Peer[] = [...PEERS, otherPeer("")];
