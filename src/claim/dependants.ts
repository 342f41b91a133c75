import { setTimeout as sleep } from "node:timers/promises";
import type { Tag } from "../database/driver.ts";
import { addDuration, type Histogram } from "../statistics/histogram.ts";
import { type Released, releaseTasks } from "../store/dependencies.ts";
import { type RequestHooks, Requests } from "./requests.ts";

/** Callbacks of {@linkcode Dependants}. */
export interface DependantsHooks extends RequestHooks {
  /** Called when tasks got a place, or were cancelled as a dependency did not complete. */
  onReleased?(released: Pick<Released, "released" | "cancelled">): void;
}

/** What the releases of a consumer did. */
export interface ReleaseCounts {
  /** How many tasks got a place. */
  released: number;
  /** How many were cancelled, as a dependency did not complete. */
  cancelled: number;
  /** From when tasks of this consumer ended to the release of their dependants, and the sum in milliseconds. */
  readonly waits: Histogram;
  waited: number;
}

/** Milliseconds before dependants are told again whose records another transaction had locked; after the last, not. */
const LOCKED_PAUSES = [5, 10, 20, 40, 80, 160];

/**
 * Releases the tasks that wait for others. Requests name tasks whose end has committed. Consumers none of whose tasks has
 * dependants make none.
 */
export class Dependants extends Requests {
  readonly #sql: Tag;
  readonly #onReleased: DependantsHooks["onReleased"];
  #ids: number[] = [];
  #lookAtAll = false;
  /** How many times in a row there was more to do, and none of it could be done. */
  #fruitless = 0;
  /** When the first task of the next statement ended, by `performance.now()`. */
  #requestedAt: number | undefined;
  readonly counts: ReleaseCounts = { released: 0, cancelled: 0, waits: [], waited: 0 };

  constructor(sql: Tag, hooks: DependantsHooks) {
    super(hooks);
    this.#sql = sql;
    this.#onReleased = hooks.onReleased;
  }

  /** How many tasks got a place. */
  get released(): number {
    return this.counts.released;
  }

  /** Releases the dependants of these tasks. */
  request(ids: readonly number[]): void {
    this.#requestedAt ??= performance.now();
    for (const id of ids) this.#ids.push(id);
    this.start();
  }

  /** Releases the dependants of any task: this makes up for requests that were lost with their consumer. */
  requestAll(): void {
    this.#lookAtAll = true;
    this.start();
  }

  protected override get isRequested(): boolean {
    return this.#lookAtAll || this.#ids.length > 0;
  }

  protected override async serve(): Promise<void> {
    const ids = this.#lookAtAll ? null : this.#ids;
    const requestedAt = this.#requestedAt;
    [this.#ids, this.#lookAtAll, this.#requestedAt] = [[], false, undefined];
    try {
      const done = await releaseTasks(this.#sql, ids);
      this.#count(done, requestedAt);
      await this.#follow(done);
    } catch (error) {
      this.#requestedAt ??= requestedAt;
      this.#lookAtAll = true;
      throw error;
    }
  }

  /** Counts what a statement did, and how long a task of this consumer waited for it that had ended. */
  #count({ released, cancelled }: Released, requestedAt: number | undefined): void {
    this.counts.released += released;
    this.counts.cancelled += cancelled;
    if (released + cancelled === 0) return;
    this.#onReleased?.({ released, cancelled });
    if (requestedAt === undefined) return;
    const waited = performance.now() - requestedAt;
    addDuration(this.counts.waits, waited, 1);
    this.counts.waited += waited;
  }

  /** Goes on while there is more to do; leaves it to the next round of maintenance where a lock is held for long. */
  async #follow({ released, cancelled, again }: Released): Promise<void> {
    if (released > 0) this.onProgress();
    this.#fruitless = again && released + cancelled === 0 ? this.#fruitless + 1 : 0;
    if (!again) return;
    const pause = this.#fruitless === 0 ? 0 : LOCKED_PAUSES[this.#fruitless - 1];
    if (pause === undefined) return void (this.#fruitless = 0);
    if (pause > 0) await sleep(pause);
    this.#lookAtAll = true;
  }
}
