import { randomUUID } from "node:crypto";
import type { Tag } from "../database/driver.ts";
import { type ConsumerInfo, registerConsumer, removeConsumer, renewConsumer } from "../store/consumers.ts";

/** What a consumer tells its lease, and is told. */
export interface LeaseHooks {
  /** After each renewal. */
  onRenewed(): void;
  /** The right to run tasks is gone, or will be before anyone can be asked: whatever runs must stop. */
  onExpired(): void;
  /** A renewal failed; it will be tried again. */
  onError(error: unknown): void;
}

/** The part of a lease after which a consumer that cannot renew it stops by itself, before others take over. */
const RENEWAL_RATIO = 0.8;

/** A consumer's place in the table of the living, renewed every third of its length by a timer of its own. */
export class ConsumerLease {
  readonly #sql: Tag;
  readonly #info: Omit<ConsumerInfo, "id">;
  readonly #seconds: number;
  readonly #hooks: LeaseHooks;
  #id: string = randomUUID();
  #sentAt = -Infinity;
  #expired = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #renewing: Promise<void> = Promise.resolve();
  #ended = false;

  constructor(
    sql: Tag,
    { info, seconds, hooks }: { info: Omit<ConsumerInfo, "id">; seconds: number; hooks: LeaseHooks },
  ) {
    this.#sql = sql;
    this.#info = info;
    this.#seconds = seconds;
    this.#hooks = hooks;
  }

  /** The id under which the consumer is registered: a new one after it was removed. */
  get id(): string {
    return this.#id;
  }

  /** Whether the consumer may claim and run. Judged by when the last successful renewal was sent, not answered. */
  get valid(): boolean {
    return performance.now() - this.#sentAt < this.#seconds * 1000 * RENEWAL_RATIO;
  }

  /** Registers the consumer and starts to renew. */
  async start(): Promise<void> {
    await this.#register();
    this.#schedule();
  }

  /** Renews now, as after a claim that found the consumer dead. */
  renew(): Promise<void> {
    return this.#renewing = this.#renewing.then(() => this.#renew());
  }

  /** Stops renewing and leaves the table. */
  async end(): Promise<void> {
    this.#ended = true;
    clearTimeout(this.#timer);
    await this.#renewing;
    await removeConsumer(this.#sql, this.#id);
  }

  async #register(): Promise<void> {
    const sentAt = performance.now();
    await registerConsumer(this.#sql, { id: this.#id, ...this.#info }, this.#seconds);
    this.#sentAt = sentAt;
    this.#expired = false;
  }

  #schedule(): void {
    if (this.#ended) return;
    // While renewals fail they are tried more often, and the moment to stop must not be overslept.
    const third = this.#seconds * 1000 / 3;
    const healthy = performance.now() - this.#sentAt < third;
    this.#timer = setTimeout(() => this.renew().finally(() => this.#schedule()), healthy ? third : third / 5);
  }

  async #renew(): Promise<void> {
    if (this.#ended) return;
    const sentAt = performance.now();
    const remaining = Math.max(0, this.#sentAt + this.#seconds * 1000 * RENEWAL_RATIO - sentAt);
    const guard = setTimeout(() => this.#expire(), remaining);
    try {
      if (await renewConsumer(this.#sql, this.#id, this.#seconds)) {
        this.#sentAt = sentAt;
        this.#expired = false;
      } else {
        this.#expire();
        this.#id = randomUUID(); // the old id stays removed, and with it whatever was claimed under it
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
