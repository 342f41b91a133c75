import { setTimeout as sleep } from "node:timers/promises";
import type { ConsumerConfig } from "../attempt/consumer_config.ts";
import type { AttemptEnvironment } from "../attempt/environment.ts";
import { ResultReader } from "../attempt/results.ts";
import { Slots } from "../attempt/slots.ts";
import type { ConsumerCounts } from "./counts.ts";
import { ConsumerLoop } from "./consumer.ts";
import type { Database } from "../database/pools.ts";
import type { KeyRing } from "../privacy/encryption.ts";
import { isServerFault } from "../database/error_codes.ts";
import { FireflyError, InstanceClosed } from "../errors.ts";
import type { Emitter } from "../events.ts";
import type { Hooks } from "../attempt/hooks.ts";
import { toDefinitionRow } from "../task/limit_keys.ts";
import type { Listener } from "../notify/listener.ts";
import { requireSchema } from "../schema/migrator.ts";
import type { QueueOptions, TaskOptions } from "../task/options.ts";
import type { Redactor } from "../privacy/redaction.ts";
import { toQueueSettings } from "../task/queue_options.ts";
import { toRetentionSeconds } from "../task/retention.ts";
import type { CurrentInstance } from "../task/scope.ts";
import type { Sessions } from "../database/sessions.ts";
import { Settler } from "../settle/settler.ts";
import { StepSettler } from "../settle/step_settler.ts";
import { SuspendSettler } from "../settle/suspend_settler.ts";
import { Statistics } from "../statistics/statistics.ts";
import { LogKeeper } from "../telemetry/kept_log.ts";
import type { Tracing } from "../telemetry/tracing.ts";
import { registerDefinitions } from "../store/definitions.ts";
import { storeRetention } from "../store/prune.ts";
import { writeLog } from "../store/task_log.ts";
import { storeQueues } from "../store/queues.ts";
import { checkConsumeOptions, type ConsumeOptions } from "./options.ts";
import { Watchdog } from "./watchdog.ts";

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

/**
 * A running consumer. If it cannot start, or ends with an error, `ready` and `finished` reject; unless one of them was
 * read, that is an unhandled rejection, which ends the process as a rule.
 */
export interface Consumer extends AsyncDisposable {
  /** Resolves when it is registered and claims tasks; rejects if it cannot start, or is stopped before that. */
  readonly ready: Promise<void>;
  /** Resolves when it has ended, to the numbers of tasks that it completed and that failed for good. */
  readonly finished: Promise<{ completed: number; failed: number }>;
  /** Its health now. */
  readonly health: ConsumerHealth;
  /**
   * What it has counted since its start, for metrics; undefined before it has started.
   *
   * @ignore
   */
  readonly counts: ConsumerCounts | undefined;
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
  readonly tracing: Tracing | undefined;
  readonly options: {
    readonly defaults?: Pick<TaskOptions, "queue" | "maxRetries" | "retryDelay" | "timeout" | "retention" | "keepLogs">;
    readonly queues?: Readonly<Record<string, QueueOptions>>;
    readonly statistics?: boolean;
  };
  connect(): Promise<{ settings: { label: string }; database: Database; sessions: Sessions; listener: Listener }>;
}

/**
 * Starts a consumer on `host`, and calls `onEnd` when it has ended.
 *
 * @throws {TypeError | RangeError} If an option is wrong.
 */
export function startConsumer(host: ConsumerHost, options: ConsumeOptions, onEnd: () => void): Consumer {
  const config = checkConsumeOptions(options, { schema: host.schema, defaults: host.options.defaults ?? {} });
  const ready = Promise.withResolvers<void>();
  const stopped = new AbortController();
  const signal = AbortSignal.any([stopped.signal, ...(options.signal ? [options.signal] : [])]);
  let loop: ConsumerLoop | undefined;
  let ended = false;
  const onReady = (started: ConsumerLoop) => {
    loop = started;
    ready.resolve();
  };
  const finished = run(host, { config, signal, onReady }).finally(() => {
    ended = true;
    onEnd();
  });
  finished.then(() => ready.reject(new FireflyError("The consumer was stopped before it was ready")), ready.reject);
  ready.promise.catch(() => {}); // a caller that awaits `finished` alone gets the error there
  const asked = { ready: false, finished: false };
  // A consumer that fails must not be silent: unless its end is awaited, this is an unhandled rejection.
  finished.catch((error) => {
    if (!asked.finished && !(asked.ready && !loop)) return Promise.reject(error);
  });
  async function stop(): Promise<void> {
    asked.finished = true;
    stopped.abort();
    await finished.catch(() => {});
  }
  return {
    get ready() {
      asked.ready = true;
      return ready.promise;
    },
    get finished() {
      asked.finished = true;
      return finished;
    },
    get health() {
      return healthOf(ended ? undefined : loop, ended);
    },
    get counts() {
      return loop?.counts;
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
    sessions.max -= loop.concurrency;
  }
}

/** Stores what the database must know of the tasks and queues, and registers the consumer. */
async function start(host: ConsumerHost, config: ConsumerConfig): Promise<{ loop: ConsumerLoop; sessions: Sessions }> {
  const { settings, database: { sql, leaseConnection }, sessions, listener } = await host.connect();
  await requireSchema(sql, host.schema);
  await Promise.all([
    registerDefinitions(
      sql,
      [...config.definitions].map(([name, definition]) => toDefinitionRow(name, definition, config.defaults.queue)),
    ),
    storeRetention(sql, toRetentionSeconds(config.defaults.retention)),
    storeQueues(sql, toQueueSettings(host.options.queues)),
  ]);
  const { events, hooks, keys, redactor, tracing } = host;
  const [slots, settler] = [new Slots(config.concurrency), new Settler(sql)];
  const env: AttemptEnvironment = {
    config,
    instance: host,
    sql,
    sessions,
    slots,
    settler,
    results: new ResultReader(sql),
    stepSettler: new StepSettler(sql),
    suspendSettler: new SuspendSettler(sql, settler),
    events,
    hooks,
    keys,
    redactor,
    tracing,
    log: new LogKeeper((lines) => writeLog(sql, lines)),
    statistics: host.options.statistics === false ? undefined : new Statistics(sql),
  };
  const loop = new ConsumerLoop(env, { listener, leaseConnection, database: settings.label });
  await loop.start();
  return { loop, sessions };
}

/** Retries `connect` while the database cannot be reached, or takes no writes; reports that once. */
async function untilReachable<T>(
  events: Emitter,
  signal: AbortSignal,
  connect: () => Promise<T>,
): Promise<T | undefined> {
  for (let tries = 0; !signal.aborted; tries++) {
    try {
      return await connect();
    } catch (error) {
      if (signal.aborted && error instanceof InstanceClosed) return undefined; // it was stopped while it connected
      if (!isServerFault(error)) throw error;
      if (tries === 0) events.emit("consumer.error", { consumerId: "", action: "start", error });
      await sleep(Math.min(200 * 2 ** tries, 5000), undefined, { signal }).catch(() => {});
    }
  }
  return undefined;
}
