import { setTimeout as sleep } from "node:timers/promises";
import type { ConsumerConfig } from "../attempt/consumer_config.ts";
import type { AttemptEnvironment } from "../attempt/environment.ts";
import { Slots } from "../attempt/slots.ts";
import { ConsumerLoop } from "./consumer.ts";
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
import type { Task } from "../task/signature.ts";
import { DEFINITION } from "../task/task.ts";
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
  /** Ends once no task is ready; leaves tasks that are due later. @default false */
  drain?: boolean;
  /** Ends after this many attempts. @default no limit */
  maxTasks?: number;
  /** Stops the consumer when it aborts. */
  signal?: AbortSignal;
  /** How long stopping waits for handlers before it aborts them: seconds, or text with a unit. @default "30s" */
  shutdownTimeout?: Duration;
  /** How often to poll in case a notification is missed: seconds, or text with a unit. @default "5s" */
  pollInterval?: Duration;
  /**
   * How long after a consumer crashed, or lost the database, other consumers run its tasks: seconds, or text with a unit.
   *
   * @default "30s"
   */
  lease?: Duration;
  /**
   * Schedules the tasks with a `cron` when their slots come, in any queue. A consumer that drains never does.
   *
   * @default true
   */
  cron?: boolean;
  /**
   * Ends the process (SIGKILL) when its event loop was blocked for 0.6 of the lease, as by a handler that computes in an
   * endless loop: the consumer cannot renew its lease then, and nothing else in the process can run. Without the watchdog,
   * the event `consumer.blocked` reports a block once it is over.
   *
   * @default false, but true in the command line
   */
  watchdog?: boolean;
}

/** The health of a consumer, for probes. */
export interface ConsumerHealth {
  /** Lifecycle state; it claims only while `running`. */
  readonly state: "starting" | "running" | "stopping" | "stopped";
  /** Whether its loop looks for tasks as often as it should. */
  readonly responsive: boolean;
  /** Whether its lease is valid: the database answered lately. Without a lease it runs nothing. */
  readonly leased: boolean;
  /**
   * Whether notifications arrive; if not, it polls every `pollInterval`. `unavailable`: a transaction pooler keeps them
   * back; `down`: their connection is lost, or not open yet.
   */
  readonly listener: "connected" | "unavailable" | "down";
}

/** A running consumer. */
export interface Consumer extends AsyncDisposable {
  /** Resolves when it is registered and claims tasks; rejects if it cannot start, or is stopped before that. */
  readonly ready: Promise<void>;
  /** Resolves when it has ended, to the numbers of tasks that it completed and that failed for good. */
  readonly finished: Promise<{ completed: number; failed: number }>;
  /** Its health now. */
  readonly health: ConsumerHealth;
  /** Claims no more, returns tasks that have not begun, waits for handlers, then aborts them. Resolves at its end. */
  stop(): Promise<void>;
}

/** The instance that a consumer belongs to. */
export interface ConsumerHost extends CurrentInstance {
  readonly schema: string;
  readonly events: Emitter;
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
/** In seconds. With a longer lease, the tasks of a crashed consumer would wait too long, and timers overflow. */
const LONGEST_LEASE = 86_400;
/** The longest time of a timer in milliseconds: it holds 31 bits, and fires at once beyond them. */
const LONGEST_TIMER = 2 ** 31 - 1;

/**
 * Starts a consumer on `host`.
 *
 * @throws {TypeError | RangeError} If an option is wrong.
 */
export function startConsumer(host: ConsumerHost, options: ConsumeOptions): Consumer {
  const config = checkOptions(options, host);
  const ready = Promise.withResolvers<void>();
  const stopped = new AbortController();
  const signal = AbortSignal.any([stopped.signal, ...(options.signal ? [options.signal] : [])]);
  let loop: ConsumerLoop | undefined;
  let ended = false;
  const onReady = (started: ConsumerLoop) => {
    loop = started;
    ready.resolve();
  };
  const finished = run(host, { config, signal, onReady }).finally(() => ended = true);
  finished.then(() => ready.reject(new FireflyError("The consumer was stopped before it was ready")), ready.reject);
  ready.promise.catch(() => {}); // a caller that awaits `finished` alone gets the error there
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
  const { stopping = false, responsive = true, leased = false, listener = "down" } = loop?.health ?? {};
  const state = ended ? "stopped" : !loop ? "starting" : stopping ? "stopping" : "running";
  return { state, responsive, leased, listener };
}

/** Checks the options, and fills in their defaults. */
function checkOptions(options: ConsumeOptions, { schema, options: { defaults = {} } }: ConsumerHost): ConsumerConfig {
  refuseUnknownKeys(options, OPTION_KEYS, ACTION);
  const { concurrency = 10, maxTasks = Infinity, drain = false, cron = true, watchdog = false } = options;
  const queues = [...new Set([options.queues ?? defaults.queue ?? "default"].flat())];
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
  const shutdownTimeout = toSeconds(options.shutdownTimeout ?? "30s", "shutdownTimeout");
  const definitions = definitionsOf(options.tasks);
  return Object.freeze({
    queues,
    definitions,
    names: [...definitions.keys()],
    concurrency,
    maxTasks,
    drain,
    cron,
    watchdog,
    leaseMs: lease * 1000,
    pollIntervalMs: pollInterval * 1000,
    shutdownTimeoutMs: Math.min(shutdownTimeout * 1000, LONGEST_TIMER),
    defaults,
  });
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
  readonly config: ConsumerConfig;
  readonly signal: AbortSignal;
  readonly onReady: (loop: ConsumerLoop) => void;
}

async function run(host: ConsumerHost, { config, signal, onReady }: Run) {
  const started = await untilReachable(host.events, signal, () => start(host, config));
  if (!started) return { completed: 0, failed: 0 };
  const { loop, sessions } = started;
  const watchdog = new Watchdog({ config, events: host.events, consumer: loop });
  const stop = () => loop.stop();
  sessions.max += config.concurrency;
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  onReady(loop);
  try {
    return await loop.run();
  } finally {
    await watchdog.end();
    signal.removeEventListener("abort", stop);
    sessions.max -= config.concurrency;
  }
}

/** Stores what the database must know of the tasks and queues, and registers the consumer. */
async function start(host: ConsumerHost, config: ConsumerConfig): Promise<{ loop: ConsumerLoop; sessions: Sessions }> {
  const { database: { sql, leaseConnection }, sessions, listener } = await host.connect();
  await requireSchema(sql, host.schema);
  await Promise.all([
    registerDefinitions(sql, [...config.definitions].map(([name, definition]) => toDefinitionRow(name, definition))),
    storeRetention(sql, toRetentionSeconds(config.defaults.retention)),
    storeQueues(sql, toQueueSettings(host.options.queues)),
  ]);
  const { events, hooks, keys, redactor } = host;
  const [slots, settler] = [new Slots(config.concurrency), new Settler(sql)];
  const env: AttemptEnvironment = {
    config,
    instance: host,
    sql,
    sessions,
    slots,
    settler,
    events,
    hooks,
    keys,
    redactor,
  };
  const loop = new ConsumerLoop(env, { listener, leaseConnection });
  await loop.start();
  return { loop, sessions };
}

/** Retries `connect` while the database cannot be reached, as before its first start; reports that once. */
async function untilReachable<T>(
  events: Emitter,
  signal: AbortSignal,
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
