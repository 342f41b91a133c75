import { hostname } from "node:os";
import process from "node:process";
import { Admission } from "../claim/admission.ts";
import { Shutdown } from "../attempt/attempt.ts";
import type { AttemptEnvironment } from "../attempt/environment.ts";
import { CancellationWatch } from "./cancellation_watch.ts";
import { HeldTasks } from "../claim/held_tasks.ts";
import { ClaimLoop } from "../claim/loop.ts";
import type { TaskDefinition } from "../task/definition.ts";
import { CronScheduler } from "../schedule/cron_scheduler.ts";
import type { Tag } from "../database/driver.ts";
import { LeaseLost } from "../errors.ts";
import { ConsumerLease } from "../claim/consumer_lease.ts";
import type { Listener, ListenerState } from "../notify/listener.ts";
import { Maintenance } from "./maintenance.ts";
import { Outages } from "../outages.ts";
import { controlChannel, queueChannel } from "../store/listen.ts";
import { VERSION } from "../version.ts";

/** What a consumer is made of. Durations are in seconds. */
export interface ConsumerParts {
  readonly env: AttemptEnvironment;
  /** The tag for the consumer's lease. */
  readonly leases: Tag;
  readonly listener: Listener;
  readonly definitions: ReadonlyMap<string, TaskDefinition>;
  readonly queues: string[];
  readonly concurrency: number;
  readonly drain: boolean;
  readonly cron: boolean;
  readonly maxTasks: number;
  readonly shutdownTimeout: number;
  readonly pollInterval: number;
}

/** How long a stopping consumer waits for the database, in milliseconds. */
const SHUTDOWN_DEADLINE = 5_000;

/** Runs the tasks of its queues, up to `concurrency` of them at a time, and goes on until it is stopped. */
export class ConsumerLoop {
  readonly #parts: ConsumerParts;
  readonly #env: AttemptEnvironment;
  readonly #claims: HeldTasks;
  readonly #admission: Admission;
  readonly #lease: ConsumerLease;
  readonly #maintenance: Maintenance;
  readonly #cancellations: CancellationWatch;
  readonly #cron: CronScheduler | undefined;
  readonly #outages: Outages;
  readonly #loop: ClaimLoop;
  readonly #grace = Promise.withResolvers<void>();
  #graceTimer: ReturnType<typeof setTimeout> | undefined;
  #checking: Promise<void> | undefined;
  #stopping = false;

