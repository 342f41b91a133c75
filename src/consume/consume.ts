import { setTimeout as sleep } from "node:timers/promises";
import { ConsumerLoop, type ConsumerParts } from "./consumer.ts";
import type { Database } from "../database/pools.ts";
import { checkQueueName, namesOf, type TaskDefinition } from "../task/definition.ts";
import type { KeyRing } from "../privacy/encryption.ts";
import { type Duration, toSeconds } from "../duration.ts";
import { DatabaseUnreachable, FireflyError } from "../errors.ts";
import type { Emitter } from "../events.ts";
import type { Hooks } from "../attempt/hooks.ts";
import { toDefinitionRow } from "../task/limit_keys.ts";
import type { Listener } from "../notify/listener.ts";
import { requireSchema } from "../schema/migrator.ts";
import type { QueueOptions, TaskOptions } from "../task/options.ts";
import type { Redactor } from "../privacy/redaction.ts";
import { toQueueSettings } from "../task/queue_options.ts";
import { toRetentionSeconds } from "../task/retention.ts";
import { type CurrentInstance, registry } from "../task/scope.ts";
import type { Sessions } from "../database/session.ts";
import { Settler } from "../settle/settler.ts";
import { registerDefinitions } from "../store/definitions.ts";
import { refuseUnknownKeys } from "../suggest.ts";
import { storeRetention } from "../store/prune.ts";
import { storeQueues } from "../store/queues.ts";
import { DEFINITION, type Task } from "../task/task.ts";
import { Watchdog } from "./watchdog.ts";

/** How a consumer works. */
export interface ConsumeOptions {
  /** The queues to consume. @default "default" */
  queues?: string | string[];
  /** How many handlers may run at a time. @default 10 */
  concurrency?: number;
  /** The tasks to run. @default all that this process has defined */
  // deno-lint-ignore no-explicit-any
  tasks?: Iterable<Task<any, any>>;
  /** Ends by itself once nothing is ready any more. Tasks that are due later are left. @default false */
  drain?: boolean;
  /** Ends by itself after this many attempts. @default without end */
  maxTasks?: number;
  /** Stops the consumer when it aborts. */
  signal?: AbortSignal;
  /** How long stopping waits for handlers before it aborts them. @default "30s" */
  shutdownTimeout?: Duration;
  /** How often to look for tasks that no notification told of. @default "5s" */
  pollInterval?: Duration;
  /** How long after its last sign of life the tasks of a dead consumer are run by others. @default "30s" */
  lease?: Duration;
  /**
   * Schedules the tasks with a `cron` when their slots come, whatever their queue. A consumer that drains never does.
   *
   * @default true
   */
  cron?: boolean;
  /**
   * Ends the process (SIGKILL) when its event loop was blocked for 0.6 of the lease, as by a handler that computes
   * without end: the consumer cannot renew its lease then, nor anything else in the process do its work. Without it, the
   * event `consumer.blocked` tells of a block once it is over.
   *
   * @default false, but true in the command line
   */
  watchdog?: boolean;
}

/** How a consumer is, as probes ask. */
export interface ConsumerHealth {
  /** What it is about: it claims while it is `running`. */
  readonly state: "starting" | "running" | "stopping" | "stopped";
  /** Its loop turns: it looks for tasks, or for its end, as often as it should. */
  readonly turns: boolean;
  /** Its lease holds, as the database answered lately. Without one it runs nothing. */
  readonly leased: boolean;
  /**
   * Whether notifications arrive; else it looks for tasks every `pollInterval`. `unavailable`: none does, as a transaction pooler
   * stands in between; `down`: their connection is lost, or not there yet.
   */
  readonly listener: "connected" | "unavailable" | "down";
}

/** A running consumer. */
export interface Consumer extends AsyncDisposable {
  /** Resolves when it is registered and claims; rejects if it cannot start, or is stopped before. */
  readonly ready: Promise<void>;
  /** Resolves when it has ended, to how many tasks it completed and how many failed for good. */
  readonly finished: Promise<{ completed: number; failed: number }>;
  /** How it is now. */
  readonly health: ConsumerHealth;
  /** Claims no more, hands back what has not begun, waits for handlers, then aborts them; resolves at the end. */
  stop(): Promise<void>;
}

