import type { Peer } from "../peers.ts";
import { REDIS_DATABASE } from "../redis.ts";
import { fetchAbsurdSchema } from "./absurd_schema.ts";

const STEPS = ["steps_1", "steps_20", "steps_100"] as const;
const INSERTS = ["inserts_1", "inserts_20", "inserts_100"] as const;
const CHAINS = ["chain_1", "chain_20"] as const;
const WAITS = ["sleep_1s", "asleep", "signal"] as const;

/** What all of them have. */
const ALL = { program: "workflows", chunk: 1000, share: 1, slots: 0 } as const;

/** Those that run workflows; the first is whom the others are compared with. */
export const WORKFLOW_PEERS: readonly Peer[] = [
  {
    ...ALL,
    name: "firefly",
    title: "Firefly",
    driver: "firefly",
    runtime: "deno",
    config: { calls: false },
    note:
      "defaults; workflows are scheduled by one call; a fan-out is a task with the results of others as an argument",
    scenarios: [...STEPS, ...INSERTS, "fan_in", ...CHAINS, ...WAITS, "sleepers"],
    packages: [],
  },
  {
    ...ALL,
    name: "firefly-calls",
    title: "Firefly, `step.callMany()`",
    driver: "firefly",
    runtime: "deno",
    config: { calls: true },
    note: "the task calls the others, and is suspended meanwhile",
    scenarios: ["fan_in"],
    packages: [],
  },
  {
    ...ALL,
    name: "dbos",
    title: "DBOS",
    driver: "dbos",
    runtime: "node",
    config: { connections: 20 },
    note:
      "workflows are called directly, without a queue; steps by `DBOS.runStep()`, those with an INSERT by transactions " +
      "of its data source for postgres.js, whose newest release calls a function that the SDK no longer has: the " +
      "benchmark supplies it; a fan-out and a chain are child workflows; a sleep holds its process",
    scenarios: [...STEPS, ...INSERTS, "fan_in", ...CHAINS, ...WAITS],
    packages: ["@dbos-inc/dbos-sdk", "@dbos-inc/postgres-datasource", "postgres"],
  },
  {
    ...ALL,
    name: "absurd",
    title: "Absurd",
    driver: "absurd",
    runtime: "node",
    config: { connections: 28, pollInterval: 0.01 },
    note:
      "workflows are spawned 20 calls at a time; it polls every 10 ms instead of 250; a chain is a task that spawns the " +
      "next; the members of a fan-out are in another queue, as they must be, and waited for one by one; it has no " +
      "transaction that commits with a step, so no INSERT in a step happens exactly once",
    scenarios: [...STEPS, "fan_in", ...CHAINS, ...WAITS],
    packages: ["absurd-sdk", "pg"],
    prepare: fetchAbsurdSchema,
  },
  {
    ...ALL,
    name: "pgboss",
    title: "pg-boss, `flow()`",
    driver: "pg_boss",
    runtime: "node",
    config: { batchSize: 1000, pollingIntervalSeconds: 0.5, flowIntervalSeconds: 1 },
    note: "intervals are the shortest that it takes; results are not handed on",
    share: 0.3,
    scenarios: ["fan_in", ...CHAINS],
    packages: ["pg-boss", "pg"],
  },
  {
    ...ALL,
    name: "bullmq",
    title: "BullMQ on Redis, flows",
    driver: "bullmq",
    runtime: "node",
    config: { redisDatabase: REDIS_DATABASE },
    note: "the Redis at 127.0.0.1:6379 as it is configured",
    scenarios: ["fan_in", ...CHAINS],
    packages: ["bullmq", "ioredis"],
    redis: true,
  },
];
