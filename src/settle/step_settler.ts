import { BatchSettler, type PendingEntry } from "./batch_settler.ts";
import { stepTakenError } from "./commit_step.ts";
import type { Tag } from "../database/driver.ts";
import { leaseLostError } from "./outcome_events.ts";
import { readClaims } from "../store/settle.ts";
import { type EndedStep, isStored, storeSteps } from "../store/steps.ts";

/** The most steps that one statement stores, and the most characters of their results. */
const [BATCH, BATCH_SIZE] = [500, 4 * 1024 * 1024];

interface Entry extends PendingEntry {
  readonly ended: EndedStep;
  readonly signal: AbortSignal;
  resolve(): void;
}

/**
 * Stores steps that have no transaction, in batches: steps that end while one statement runs share the next one, of all
 * attempts of a consumer.
 */
export class StepSettler extends BatchSettler<Entry> {
  readonly #sql: Tag;

  constructor(sql: Tag) {
    super();
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
      this.add({ ended, signal, tries: 0, uncertain: false, resolve, reject });
    });
  }

  protected override take(waiting: Entry[]): Entry[] {
    let [count, size] = [0, 0];
    for (const { ended } of waiting) {
      if (count === BATCH || count > 0 && size > BATCH_SIZE) break;
      size += ended.step.returned?.length ?? 0;
      count++;
    }
    return waiting.splice(0, count).filter(({ signal }) => !signal.aborted);
  }

  protected override async run(entries: Entry[]): Promise<void> {
    const stored = await storeSteps(this.#sql, entries.map(({ ended }) => ended));
    for (const [i, entry] of entries.entries()) if (stored[i]) entry.resolve();
    const leftOver = entries.filter((_, i) => !stored[i]);
    if (leftOver.length > 0) await this.#resolveLeftOver(leftOver);
  }

  /** A step that was left over belongs to a task that is lost or locked, was stored by an earlier try, or by another. */
  async #resolveLeftOver(entries: Entry[]): Promise<void> {
    const states = await readClaims(this.#sql, entries.map(({ ended }) => ended.id));
    for (const entry of entries) {
      const { id, claimSeq, step } = entry.ended;
      const state = states.get(id);
      if (state?.claimSeq !== claimSeq || state.status !== "created") entry.reject(leaseLostError(id, state));
      else if (!await isStored(this.#sql, id, step)) this.retry(entry);
      else if (entry.uncertain) entry.resolve();
      else entry.reject(stepTakenError(entry.ended));
    }
  }
}
