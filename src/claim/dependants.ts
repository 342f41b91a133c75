import { setTimeout as sleep } from "node:timers/promises";
import type { Tag } from "../database/driver.ts";
import { type Released, releaseTasks } from "../store/dependencies.ts";

/** Callbacks of {@linkcode Dependants}. */
export interface DependantsHooks {
  /** Called when tasks got a place, and when all requests are done. */
  onProgress(): void;
  /** Called when a statement failed; it is retried. */
  onError(error: unknown): void;
  /** Called after a statement that did not fail. */
  onSuccess(): void;
}

/** Milliseconds before dependants are told again whose records another transaction had locked; after the last, not. */
const LOCKED_PAUSES = [5, 10, 20, 40, 80, 160];
/** Milliseconds before a failed statement is retried. */
const RETRY_DELAY = 250;

/**
 * Releases the tasks that wait for others. Requests name tasks whose end has committed; those that come while a statement
 * runs share the next one. Consumers none of whose tasks has dependants make none.
 */
export class Dependants {
  readonly #sql: Tag;
  readonly #hooks: DependantsHooks;
  #ids: number[] = [];
  #lookAtAll = false;
  #flushing: Promise<void> | undefined;
  #ended = false;
  /** How many times in a row there was more to do, and none of it could be done. */
  #fruitless = 0;
  /** How many tasks got a place. */
  released = 0;

  constructor(sql: Tag, hooks: DependantsHooks) {
    this.#sql = sql;
    this.#hooks = hooks;
  }

  /** Whether all requests are done. */
  get isIdle(): boolean {
    return this.#flushing === undefined;
  }

  /** Releases the dependants of these tasks. */
  request(ids: readonly number[]): void {
    for (const id of ids) this.#ids.push(id);
    this.#start();
  }

  /** Releases the dependants of any task: this makes up for requests that were lost with their consumer. */
  requestAll(): void {
    this.#lookAtAll = true;
    this.#start();
  }

  /** Resolves when all requests are done. */
  async idle(): Promise<void> {
    while (this.#flushing) await this.#flushing;
  }

  /** Stops: other consumers look at all tasks, too. */
  abandon(): void {
    this.#ended = true;
  }

  get #isRequested(): boolean {
    return !this.#ended && (this.#lookAtAll || this.#ids.length > 0);
  }

  #start(): void {
    if (!this.#isRequested) return;
    this.#flushing ??= this.#flush().finally(() => {
      this.#flushing = undefined;
      this.#hooks.onProgress();
      this.#start();
    });
  }

  async #flush(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve)); // takes along what ends in this turn of the event loop
    while (this.#isRequested) {
      const ids = this.#lookAtAll ? null : this.#ids;
      [this.#ids, this.#lookAtAll] = [[], false];
      try {
        await this.#follow(await releaseTasks(this.#sql, ids));
        this.#hooks.onSuccess();
      } catch (error) {
        this.#lookAtAll = true;
        this.#hooks.onError(error);
        await sleep(RETRY_DELAY);
      }
    }
  }

  /** Goes on while there is more to do; leaves it to the next round of maintenance where a lock is held for long. */
  async #follow({ released, cancelled, again }: Released): Promise<void> {
    this.released += released;
    if (released > 0) this.#hooks.onProgress();
    this.#fruitless = again && released + cancelled === 0 ? this.#fruitless + 1 : 0;
    if (!again) return;
    const pause = this.#fruitless === 0 ? 0 : LOCKED_PAUSES[this.#fruitless - 1];
    if (pause === undefined) return void (this.#fruitless = 0);
    if (pause > 0) await sleep(pause);
    this.#lookAtAll = true;
  }
}
