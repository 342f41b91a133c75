import type { Admission } from "../claim/admission.ts";
import type { Tag } from "../database/driver.ts";
import { mayConcernOneRecord } from "../database/error_codes.ts";
import { FireflyError } from "../errors.ts";
import type { Emitter } from "../events.ts";
import type { Statistics } from "../statistics/statistics.ts";
import { type RescuedTask, rescueTasks } from "../store/rescue.ts";

/** What a {@linkcode Rescuer} works with. */
export interface RescuerOptions {
  readonly sql: Tag;
  readonly events: Emitter;
  readonly admission: Admission;
  readonly statistics?: Statistics | undefined;
}

/** How many milliseconds a task is left out that could not be rescued. */
const PAUSE = 60_000;

/**
 * Rescues the tasks of crashed consumers. One that cannot be rescued, as a trigger of the user's refuses to change its
 * record, is left out for a while, and the others are rescued.
 */
export class Rescuer {
  readonly #options: RescuerOptions;
  /** Tasks that could not be rescued, each with the time from which on it is tried again. */
  readonly #left = new Map<number, number>();

  constructor(options: RescuerOptions) {
    this.#options = options;
  }

  /**
   * Rescues all tasks that it can, until `isEnded`.
   *
   * @throws {FireflyError} If one could not be rescued, once the others are.
   */
  async rescue(isEnded: () => boolean): Promise<void> {
    for (const [id, until] of this.#left) if (performance.now() > until) this.#left.delete(id);
    let failure: unknown;
    for (let rescued = 1; rescued > 0 && !isEnded();) {
      rescued = await this.#rescueRange(0, Number.MAX_SAFE_INTEGER, (error) => failure ??= error);
    }
    const [id] = this.#left.keys();
    if (id === undefined) return;
    const others = this.#left.size > 1 ? ` and ${this.#left.size - 1} more` : "";
    throw new FireflyError(`Cannot rescue task ${id}${others}, all others are rescued`, { cause: failure });
  }

  /** Rescues tasks whose ids are in a range; halves it where that fails, down to the one task that is the cause. */
  async #rescueRange(from: number, to: number, onFailure: (error: unknown) => void): Promise<number> {
    try {
      const rescued = await rescueTasks(this.#options.sql, { from, to, without: [...this.#left.keys()] });
      for (const task of rescued) this.#report(task);
      return rescued.length;
    } catch (error) {
      if (!mayConcernOneRecord(error)) throw error;
      if (from === to) {
        this.#left.set(from, performance.now() + PAUSE);
        onFailure(error);
        return 0;
      }
      const middle = Math.floor(from + (to - from) / 2);
      const below = await this.#rescueRange(from, middle, onFailure);
      return below + await this.#rescueRange(middle + 1, to, onFailure);
    }
  }

  #report({ id, funcName, queue, status, attemptedBy, concurrencyKey, rateKey, error }: RescuedTask): void {
    const { events, admission, statistics } = this.#options;
    events.emit("rescued", { id, funcName, queue, failed: status === "failed", attemptedBy });
    if (error) statistics?.countCrash({ id, funcName, queue, ...error });
    admission.requestFor(concurrencyKey, rateKey);
  }
}