/** The instance that a consumer belongs to. */
export interface ConsumerHost extends CurrentInstance {
  readonly schema: string;
  readonly hooks: Hooks;
  readonly keys: KeyRing | undefined;
  readonly redactor: Redactor;
  readonly options: {
    readonly defaults?: Pick<TaskOptions, "queue" | "maxRetries" | "retryDelay" | "timeout" | "retention">;
    readonly queues?: Readonly<Record<string, QueueOptions>>;
  };
  connect(): Promise<{ database: Database; sessions: Sessions; listener: Listener }>;
}

const OPTION_KEYS = [
  "queues",
  "concurrency",
  "tasks",
  "drain",
  "maxTasks",
  "signal",
  "shutdownTimeout",
  "pollInterval",
  "lease",
  "cron",
  "watchdog",
];
const ACTION = "consume";
/** In seconds. A longer one would leave the tasks of a dead consumer lying for too long, and overflow its timers. */
const LONGEST_LEASE = 86_400;
/** The most seconds that a timer can wait: it holds 31 bits of milliseconds, and fires at once beyond them. */
const LONGEST_TIMER = (2 ** 31 - 1) / 1000;

/** What the command line knows and nobody else. */
export interface WatchdogOutput {
  /** Whether a process that ends by its watchdog says why in a line for people; else it is one of JSON. */
  readonly pretty: boolean;
}

/**
 * Starts a consumer on `host`.
 *
 * @throws {TypeError | RangeError} If an option is wrong.
 */
