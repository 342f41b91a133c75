import { Admission } from "../claim/admission.ts";
import type { AttemptEnvironment } from "../attempt/environment.ts";
import { Dependants } from "../claim/dependants.ts";
import { ConcurrencyWatch } from "./concurrency_watch.ts";
import type { ConsumerCounts } from "./counts.ts";
import { CancellationWatch } from "./cancellation_watch.ts";
import { HeldTasks } from "../claim/held_tasks.ts";
import { ClaimLoop } from "../claim/loop.ts";
import { CronScheduler } from "../schedule/cron_scheduler.ts";
import { LeaseLost } from "../errors.ts";
import type { Events } from "../events.ts";
import { ServedQueues } from "../claim/served_queues.ts";
import { ConsumerLease } from "../claim/consumer_lease.ts";
import type { Listener } from "../notify/listener.ts";
import type { ConsumerConnections, LoopHealth } from "./consumer_parts.ts";
import { Maintenance } from "./maintenance.ts";
import { findUnserved } from "./unserved.ts";
import { VERSION } from "../version.ts";
import { QueueWatch } from "./queue_watch.ts";
import { shutDown } from "./shut_down.ts";
import { Outages } from "../outages.ts";
import { controlChannel, queueChannel, queuesChannel } from "../store/listen.ts";

/** Runs the tasks of its queues, up to `concurrency` at a time, until it is stopped. */
export class ConsumerLoop {
  readonly #env: AttemptEnvironment;
  readonly #database: string;
  readonly #listener: Listener;
  readonly #queues: ServedQueues;
  #watch: QueueWatch | undefined;
  readonly #held: HeldTasks;
  readonly #admission: Admission;
  readonly #dependants: Dependants;
  readonly #lease: ConsumerLease;
  readonly #maintenance: Maintenance;
  readonly #cancellations: CancellationWatch;
  readonly #scaling: ConcurrencyWatch;
  readonly #crons: CronScheduler | undefined;
  readonly #outages: Outages;
  readonly #loop: ClaimLoop;
  readonly #grace = Promise.withResolvers<void>();
  #graceTimer: ReturnType<typeof setTimeout> | undefined;
  #checking: Promise<void> | undefined;
  #checkingQueues: Promise<void> | undefined;
  #stopping = false;
  #unsubscribe: (() => void) | undefined;

