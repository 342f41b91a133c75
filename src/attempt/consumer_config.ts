import type { AttemptedBy } from "../events.ts";
import type { TaskDefinition } from "../task/definition.ts";
import type { TaskOptions } from "../task/options.ts";

/**
 * How a consumer works: the options of `consume()`, checked and with their defaults. Made once, frozen, and handed down
 * whole. Durations are in milliseconds.
 */
export interface ConsumerConfig {
  /** What operators call it; null for nothing. */
  readonly name: string | null;
  /** The queues to serve; with `allQueues` those to begin with. */
  readonly queues: string[];
  readonly allQueues: boolean;
  /** The tasks that it runs, by name and alias. */
  readonly definitions: ReadonlyMap<string, TaskDefinition>;
  /** The keys of `definitions`. */
  readonly names: string[];
  /** How many tasks it runs at a time when it starts. */
  readonly concurrency: number;
  readonly maxTasks: number;
  readonly drain: boolean;
  readonly cron: boolean;
  readonly watchdog: boolean;
  readonly leaseMs: number;
  readonly pollIntervalMs: number;
  readonly shutdownTimeoutMs: number;
  /** What is stored of this process with each attempt. */
  readonly attemptedBy: AttemptedBy;
  /** The instance's defaults of task options. */
  readonly defaults: Pick<TaskOptions, "queue" | "maxRetries" | "retryDelay" | "timeout" | "retention" | "keepLogs">;
}
