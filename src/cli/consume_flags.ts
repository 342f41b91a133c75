import type { ConsumeCommandOptions } from "../firefly/config.ts";
import type { ConsumeOptions } from "../consume/options.ts";
import { type Arguments, omitUndefined, usageError } from "./arguments.ts";
import { parseBytes } from "./bytes.ts";
import { watcherPort } from "./consume_watch.ts";
import type { Flags } from "./flags.ts";

/** The flags of `consume` that are settings: each has a variable, and an option of `firefly.config.ts`. */
export const CONSUME_SETTINGS: Flags = {
  queue: {
    value: "name",
    short: "q",
    list: "commas",
    env: "FIREFLY_QUEUE",
    config: "consume.queues",
    byDefault: "those of the tasks",
    description: "The queues to consume, or '*' for all, also those that come later",
  },
  concurrency: {
    value: "number",
    short: "c",
    env: "FIREFLY_CONCURRENCY",
    config: "consume.concurrency",
    byDefault: "10",
    description: "How many tasks to run at a time",
  },
  name: {
    value: "text",
    env: "FIREFLY_NAME",
    config: "consume.name",
    description: "What `consumers` calls this consumer",
  },
  drain: {
    env: "FIREFLY_DRAIN",
    config: "consume.drain",
    description: "Exit when no task is ready; leaves tasks due later",
  },
  "max-tasks": {
    value: "number",
    env: "FIREFLY_MAX_TASKS",
    config: "consume.maxTasks",
    byDefault: "no limit",
    description: "Exit after this many attempts",
  },
  "max-memory": {
    value: "size",
    env: "FIREFLY_MAX_MEMORY",
    config: "consume.maxMemory",
    byDefault: "no limit",
    description: "Stop gracefully, with exit code 8, once the process has more memory than this, such as 512MB",
  },
  "poll-interval": {
    value: "duration",
    env: "FIREFLY_POLL_INTERVAL",
    config: "consume.pollInterval",
    byDefault: "5s",
    description: "How often to poll in case a notification is missed",
  },
  lease: {
    value: "duration",
    env: "FIREFLY_LEASE",
    config: "consume.lease",
    byDefault: "30s",
    description: "How soon others take over the tasks of a crashed consumer",
  },
  release: {
    value: "text",
    env: "FIREFLY_RELEASE",
    config: "consume.release",
    description: "The release of your application, stored with each attempt",
  },
  "log-format": {
    value: "format",
    env: "FIREFLY_LOG_FORMAT",
    byDefault: "pretty on a terminal, else json",
    description: "How to log: pretty, json or logfmt",
  },
  "no-cron": {
    env: "FIREFLY_NO_CRON",
    config: "consume.cron",
    description: "Leave scheduling crons to other consumers",
  },
  "no-watchdog": {
    env: "FIREFLY_NO_WATCHDOG",
    config: "consume.watchdog",
    description: "Let handlers block the event loop without limit, for example under a debugger",
  },
  "probe-port": {
    value: "number",
    short: "p",
    env: "FIREFLY_PROBE_PORT",
    config: "consume.probePort",
    description: "Answer GET /livez, /readyz and /metrics on this port",
  },
  "probe-host": {
    value: "address",
    env: "FIREFLY_PROBE_HOST",
    config: "consume.probeHost",
    byDefault: "all addresses",
    description: "The address to answer probes on",
  },
  "shutdown-timeout": {
    value: "duration",
    env: "FIREFLY_SHUTDOWN_TIMEOUT",
    config: "consume.shutdownTimeout",
    byDefault: "30s",
    description: "How long a graceful stop waits for running tasks",
  },
};

/** How a consumer of the command line works: by flags and variables, else as the configuration says. */
export interface ConsumeSettings {
  readonly options: ConsumeOptions;
  readonly probePort: number | undefined;
  readonly probeHost: string | undefined;
  /** In bytes. */
  readonly maxMemory: number | undefined;
}

/** Reads the settings of a consumer, and checks those that `consume()` does not know. */
export function readConsumeSettings(args: Arguments, configured: ConsumeCommandOptions = {}): ConsumeSettings {
  const flags: ConsumeCommandOptions = omitUndefined({
    queues: args.list("queue"),
    concurrency: args.integer("concurrency", 1),
    name: args.text("name"),
    drain: args.switch("drain"),
    release: args.text("release"),
    maxTasks: args.integer("max-tasks", 1),
    maxMemory: args.text("max-memory"),
    pollInterval: args.duration("poll-interval"),
    lease: args.duration("lease"),
    cron: negated(args.switch("no-cron")),
    watchdog: negated(args.switch("no-watchdog")),
    shutdownTimeout: args.duration("shutdown-timeout"),
    probePort: args.integer("probe-port", 0),
    probeHost: args.text("probe-host"),
  });
  const once = args.isOn("once") ? { drain: true, maxTasks: 1 } : {};
  // A thread of --watch hands its tasks back at once, unless told to wait.
  const watched = watcherPort() ? { shutdownTimeout: 0 } : {};
  const given = { watchdog: true, ...watched, ...configured, ...flags, ...once };
  const { probePort, probeHost, maxMemory, ...options } = given;
  if (probePort !== undefined && !(Number.isInteger(probePort) && probePort >= 0 && probePort <= 65_535)) {
    throw usageError("consume", `"--probe-port" must be at most 65535: current value is "${probePort}"`);
  }
  if (probeHost !== undefined && probePort === undefined) {
    throw usageError("consume", `"--probe-host" needs a port: --probe-port <number>`);
  }
  const bytes = maxMemory === undefined ? undefined : parseBytes(maxMemory);
  if (maxMemory !== undefined && bytes === undefined) {
    const value = JSON.stringify(maxMemory);
    throw usageError("consume", `"--max-memory" must be a size such as 512MB or 1.5GiB: current value is ${value}`);
  }
  return { options, probePort, probeHost, maxMemory: bytes };
}

function negated(value: boolean | undefined): boolean | undefined {
  return value === undefined ? undefined : !value;
}
