/** The progress that a handler reports. */
export interface ProgressReport {
  readonly value: number;
  readonly note: string | null;
}

/** The time between two stored reports, in milliseconds. */
const INTERVAL = 500;

/**
 * Stores reports of progress, at most two per second: the first at once, and of those within the next half second the
 * last one, at its end. The value 1 is always stored at once.
 */
export class Progress {
  readonly #store: (report: ProgressReport) => Promise<unknown>;
  readonly #onError: (error: unknown) => void;
  /** Runs while no other report may be stored. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** The report that waits for the timer. */
  #latest: ProgressReport | undefined;
  /** Reports are stored one after another: an older one must not overwrite a newer. */
  #storing: Promise<unknown> = Promise.resolve();
  #ended = false;

  /** Calls `onError` when a report cannot be stored that no caller awaits. */
  constructor(store: (report: ProgressReport) => Promise<unknown>, onError: (error: unknown) => void) {
    this.#store = store;
    this.#onError = onError;
  }

  /** Takes a report; resolves once it is stored, or at once if it must wait. */
  async report(report: ProgressReport): Promise<void> {
    if (this.#ended) return;
    if (this.#timer === undefined || report.value === 1) await this.#storeNow(report);
    else this.#latest = report;
  }

  /** Drops the report that waits: the attempt is over, and no longer owns the record. */
  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
  }

  async #storeNow(report: ProgressReport): Promise<void> {
    clearTimeout(this.#timer);
    this.#latest = undefined;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#latest) this.#storeNow(this.#latest).catch(this.#onError);
    }, INTERVAL);
    const stored = this.#storing.then(() => this.#store(report));
    this.#storing = stored.catch(() => {});
    await stored;
  }
}
