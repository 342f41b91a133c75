import type { Tag } from "../database/driver.ts";
import type { OutageHooks } from "../outages.ts";
import { mayVacuumReady, vacuumReady } from "../store/vacuum.ts";

/** How many rows this consumer deletes from `ready` before it vacuums the table. */
const ROWS = 20_000;
/** The shortest pause between two vacuums in milliseconds, and how many times as long as the last vacuum it is. */
const [PAUSE, PAUSE_FACTOR] = [1000, 10];

/**
 * Vacuums `ready` while the consumer is busy. Autovacuum runs once a minute at most; until then a busy consumer leaves
 * millions of dead rows, and each claim scans past them all. A consumer whose role does not own the table leaves it to
 * autovacuum.
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

  /** Notes that a claim deleted `taken` rows. */
  note(taken: number): void {
    this.#taken += taken;
    if (this.#taken < ROWS || this.#running || performance.now() < this.#notBefore) return;
    this.#taken = 0;
    this.#running = this.#run().finally(() => this.#running = undefined);
  }

  /** Resolves when no vacuum runs. */
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
