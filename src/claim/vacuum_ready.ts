import type { Tag } from "../database/driver.ts";
import type { OutageHooks } from "../outages.ts";
import { mayVacuumReady, vacuumReady } from "../store/vacuum.ts";

/** How many rows this consumer takes out of `ready` before it has them cleared away. */
const ROWS = 20_000;
/** Milliseconds between two vacuums at least, and how much longer than one it takes until the next. */
const [PAUSE, PAUSE_FACTOR] = [1000, 10];

/**
 * Has the dead rows of `ready` cleared away while the consumer is at work. Autovacuum looks once a minute; until then a
 * consumer leaves millions of them, and each claim passes them all. A consumer whose role does not own the table leaves
 * it to autovacuum.
 */
export class ReadyVacuum {
  readonly #sql: Tag;
  readonly #hooks: OutageHooks;
  #may: boolean | undefined;
  #taken = 0;
  #notBefore = 0;
  #running: Promise<void> | undefined;

  constructor(sql: Tag, hooks: OutageHooks) {
    this.#sql = sql;
    this.#hooks = hooks;
  }

  /** Notes that a claim took so many rows. */
  note(taken: number): void {
    this.#taken += taken;
    if (this.#taken < ROWS || this.#running || performance.now() < this.#notBefore) return;
    this.#taken = 0;
    this.#running = this.#run().finally(() => this.#running = undefined);
  }

  /** Resolves when nothing of it is under way. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    const began = performance.now();
    try {
      this.#may ??= await mayVacuumReady(this.#sql);
      if (this.#may) await vacuumReady(this.#sql);
      this.#hooks.onSuccess();
    } catch (error) {
      this.#hooks.onError(error);
    }
    const took = performance.now() - began;
    this.#notBefore = performance.now() + Math.max(PAUSE, PAUSE_FACTOR * took);
  }
}
