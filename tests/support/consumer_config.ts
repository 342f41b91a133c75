import type { ConsumerConfig } from "../../src/attempt/consumer_config.ts";

/** The configuration of a consumer of "test.task" in the queue "default", with other values where given. */
export function testConfig(config: Partial<ConsumerConfig> = {}): ConsumerConfig {
  return {
    name: null,
    queues: ["default"],
    allQueues: false,
    definitions: new Map(),
    names: ["test.task"],
    concurrency: 10,
    maxTasks: Infinity,
    drain: false,
    cron: false,
    watchdog: false,
    leaseMs: 30_000,
    pollIntervalMs: 5_000,
    shutdownTimeoutMs: 30_000,
    attemptedBy: { host: "test", pid: 1, release: null },
    defaults: {},
    ...config,
  };
}
