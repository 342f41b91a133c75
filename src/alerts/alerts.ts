import { Hooks } from "../attempt/hooks.ts";
import { type Consumer, type ConsumerHost, startConsumer } from "../consume/consume.ts";
import type { ConsumeOptions } from "../consume/options.ts";
import type { Tag } from "../database/driver.ts";
import { toSeconds } from "../duration.ts";
import { Emitter } from "../events.ts";
import { Outages } from "../outages.ts";
import {
  ALERT_QUEUE,
  ALERT_TASK,
  type BacklogAlert,
  fireBacklogAlerts,
  fireFailedAlerts,
  fireLostAlert,
  takeAlertTurn,
} from "../store/alerts.ts";
import { type QueueLoad, readQueueLoads } from "../store/queue_load.ts";
import { current } from "../task/context.ts";
import { defineTask } from "../task/definition.ts";
import type { Task } from "../task/signature.ts";
import { DEFINITION } from "../task/task.ts";
import type { AlertConfig, BacklogCondition } from "./options.ts";
import { type Alert, sendAlert } from "./webhook.ts";

/** Milliseconds between two looks of all consumers together, at most; with short leases it is a sixth of one. */
const LONGEST_INTERVAL = 5000;
/** Deliveries at a time: a receiver that hangs must not hold up all others. */
const CONCURRENCY = 2;
const ACTION = "look for alerts";

/**
 * Looks for what is worth an alert while the instance consumes, and delivers alerts. One consumer of the fleet looks at a
 * time, and each alert is a task, which any process with the option `alerts` delivers: by a consumer of its own, so that
 * no handler of the application keeps it waiting.
 */
export class Alerts {
  readonly #host: ConsumerHost;
  readonly #config: AlertConfig;
  readonly #outages: Outages;
  #consumer: Consumer | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #interval = LONGEST_INTERVAL;
  #looking: Promise<void> = Promise.resolve();
  #ended: Promise<void> = Promise.resolve();

  constructor(host: ConsumerHost, config: AlertConfig) {
    this.#host = host;
    this.#config = config;
    this.#outages = new Outages(host.events, () => "");
  }

  /** Starts, unless it has, with the lease of the consumer that has started. */
  begin({ lease = "30s" }: Pick<ConsumeOptions, "lease">): void {
    if (this.#consumer) return;
    this.#interval = Math.min(toSeconds(lease, "lease") * 1000 / 6, LONGEST_INTERVAL);
    const options = {
      name: ALERT_QUEUE,
      queues: ALERT_QUEUE,
      tasks: [this.#makeTask()],
      concurrency: CONCURRENCY,
      cron: false,
      lease,
    };
    this.#consumer = startConsumer(withOwnEvents(this.#host), options, () => {});
    this.#consumer.finished.catch(() => {}); // the consumer of the application fails for the same reason
    this.#schedule(Math.random() * this.#interval);
  }

  /** Stops, and waits for the look and the deliveries under way. */
  end(): Promise<void> {
    const consumer = this.#consumer;
    if (!consumer) return this.#ended;
    this.#consumer = undefined;
    clearTimeout(this.#timer);
    return this.#ended = Promise.all([this.#looking, consumer.stop()]).then(() => {});
  }

  #makeTask(): Task<[Alert], Promise<void>> {
    const { webhook } = this.#config;
    const definition = defineTask({
      name: ALERT_TASK,
      queue: ALERT_QUEUE,
      maxRetries: 20,
      retryDelay: { kind: "exponential", delay: "5s", max: "1h" },
      timeout: "15s",
    }, async (alert: Alert) => {
      const { id, signal } = current();
      await sendAlert(webhook, { ...alert, id: `alert_${id}`, signal });
    });
    return { [DEFINITION]: definition } as unknown as Task<[Alert], Promise<void>>;
  }

  #schedule(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#looking = this.#look().finally(() => {
        if (this.#consumer) this.#schedule(this.#interval);
      });
    }, ms);
  }

  async #look(): Promise<void> {
    const { onError, onSuccess } = this.#outages.of(ACTION);
    try {
      const { database: { sql } } = await this.#host.connect();
      // A bit less, so that a consumer on its own has each turn.
      if (await takeAlertTurn(sql, 0.9 * this.#interval / 1000)) await this.#fire(sql);
      onSuccess();
    } catch (error) {
      onError(error);
    }
  }

  async #fire(sql: Tag): Promise<void> {
    const { failed, backlogs, lost } = this.#config;
    if (failed) await fireFailedAlerts(sql, failed);
    if (lost) await fireLostAlert(sql);
    if (backlogs.length === 0) return;
    const loads = await readQueueLoads(sql);
    for (const backlog of backlogs) {
      await fireBacklogAlerts(sql, { ...splitBacklogs(loads, backlog), every: backlog.every });
    }
  }
}

/** Tells the queues that exceed a condition from those that do not. A queue of the condition that holds nothing does not. */
export function splitBacklogs(
  loads: readonly QueueLoad[],
  { queues, olderThan, moreThan }: BacklogCondition,
): { firing: BacklogAlert[]; over: BacklogAlert[] } {
  const firing: BacklogAlert[] = [];
  const over: BacklogAlert[] = [];
  const condition = {
    ...(olderThan < Infinity ? { olderThanSeconds: olderThan } : {}),
    ...(moreThan < Infinity ? { moreThan } : {}),
  };
  for (const { queue, ready, due, oldest, consumers, paused } of loads) {
    if (queues && !queues.includes(queue) || queue === ALERT_QUEUE) continue;
    const backlog = ready + due;
    const oldestSeconds = oldest ?? 0;
    const isOver = oldestSeconds <= olderThan && backlog <= moreThan;
    (isOver ? over : firing).push({
      cause: `backlog:${queue}:${olderThan}:${moreThan}`,
      detail: { queue, backlog, oldestSeconds, consumers, paused, condition },
    });
  }
  return { firing, over };
}

/** The events of the host that concern the delivery; the log of a consumer is about the application's tasks. */
const FORWARDED = ["failed", "retried", "consumer.error", "consumer.recovered"] as const;

/** The host with events, hooks and middleware of its own: those of the application are about its tasks. */
function withOwnEvents(host: ConsumerHost): ConsumerHost {
  const events = new Emitter();
  for (const event of FORWARDED) events.on(event, (detail) => host.events.emit(event, detail));
  const { schema, keys, redactor, options, sql, tasks } = host;
  return {
    schema,
    keys,
    redactor,
    tracing: undefined,
    options,
    sql,
    tasks,
    events,
    hooks: new Hooks({ events, onFailed: undefined, get: (id) => tasks.get(id), run: (fn) => fn() }),
    schedule: (definition, calls, options, call) => host.schedule(definition, calls, options, call),
    prepareCall: (target, calls) => host.prepareCall(target, calls),
    connect: () => host.connect(),
  };
}