  constructor(parts: ConsumerParts) {
    const { env, queues, concurrency, definitions } = parts;
    const names = [...definitions.keys()];
    const outages = this.#outages = new Outages(env.events, () => this.#lease.id);
    this.#parts = parts;
    this.#env = env;
    this.#admission = new Admission(env.sql, {
      onProgress: () => this.#loop.wake(),
      ...outages.of("let limited tasks in"),
    });
    env.settler.onLimitSlotsFreed = (concurrencyKey, rateKey) => this.#admission.requestFor(concurrencyKey, rateKey);
    env.settler.outage = outages.of("store how attempts ended");
    this.#claims = new HeldTasks({
      env,
      definitions,
      onBegin: ({ id, rateKey }) => rateKey !== null && this.#admission.began(id, rateKey),
      onFree: () => this.#loop.freed(),
      onError: (action, error) => outages.report(action, error),
    });
    this.#lease = new ConsumerLease(parts.leases, {
      seconds: env.lease,
      info: { host: hostname(), pid: process.pid, version: VERSION, queues, tasks: names, concurrency },
      hooks: {
        onRenewed: () => this.#onRenewed(),
        onExpired: () => this.#onExpired(),
        onError: (error) => outages.report("renew its lease", error),
      },
    });
    this.#loop = new ClaimLoop({
      ...parts,
      claims: this.#claims,
      admission: this.#admission,
      lease: this.#lease,
      outages,
      names,
      onDone: () => this.stop(),
    });
    this.#maintenance = new Maintenance({
      sql: env.sql,
      events: env.events,
      admission: this.#admission,
      queues,
      names,
      interval: Math.min(env.lease / 6, 5),
      ...outages.of("look after the queues"),
    });
    this.#cancellations = new CancellationWatch({
      claims: this.#claims,
      listener: parts.listener,
      pollInterval: parts.pollInterval * 1000,
      ...outages.of("look for cancelled tasks"),
    });
    // One that drains is gone before most slots come, and would be surprised by what it finds there.
    if (!parts.cron || parts.drain) return;
    this.#cron = new CronScheduler({
      sql: env.sql,
      definitions,
      defaults: env.defaults,
      consumerId: () => this.#lease.id,
      ...outages.of("schedule by cron"),
    });
  }

  /** The id under which it is registered. */
  get id(): string {
    return this.#lease.id;
  }

  /** How it is. */
  get health(): { turns: boolean; leased: boolean; listener: ListenerState; stopping: boolean } {
    const { turns } = this.#loop;
    return { turns, leased: this.#lease.valid, listener: this.#parts.listener.state, stopping: this.#stopping };
  }

  /** Registers the consumer. */
  async start(): Promise<void> {
    await this.#lease.start();
    await this.#cron?.start();
  }

  /** Runs until it is stopped, or until there is nothing left to do if it drains. */
  async run(): Promise<{ completed: number; failed: number }> {
    const { queues, concurrency, listener } = this.#parts;
    const unsubscribe = listener.subscribe(this.#channels(), (channel) => this.#onNotification(channel));
    this.#env.events.emit("consumer.started", { consumerId: this.#lease.id, queues, concurrency });
    this.#cancellations.start();
    try {
      await this.#maintenance.start();
      await this.#loop.run();
    } finally {
      await this.#shutDown();
      unsubscribe();
    }
    const { completed, failed } = this.#claims.endings;
    this.#env.events.emit("consumer.stopped", { consumerId: this.#lease.id, completed, failed });
    return { completed, failed };
  }

  /** Claims no more; `run` ends when what runs has ended, or at the end of the grace period. */
  stop(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#env.events.emit("consumer.stopping", { consumerId: this.#lease.id, running: this.#claims.busy });
    this.#graceTimer = setTimeout(() => this.#grace.resolve(), this.#parts.shutdownTimeout * 1000);
    this.#loop.end();
  }

  #channels(): string[] {
    const { schemaName } = this.#env.sql;
    return [controlChannel(schemaName), ...this.#parts.queues.map((queue) => queueChannel(schemaName, queue))];
  }

  #onNotification(channel: string | undefined): void {
    this.#loop.wake();
    if (channel !== undefined && channel !== controlChannel(this.#env.sql.schemaName)) return;
    if (channel === undefined) this.#checkClaims(); // the server may have been down
    this.#cancellations.look();
    this.#admission.requestAll();
    this.#claims.dropPaused().catch((error) => this.#outages.report("look for paused queues", error));
  }

  /** After each renewal: keeps the transactions of attempts alive, and squares what it holds with the database. */
  #onRenewed(): void {
    this.#outages.recovered("renew its lease");
    this.#loop.wake();
    this.#claims.ping();
    this.#checkClaims(); // not awaited: whatever it waits for, the next renewal must not
  }

  #checkClaims(): void {
    this.#checking ??= this.#claims.discardLost()
      .then(() => this.#claims.dropPaused())
      .then(() => this.#claims.compare(this.#lease.id, () => this.#loop.claiming))
      .catch((error) => this.#outages.report("check its claims", error))
      .finally(() => this.#checking = undefined);
  }

  #onExpired(): void {
    this.#env.events.emit("consumer.expired", { consumerId: this.#lease.id });
    this.#claims.expire(new LeaseLost("The consumer could not renew its lease in time"));
  }

  /** Hands back what never began, waits for what runs, then aborts it. Without a database it does not wait for ever. */
  async #shutDown(): Promise<void> {
    const cronEnded = this.#cron?.end();
    const handedBack = this.#claims.release();
    const ended = this.#claims.ended().then(() => this.#env.hooks.idle());
    await Promise.race([ended, this.#grace.promise]);
    clearTimeout(this.#graceTimer);
    this.#claims.abort(new Shutdown("The consumer shuts down"));
    const timer = setTimeout(() => {
      this.#env.settler.abandon();
      this.#admission.abandon();
    }, SHUTDOWN_DEADLINE);
    try {
      await Promise.all([this.#claims.ended(), handedBack]);
      await this.#checking;
      await this.#cancellations.end();
      await this.#env.settler.idle();
      await this.#maintenance.end();
      await cronEnded;
      await this.#admission.idle();
      await this.#lease.end();
    } catch (error) {
      this.#outages.report("take its leave", error);
    } finally {
      clearTimeout(timer);
    }
  }
}