  constructor(env: AttemptEnvironment, { listener, leaseConnection, database }: ConsumerConnections) {
    const { sql, config, settler, events, statistics } = env;
    const outages = new Outages(events, () => this.id);
    const admission = new Admission(sql, { onProgress: () => this.#loop.wake(), ...outages.of("admit limited tasks") });
    const dependants = new Dependants(sql, {
      onProgress: () => this.#loop.wake(),
      onReleased: ({ released: tasks, cancelled }) => {
        if (events.has("released")) events.emit("released", { consumerId: this.id, tasks, cancelled });
      },
      ...outages.of("release dependants"),
    });
    settler.onDependencies = (ids) => dependants.request(ids);
    settler.onLimitSlotsFreed = (concurrencyKey, rateKey) => admission.requestFor(concurrencyKey, rateKey);
    settler.outage = outages.of("store outcomes");
    if (env.log) env.log.outage = outages.of("store log lines");
    const queues = this.#queues = new ServedQueues({
      sql,
      config,
      consumerId: () => this.id,
      onChange: () => this.#onQueues(),
    });
    const held = new HeldTasks(env, { admission, outages });
    const hooks = {
      onRenewed: () => this.#onRenewed(),
      onExpired: () => this.#onExpired(),
      onError: (error: unknown) => outages.report("renew the lease", error),
    };
    const lease = new ConsumerLease(leaseConnection, { config, hooks, queues, slots: env.slots });
    this.#env = env;
    this.#database = database;
    this.#listener = listener;
    this.#outages = outages;
    this.#admission = admission;
    this.#dependants = dependants;
    this.#held = held;
    this.#lease = lease;
    const parts = { held, admission, dependants, lease, listener, outages, queues };
    this.#loop = new ClaimLoop(env, { ...parts, onDone: () => this.stop() });
    this.#maintenance = new Maintenance({
      sql,
      events,
      config,
      queues,
      admission,
      dependants,
      statistics,
      onError: (step, error) => outages.report(step, error),
      onSuccess: (step) => outages.recovered(step),
    });
    if (config.allQueues) {
      this.#watch = new QueueWatch({ queues, interval: config.pollIntervalMs, ...outages.of("look for queues") });
    }
    const whenLooking = outages.of("look for cancelled tasks");
    this.#cancellations = new CancellationWatch({ held, listener, config, ...whenLooking });
    this.#scaling = new ConcurrencyWatch({
      env,
      consumerId: () => this.id,
      onChange: () => this.#loop.resize(),
      ...outages.of("look for another concurrency"),
    });
    // A consumer that drains is gone before most slots come, and would find there what its user does not expect.
    if (!config.cron || config.drain) return;
    const { definitions, defaults } = config;
    const { tracing } = env;
    const whenScheduling = outages.of("schedule by cron");
    const consumerId = () => this.id;
    this.#crons = new CronScheduler({ sql, tracing, definitions, defaults, consumerId, ...whenScheduling });
  }

  /** The id under which it is registered. */
  get id(): string {
    return this.#lease.id;
  }

  /** How many tasks it runs at a time. */
  get concurrency(): number {
    return this.#env.slots.count;
  }

  /** Its health now. */
  get health(): LoopHealth {
    return {
      responsive: this.#loop.responsive,
      leased: this.#lease.valid,
      listener: this.#listener.state,
      stopping: this.#stopping,
    };
  }

  /** What it has counted until now. */
  get counts(): ConsumerCounts {
    const { statistics, slots, config } = this.#env;
    return {
      attempts: statistics?.totals,
      steps: statistics?.steps,
      releases: this.#dependants.counts,
      tasks: Array.from(new Set(config.definitions.values()), ({ name, queue }) => ({
        name,
        queue: queue ?? config.defaults.queue ?? "default",
      })),
      errors: this.#outages.counts,
      concurrency: config.concurrency,
      running: slots.taken,
      wakeLocks: this.#loop.wakeLocks,
      release: config.attemptedBy.release,
    };
  }

  /** Registers the consumer. */
  async start(): Promise<void> {
    await this.#queues.refresh({ isRegistered: false });
    await this.#lease.start();
    this.#env.settler.attemptedBy = this.#lease.processId;
    await this.#crons?.start();
  }

  /** Runs until it is stopped, or until nothing is left to do if it drains. */
  async run(): Promise<{ completed: number; failed: number }> {
    const { events } = this.#env;
    this.#unsubscribe = this.#listener.subscribe(this.#channels(), this.#onNotification);
    events.emit("consumer.started", this.#describe());
    this.#reportUnserved();
    this.#watch?.start();
    this.#cancellations.start();
    try {
      await this.#maintenance.start();
      await this.#loop.run();
    } finally {
      await this.#shutDown();
      clearTimeout(this.#graceTimer);
      this.#unsubscribe();
      this.#unsubscribe = undefined;
    }
    const { completed, failed } = this.#held.outcomes;
    events.emit("consumer.stopped", { consumerId: this.id, completed, failed });
    return { completed, failed };
  }

  /** Claims no more; `run` ends when all attempts have ended, or after the shutdown timeout. */
  stop(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    const { events, slots, config } = this.#env;
    events.emit("consumer.stopping", { consumerId: this.id, running: slots.taken });
    this.#graceTimer = setTimeout(() => this.#grace.resolve(), config.shutdownTimeoutMs);
    this.#loop.end();
  }

  #describe(): Events["consumer.started"] {
    const { sql, slots, config: { name, allQueues, definitions, attemptedBy } } = this.#env;
    const tasks = [...new Set(definitions.values())];
    return {
      consumerId: this.id,
      name,
      queues: this.#queues.names,
      allQueues,
      concurrency: slots.count,
      database: this.#database,
      schema: sql.schemaName,
      tasks: tasks.map(({ name }) => name),
      crons: this.#crons ? tasks.filter(({ cron }) => cron !== undefined).map(({ name }) => name) : [],
      version: VERSION,
      release: attemptedBy.release,
    };
  }

  #reportUnserved(): void {
    const { sql, events, config } = this.#env;
    const { onError, onSuccess } = this.#outages.of("look for queues");
    this.#checkingQueues = findUnserved(sql, config).then((found) => {
      if (found.length > 0) events.emit("consumer.unserved", { consumerId: this.id, queues: found });
      onSuccess();
    }).catch(onError);
  }

  #channels(): string[] {
    const { sql: { schemaName } } = this.#env;
    const own = this.#queues.names.map((queue) => queueChannel(schemaName, queue));
    return [controlChannel(schemaName), ...(this.#watch ? [queuesChannel(schemaName)] : []), ...own];
  }

  /** Listens for the queues that it serves now, and claims from them. */
  #onQueues(): void {
    if (!this.#unsubscribe) return;
    this.#unsubscribe = this.#listener.subscribe(this.#channels(), this.#onNotification);
    this.#loop.wake();
  }

  readonly #onNotification = (channel: string | undefined): void => {
    this.#loop.wake();
    const { schemaName } = this.#env.sql;
    if (channel === undefined || channel === queuesChannel(schemaName)) this.#watch?.look();
    if (channel !== undefined && channel !== controlChannel(schemaName)) return;
    if (channel === undefined) this.#checkClaims(); // the server may have been down
    this.#cancellations.look();
    this.#scaling.look();
    this.#admission.requestAll();
    this.#dependants.requestAll();
    this.#crons?.look();
    this.#held.releasePaused().catch((error) => this.#outages.report("look for paused queues", error));
  };

  /** After each renewal: keeps the transactions of attempts alive, and reconciles its claims with the database. */
  #onRenewed(): void {
    this.#outages.recovered("renew the lease");
    this.#loop.wake();
    this.#held.ping();
    this.#scaling.look(); // behind a pooler, notifications do not arrive
    this.#checkClaims(); // not awaited: the next renewal must not wait for it
  }

  #checkClaims(): void {
    this.#checking ??= this.#held.discardLost()
      .then(() => this.#held.releasePaused())
      .then(() => this.#held.reconcile(this.id, () => this.#loop.claiming))
      .catch((error) => this.#outages.report("check claims", error))
      .finally(() => this.#checking = undefined);
  }

  #onExpired(): void {
    this.#env.events.emit("consumer.expired", { consumerId: this.id });
    this.#held.expire(new LeaseLost("The consumer could not renew its lease in time"));
  }

  #shutDown(): Promise<void> {
    return shutDown({
      env: this.#env,
      held: this.#held,
      admission: this.#admission,
      dependants: this.#dependants,
      lease: this.#lease,
      maintenance: this.#maintenance,
      crons: this.#crons,
      watches: [this.#cancellations, this.#scaling, this.#watch],
      outages: this.#outages,
      checks: () => Promise.all([this.#checking, this.#checkingQueues]),
    }, this.#grace.promise);
  }
}
