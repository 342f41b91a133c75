import type { Tag } from "../database/driver.ts";
import { admitTasks, type LimitCursor, type LimitKeys, startRates, waitingKeys } from "../store/limits.ts";
import { type RequestHooks, Requests } from "./requests.ts";

/** The most keys that one statement admits for: each is locked until it ends. */
const BATCH = 100;
/** The most keys of each kind that one look at all of them reads. */
const ROUND = 1_000;
/** How often in a row to retry tasks with two keys that lost their second key to another consumer. */
const MAX_FRUITLESS = 3;

/**
 * Admits limited tasks. Requests name the keys whose slots were given back, or whose limit queues got tasks, after the
 * commit of that; each request looks for waiting tasks that have a slot now. Consumers without limited tasks make none.
 */
export class Admission extends Requests {
  readonly #sql: Tag;
  readonly #concurrencyKeys = new Set<string>();
  readonly #rateKeys = new Set<string>();
  #started: number[] = [];
  #cursor: LimitCursor = { concurrency: "", rate: "" };
  #lookAtAll = false;
  /** How many tasks were admitted. */
  admitted = 0;

  constructor(sql: Tag, hooks: RequestHooks) {
    super(hooks);
    this.#sql = sql;
  }

  /** Looks at the limit queues of these keys. */
  request({ concurrencyKeys, rateKeys }: LimitKeys): void {
    for (const key of concurrencyKeys) this.#concurrencyKeys.add(key);
    for (const key of rateKeys) this.#rateKeys.add(key);
    this.start();
  }

  /** Looks at the limit queues of one task that gave its slots back. */
  requestFor(concurrencyKey: string | null, rateKey: string | null): void {
    if (concurrencyKey === null && rateKey === null) return;
    if (concurrencyKey) this.#concurrencyKeys.add(concurrencyKey);
    if (rateKey) this.#rateKeys.add(rateKey);
    this.start();
  }

  /** Notes that an attempt of a task with a rate limit has started: its slot runs from now on. */
  onStarted(id: number, rateKey: string): void {
    this.#started.push(id);
    this.#rateKeys.add(rateKey);
    this.start();
  }

  /** Looks at all limit queues, a thousand of a kind at a time: this makes up for requests that were missed. */
  requestAll(): void {
    this.#lookAtAll = true;
    this.start();
  }

  protected override get isRequested(): boolean {
    return this.#lookAtAll || this.#started.length + this.#concurrencyKeys.size + this.#rateKeys.size > 0;
  }

  protected override async serve(): Promise<void> {
    await this.#startRates();
    await this.#requestNext();
    await this.#admit();
  }

  async #startRates(): Promise<void> {
    const started = this.#started.splice(0);
    if (started.length === 0) return;
    try {
      await startRates(this.#sql, started);
    } catch (error) {
      this.#started.push(...started);
      throw error;
    }
  }

  /** Requests the next keys, if all limit queues are to be looked at. */
  async #requestNext(): Promise<void> {
    if (!this.#lookAtAll) return;
    const { next, ...keys } = await waitingKeys(this.#sql, this.#cursor, ROUND);
    this.#lookAtAll = false;
    this.#cursor = next;
    this.request(keys);
  }

  /** Admits tasks of up to {@linkcode BATCH} keys. If that fails, the keys are requested again. */
  async #admit(): Promise<void> {
    const concurrencyKeys = [...this.#concurrencyKeys].slice(0, BATCH);
    const rateKeys = [...this.#rateKeys].slice(0, BATCH - concurrencyKeys.length);
    if (concurrencyKeys.length + rateKeys.length === 0) return;
    for (const key of concurrencyKeys) this.#concurrencyKeys.delete(key);
    for (const key of rateKeys) this.#rateKeys.delete(key);
    try {
      for (let fruitless = 0; fruitless < MAX_FRUITLESS;) {
        const { admitted, again } = await admitTasks(this.#sql, { concurrencyKeys, rateKeys });
        this.admitted += admitted;
        if (admitted > 0) this.onProgress();
        if (!again) break;
        fruitless = admitted > 0 ? 0 : fruitless + 1;
      }
    } catch (error) {
      this.request({ concurrencyKeys, rateKeys });
      throw error;
    }
  }
}
