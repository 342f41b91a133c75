import { randomUUID } from "node:crypto";
import process from "node:process";
import type { ConsumerConfig } from "../attempt/consumer_config.ts";
import type { Tag } from "../database/driver.ts";
import { registerConsumer, removeConsumer, renewConsumer } from "../store/consumers.ts";
import { VERSION } from "../version.ts";
import type { ServedQueues } from "./served_queues.ts";

/** Callbacks of a {@linkcode ConsumerLease}. */
export interface LeaseHooks {
  /** Called after each renewal. */
  onRenewed(): void;
  /** Called when the lease is over, or will be before the database answers: all attempts must stop. */
  onExpired(): void;
  /** Called when a renewal failed; it is retried. */
  onError(error: unknown): void;
}

/** What a {@linkcode ConsumerLease} works with. */
export interface LeaseOptions {
  readonly config: ConsumerConfig;
  readonly hooks: LeaseHooks;
  /** The queues to register for. */
  readonly queues: Pick<ServedQueues, "names">;
  /** Its slots: as many tasks as it runs at a time. */
  readonly slots: { readonly count: number };
}

/** The part of a lease after which a consumer that cannot renew it stops, before others take over its tasks. */
const RENEWAL_RATIO = 0.8;

/** The consumer's row in `firefly.consumer`, renewed every third of the lease. */
export class ConsumerLease {
  readonly #sql: Tag;
  readonly #config: ConsumerConfig;
  readonly #hooks: LeaseHooks;
  readonly #queues: Pick<ServedQueues, "names">;
  readonly #slots: { readonly count: number };
  #id: string = randomUUID();
  #processId: number | null = null;
  #sentAt = -Infinity;
  #expired = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #renewing: Promise<void> = Promise.resolve();
  #ended = false;

  constructor(sql: Tag, { config, hooks, queues, slots }: LeaseOptions) {
    this.#sql = sql;
    this.#config = config;
    this.#hooks = hooks;
    this.#queues = queues;
    this.#slots = slots;
  }

  /** The id under which the consumer is registered: a new one after its row was removed. */
  get id(): string {
    return this.#id;
  }

  /** The id of its process, which claims and attempts store; null before it is registered. */
  get processId(): number | null {
    return this.#processId;
  }

  /** Whether the consumer may claim and run: counted from when the last renewal was sent, not answered. */
  get valid(): boolean {
    return performance.now() - this.#sentAt < this.#config.leaseMs * RENEWAL_RATIO;
  }

  /** Registers the consumer and starts to renew. */
  async start(): Promise<void> {
    await this.#register();
    this.#schedule();
  }

  /** Renews now, as after a claim that found the consumer removed. */
  renew(): Promise<void> {
    return this.#renewing = this.#renewing.then(() => this.#renew());
  }

  /** Stops renewing, and deregisters the consumer. */
  async end(): Promise<void> {
    this.#ended = true;
    clearTimeout(this.#timer);
    await this.#renewing;
    await removeConsumer(this.#sql, this.#id);
  }

  async #register(): Promise<void> {
    const { name, allQueues, names, leaseMs, attemptedBy } = this.#config;
    const queues = this.#queues.names;
    const info = {
      ...attemptedBy,
      name,
      version: VERSION,
      queues,
      allQueues,
      tasks: names,
      concurrency: this.#slots.count,
      memory: memoryUsed(),
    };
    const sentAt = performance.now();
    this.#processId = await registerConsumer(this.#sql, { id: this.#id, ...info }, leaseMs / 1000);
    this.#renewedAt(sentAt);
  }

  /** An answer that came too late renews nothing: the lease is over as before, and is not reported again. */
  #renewedAt(sentAt: number): void {
    this.#sentAt = sentAt;
    if (this.valid) this.#expired = false;
  }

  #schedule(): void {
    if (this.#ended) return;
    // While renewals fail they are sent more often, and the timer must not outlast the moment to stop.
    const third = this.#config.leaseMs / 3;
    const healthy = performance.now() - this.#sentAt < third;
    this.#timer = setTimeout(() => this.renew().finally(() => this.#schedule()), healthy ? third : third / 5);
  }

  async #renew(): Promise<void> {
    if (this.#ended) return;
    const sentAt = performance.now();
    const remaining = Math.max(0, this.#sentAt + this.#config.leaseMs * RENEWAL_RATIO - sentAt);
    const guard = setTimeout(() => this.#expire(), remaining);
    try {
      if (await renewConsumer(this.#sql, this.#id, this.#config.leaseMs / 1000, memoryUsed())) {
        this.#renewedAt(sentAt);
      } else {
        this.#expire();
        this.#id = randomUUID(); // the old id stays removed, and the claims under it are lost
        await this.#register();
      }
      this.#hooks.onRenewed();
    } catch (error) {
      this.#hooks.onError(error);
    } finally {
      clearTimeout(guard);
      if (!this.valid) this.#expire();
    }
  }

  #expire(): void {
    if (this.#expired) return;
    this.#expired = true;
    this.#hooks.onExpired();
  }
}

/** The resident memory of this process, in bytes. */
function memoryUsed(): number {
  return process.memoryUsage.rss();
}
