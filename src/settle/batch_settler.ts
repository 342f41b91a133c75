import { setTimeout as sleep } from "node:timers/promises";
import { isServerFault } from "../database/error_codes.ts";

/** Milliseconds before what met a locked row, or no database, is tried again. */
const RETRY_DELAYS = [20, 50, 100, 250, 500, 1000];

/** How long to wait before the next try of what was tried so often, in milliseconds. */
export function delayAfter(tries: number): number {
  return RETRY_DELAYS[Math.min(tries, RETRY_DELAYS.length - 1)]!;
}

/** What waits for a statement. */
export interface PendingEntry {
  tries: number;
  /** Whether an earlier try may have taken effect without its reply arriving. */
  uncertain: boolean;
  /** Once it aborts, nothing is retried any more. */
  readonly signal?: AbortSignal;
  reject(error: unknown): void;
}

/**
 * Runs statements for many attempts of a consumer: what is added while one runs shares the next one. Retries while the
 * database is unreachable, has no room, or takes no writes. An entry that the database refuses fails none of the others.
 */
export abstract class BatchSettler<E extends PendingEntry> {
  #waiting: E[] = [];
  #flushing: Promise<void> | undefined;

  /** Removes those from `waiting` that the next statement takes, and returns them. */
  protected abstract take(waiting: E[]): E[];

  /** Runs the statement, and ends or retries each entry. */
  protected abstract run(entries: E[]): Promise<void>;

  protected add(entry: E): void {
    this.#waiting.push(entry);
    this.#flushing ??= this.#flush().finally(() => this.#flushing = undefined);
  }

  /** Adds an entry again, later. */
  protected retry(entry: E): void {
    const { signal } = entry;
    const retry = () => this.add(entry);
    sleep(delayAfter(entry.tries++), undefined, signal ? { signal } : {}).then(retry, () => {});
  }

  async #flush(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve)); // takes along what comes in this turn of the event loop
    while (this.#waiting.length > 0) await this.#runAll(this.take(this.#waiting));
  }

  async #runAll(entries: E[]): Promise<void> {
    if (entries.length === 0) return;
    try {
      await this.run(entries);
    } catch (error) {
      if (isServerFault(error)) {
        for (const entry of entries) {
          entry.uncertain = true;
          this.retry(entry);
        }
      } else if (entries.length === 1) entries[0]!.reject(error);
      else for (const entry of entries) await this.#runAll([entry]); // one that is refused must not fail its neighbors
    }
  }
}
