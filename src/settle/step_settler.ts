import { stepTakenError } from "./commit_step.ts";
import type { Tag } from "../database/driver.ts";
import { isServerFault } from "../database/error_codes.ts";
import { leaseLostError } from "./outcome_events.ts";
import { readClaims } from "../store/settle.ts";
import { type EndedStep, isStored, storeSteps } from "../store/steps.ts";

/** The most steps that one statement stores, and the most characters of their results. */
const [BATCH, BATCH_SIZE] = [500, 4 * 1024 * 1024];
/** Milliseconds before a step that met a locked row, or no database, is stored again. */
const RETRY_DELAYS = [20, 50, 100, 250, 500, 1000];

interface Entry {
  readonly ended: EndedStep;
  readonly signal: AbortSignal;
  tries: number;
  /** Whether an earlier try may have taken effect without its reply arriving. */
  uncertain: boolean;
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * Stores steps that have no transaction, in batches: steps that end while one statement runs share the next one, of all
 * attempts of a consumer.
 */
export class StepSettler {
  readonly #sql: Tag;
  #waiting: Entry[] = [];
  #flushing: Promise<void> | undefined;

  constructor(sql: Tag) {
    this.#sql = sql;
  }

  /**
   * Stores a step. Retries while the database is unreachable, has no room, or takes no writes, until `signal` aborts: then
   * the promise never settles.
   *
   * @throws {LeaseLost} If the attempt no longer holds the task, or another one has stored the step. Also throws the
   * database's error, if it refuses this very step.
   */
  store(ended: EndedStep, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#add({ ended, signal, tries: 0, uncertain: false, resolve, reject });
    });
  }

  #add(entry: Entry): void {
    this.#waiting.push(entry);
    this.#flushing ??= this.#flush().finally(() => this.#flushing = undefined);
  }

  async #flush(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve)); // takes along what ends in this turn of the event loop
    while (this.#waiting.length > 0) {
      let [count, size] = [0, 0];
      for (const { ended } of this.#waiting) {
        if (count === BATCH || count > 0 && size > BATCH_SIZE) break;
        size += ended.step.returned?.length ?? 0;
        count++;
      }
      await this.#storeAll(this.#waiting.splice(0, count).filter(({ signal }) => !signal.aborted));
    }
  }

  async #storeAll(entries: Entry[]): Promise<void> {
    if (entries.length === 0) return;
    try {
      const stored = await storeSteps(this.#sql, entries.map(({ ended }) => ended));
      for (const [i, entry] of entries.entries()) if (stored[i]) entry.resolve();
      const leftOver = entries.filter((_, i) => !stored[i]);
      if (leftOver.length > 0) await this.#resolveLeftOver(leftOver);
    } catch (error) {
      if (isServerFault(error)) {
        for (const entry of entries) {
          entry.uncertain = true;
          this.#retry(entry);
        }
      } else if (entries.length === 1) entries[0]!.reject(error);
      else for (const entry of entries) await this.#storeAll([entry]); // one that is refused must not fail its neighbors
    }
  }

  /** A step that was left over belongs to a task that is lost or locked, was stored by an earlier try, or by another. */
  async #resolveLeftOver(entries: Entry[]): Promise<void> {
    const states = await readClaims(this.#sql, entries.map(({ ended }) => ended.id));
    for (const entry of entries) {
      const { id, claimSeq, step } = entry.ended;
      const state = states.get(id);
      if (state?.claimSeq !== claimSeq || state.status !== "created") entry.reject(leaseLostError(id, state));
      else if (!await isStored(this.#sql, id, step)) this.#retry(entry);
      else if (entry.uncertain) entry.resolve();
      else entry.reject(stepTakenError(entry.ended));
    }
  }

  #retry(entry: Entry): void {
    const delay = RETRY_DELAYS[Math.min(entry.tries++, RETRY_DELAYS.length - 1)]!;
    setTimeout(() => {
      if (!entry.signal.aborted) this.#add(entry);
    }, delay);
  }
}