export function startConsumer(
  host: ConsumerHost,
  options: ConsumeOptions,
  { events, watchdogOutput }: { events: Emitter; watchdogOutput: WatchdogOutput },
): Consumer {
  refuseUnknownKeys(options, OPTION_KEYS, ACTION);
  const settings = checkOptions(options, host);
  const definitions = definitionsOf(options.tasks);
  const ready = Promise.withResolvers<void>();
  const stopped = new AbortController();
  const signal = AbortSignal.any([stopped.signal, ...(options.signal ? [options.signal] : [])]);
  let loop: ConsumerLoop | undefined;
  let ended = false;
  const onReady = (started: ConsumerLoop) => {
    loop = started;
    ready.resolve();
  };
  const finished = run(host, { settings, definitions, events, signal, watchdogOutput, onReady }).finally(() =>
    ended = true
  );
  finished.then(() => ready.reject(new FireflyError("The consumer was stopped before it was ready")), ready.reject);
  ready.promise.catch(() => {}); // whoever looks at `finished` alone hears of it there
  async function stop(): Promise<void> {
    stopped.abort();
    await finished.catch(() => {});
  }
  return {
    ready: ready.promise,
    finished,
    get health() {
      return healthOf(ended ? undefined : loop, ended);
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

function healthOf(loop: ConsumerLoop | undefined, ended: boolean): ConsumerHealth {
  const { stopping = false, turns = true, leased = false, listener = "down" } = loop?.health ?? {};
  const state = ended ? "stopped" : !loop ? "starting" : stopping ? "stopping" : "running";
  return { state, turns, leased, listener };
}

type Settings = Omit<ConsumerParts, "env" | "leases" | "listener" | "definitions"> & {
  lease: number;
  watchdog: boolean;
};

function checkOptions(options: ConsumeOptions, { schema, options: { defaults } }: ConsumerHost): Settings {
  const { concurrency = 10, maxTasks = Infinity, drain = false, cron = true, watchdog = false } = options;
  const queues = [...new Set([options.queues ?? defaults?.queue ?? "default"].flat())];
  if (queues.length === 0) throw new TypeError(`Cannot ${ACTION} as "queues" is empty`);
  for (const queue of queues) checkQueueName(queue, ACTION, schema);
  for (const [name, value] of Object.entries({ concurrency, maxTasks })) {
    if (value === Infinity && name === "maxTasks" || Number.isInteger(value) && value > 0) continue;
    throw new RangeError(`Cannot ${ACTION} as "${name}" must be a positive integer: current value is ${value}`);
  }
  const lease = toSeconds(options.lease ?? "30s", "lease");
  if (lease < 1 || lease > LONGEST_LEASE) {
    throw new RangeError(`Cannot ${ACTION} as "lease" must be from 1 second to 1 day: current value is ${lease}`);
  }
  const pollInterval = toSeconds(options.pollInterval ?? "5s", "pollInterval");
  if (pollInterval === 0) throw new RangeError(`Cannot ${ACTION} as "pollInterval" must be longer than 0 seconds`);
  return {
    queues,
    concurrency,
    drain,
    cron,
    maxTasks,
    watchdog,
    lease,
    shutdownTimeout: Math.min(toSeconds(options.shutdownTimeout ?? "30s", "shutdownTimeout"), LONGEST_TIMER),
    pollInterval,
  };
}

// deno-lint-ignore no-explicit-any
function definitionsOf(tasks: Iterable<Task<any, any>> | undefined): Map<string, TaskDefinition> {
  const definitions = new Map<string, TaskDefinition>();
  if (tasks === undefined) {
    for (const [name, { definition }] of registry) definitions.set(name, definition);
  } else {
    for (const task of tasks) {
      const definition = (task as unknown as { [DEFINITION]: TaskDefinition })[DEFINITION];
      for (const name of namesOf(definition)) definitions.set(name, definition);
    }
  }
  if (definitions.size > 0) return definitions;
  throw new FireflyError(`Cannot ${ACTION} as no task is defined: import the modules that define them first`);
}

interface Run {
  settings: Settings;
  definitions: Map<string, TaskDefinition>;
  events: Emitter;
  signal: AbortSignal;
  watchdogOutput: WatchdogOutput;
  onReady(loop: ConsumerLoop): void;
}

async function run(host: ConsumerHost, { settings, definitions, events, signal, watchdogOutput, onReady }: Run) {
  const { lease, watchdog: ends, ...parts } = settings;
  const defaults = host.options.defaults ?? {};
  const started = await untilReachable({ events, signal }, async () => {
    const { database, sessions, listener } = await host.connect();
    const { sql, leaseConnection: leases } = database;
    await requireSchema(sql, host.schema);
    await Promise.all([
      registerDefinitions(sql, [...definitions].map(([name, definition]) => toDefinitionRow(name, definition))),
      storeRetention(sql, toRetentionSeconds(defaults.retention)),
      storeQueues(sql, toQueueSettings(host.options.queues)),
    ]);
    const env = {
      instance: host,
      sql,
      sessions,
      settler: new Settler(sql),
      events,
      hooks: host.hooks,
      keys: host.keys,
      redactor: host.redactor,
      defaults,
      lease,
    };
    const loop = new ConsumerLoop({ env, leases, listener, definitions, ...parts });
    await loop.start();
    return { loop, sessions };
  });
  if (!started) return { completed: 0, failed: 0 };
  const { loop, sessions } = started;
  const [names, { pretty }] = [[...definitions.keys()], watchdogOutput];
  const watchdog = new Watchdog({ events, consumerId: () => loop.id, lease, names, ends, pretty });
  const stop = () => loop.stop();
  sessions.max += parts.concurrency;
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  onReady(loop);
  try {
    return await loop.run();
  } finally {
    await watchdog.end();
    signal.removeEventListener("abort", stop);
    sessions.max -= parts.concurrency;
  }
}

/** A consumer may start before its database does: it waits for it, and says so once. */
async function untilReachable<T>(
  { events, signal }: Pick<Run, "events" | "signal">,
  connect: () => Promise<T>,
): Promise<T | undefined> {
  for (let tries = 0; !signal.aborted; tries++) {
    try {
      return await connect();
    } catch (error) {
      if (!(error instanceof DatabaseUnreachable) || error.refused) throw error;
      if (tries === 0) events.emit("consumer.error", { consumerId: "", action: "start", error });
      await sleep(Math.min(200 * 2 ** tries, 5000), undefined, { signal }).catch(() => {});
    }
  }
  return undefined;
}
