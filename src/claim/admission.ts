import { setTimeout as sleep } from "node:timers/promises";
import type { Tag } from "../database/driver.ts";
import { admitTasks, type LimitCursor, type LimitKeys, startRates, waitingKeys } from "../store/limits.ts";

/** What the admission of a consumer tells it. */
export interface AdmissionHooks {
  /** Tasks got in, or everything that was asked for is done. */
  onProgress(): void;
  /** The database could not be asked; it will be asked again. */
  onError(error: unknown): void;
  /** After a success. */
  onSuccess(): void;
}

/** How many keys one statement looks after: each is locked for as long. */
const BATCH = 100;
/** How many keys of each kind a look at all of them takes in. */
const ROUND = 1_000;
/** How often tasks with two keys are looked at in vain: their other key was taken in between. */
const VAIN = 3;
/** How long to wait before the database is asked again, in milliseconds. */
const RETRY_DELAY = 250;

/**
 * Lets limited tasks in: told of every slot that was given back, and of every line that was joined, after the commit
 * of that, it looks whether there are slots for those who wait. What it is told of while one statement is under way
 * goes out with the next. Consumers without limited tasks never ask.
 */
export class Admission {
  readonly #sql: Tag;
  readonly #hooks: AdmissionHooks;
  readonly #concurrencyKeys = new Set<string>();
  readonly #rateKeys = new Set<string>();
  #began: number[] = [];
  #cursor: LimitCursor = { concurrency: "", rate: "" };
  #lookAtAll = false;
  #flushing: Promise<void> | undefined;
  #ended = false;
  /** How many tasks it has let in. */
  admitted = 0;

  constructor(sql: Tag, hooks: AdmissionHooks) {
    this.#sql = sql;
    this.#hooks = hooks;
  }

  /** Whether there is nothing left to do. */
  get isIdle(): boolean {
    return this.#flushing === undefined;
  }

  /** Looks at the lines of these keys. */
  ask({ concurrencyKeys, rateKeys }: LimitKeys): void {
    for (const key of concurrencyKeys) this.#concurrencyKeys.add(key);
    for (const key of rateKeys) this.#rateKeys.add(key);
    this.#start();
  }

  /** Looks at the lines of one task that gave back its slots. */
  requestFor(concurrencyKey: string | null, rateKey: string | null): void {
    if (concurrencyKey === null && rateKey === null) return;
    if (concurrencyKey) this.#concurrencyKeys.add(concurrencyKey);
    if (rateKey) this.#rateKeys.add(rateKey);
    this.#start();
  }

  /** Notes that an attempt of a task under a rate has begun: its slot runs from now on. */
  began(id: number, rateKey: string): void {
    this.#began.push(id);
    this.#rateKeys.add(rateKey);
    this.#start();
  }

  /** Looks at all lines, a thousand of a kind at a time: what was missed is made good. */
  requestAll(): void {
    this.#lookAtAll = true;
    this.#start();
  }

  /** Resolves when all that was asked for is done. */
  async idle(): Promise<void> {
    while (this.#flushing) await this.#flushing;
  }

  /** Gives up: other consumers look at all lines too. */
  abandon(): void {
    this.#ended = true;
  }

  get #isAsked(): boolean {
    return !this.#ended &&
      (this.#lookAtAll || this.#began.length + this.#concurrencyKeys.size + this.#rateKeys.size > 0);
  }

  #start(): void {
    if (!this.#isAsked) return;
    this.#flushing ??= this.#flush().finally(() => {
      this.#flushing = undefined;
      this.#hooks.onProgress();
      this.#start();
    });
  }

  async #flush(): Promise<void> {
    while (this.#isAsked) {
      try {
        await this.#startRates();
        await this.#collectAll();
        await this.#admit();
        this.#hooks.onSuccess();
      } catch (error) {
        this.#hooks.onError(error);
        await sleep(RETRY_DELAY);
      }
    }
  }

  async #startRates(): Promise<void> {
    const began = this.#began.splice(0);
    if (began.length === 0) return;
    try {
      await startRates(this.#sql, began);
    } catch (error) {
      this.#began.push(...began);
      throw error;
    }
  }

  async #collectAll(): Promise<void> {
    if (!this.#lookAtAll) return;
    const { next, ...keys } = await waitingKeys(this.#sql, this.#cursor, ROUND);
    this.#lookAtAll = false;
    this.#cursor = next;
    this.ask(keys);
  }

  /** Admits for up to a batch of keys. If that fails they stay, to be asked for again. */
  async #admit(): Promise<void> {
    const concurrencyKeys = [...this.#concurrencyKeys].slice(0, BATCH);
    const rateKeys = [...this.#rateKeys].slice(0, BATCH - concurrencyKeys.length);
    if (concurrencyKeys.length + rateKeys.length === 0) return;
    for (const key of concurrencyKeys) this.#concurrencyKeys.delete(key);
    for (const key of rateKeys) this.#rateKeys.delete(key);
    try {
      for (let vain = 0; vain < VAIN;) {
        const { admitted, again } = await admitTasks(this.#sql, { concurrencyKeys, rateKeys });
        this.admitted += admitted;
        if (admitted > 0) this.#hooks.onProgress();
        if (!again) break;
        vain = admitted > 0 ? 0 : vain + 1;
      }
    } catch (error) {
      this.ask({ concurrencyKeys, rateKeys });
      throw error;
    }
  }
}
