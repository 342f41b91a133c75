import type { StatisticsDelta } from "../store/statistics.ts";
import { addHistogram, type Histogram } from "./histogram.ts";

/** The most errors with different messages that are kept until the next write. */
const MOST_ERRORS = 1000;
/** The longest message of an error to keep. */
const LONGEST_MESSAGE = 1000;

/** What the tasks of a name did in a queue. */
export interface Counts {
  completed: number;
  failed: number;
  retried: number;
  snoozed: number;
  readonly wait: Histogram;
  readonly run: Histogram;
}

/** The task of an attempt that ended with an error, and that error. */
export interface CountedError {
  readonly id: number;
  readonly queue: string;
  readonly funcName: string;
  readonly name: string;
  readonly message: string;
}

/** What a consumer has counted since some time: by queue and name, and by error. */
export class Tally {
  readonly #queues = new Map<string, Map<string, Counts>>();
  readonly #errors = new Map<string, CountedError & { attempts: number }>();

  /** Whether nothing was counted. */
  get isEmpty(): boolean {
    return this.#queues.size === 0 && this.#errors.size === 0;
  }

  /** What the tasks of a name did in a queue, to add to. Two maps, as to join the names for a key would cost more. */
  of(queue: string, funcName: string): Counts {
    let names = this.#queues.get(queue);
    if (!names) this.#queues.set(queue, names = new Map());
    let counts = names.get(funcName);
    if (!counts) names.set(funcName, counts = { completed: 0, failed: 0, retried: 0, snoozed: 0, wait: [], run: [] });
    return counts;
  }

  /**
   * Counts an error. Those whose messages differ in numbers alone are counted as one: the database finds more of them
   * alike. Of many with different messages, it leaves out the last ones.
   */
  addError(error: CountedError, attempts = 1): void {
    const message = error.message.slice(0, LONGEST_MESSAGE);
    const key = JSON.stringify([error.funcName, error.name, message.replace(/\d+/g, "0")]);
    const known = this.#errors.get(key);
    if (!known && this.#errors.size >= MOST_ERRORS) return;
    this.#errors.set(key, { ...error, message, attempts: (known?.attempts ?? 0) + attempts });
  }

  /** Adds all of a later one. */
  add(later: Tally): void {
    for (const [queue, names] of later.#queues) {
      for (const [funcName, counts] of names) addCounts(this.of(queue, funcName), counts);
    }
    for (const { attempts, ...error } of later.#errors.values()) this.addError(error, attempts);
  }

  /** All of it, as the database gets it. */
  toDelta(): StatisticsDelta {
    const queues = Array.from(this.#queues, ([queue, names]) => {
      const sum: Counts = { completed: 0, failed: 0, retried: 0, snoozed: 0, wait: [], run: [] };
      for (const counts of names.values()) addCounts(sum, counts);
      return { queue, ...sum };
    });
    const tasks = Array.from(this.#queues).flatMap(([queue, names]) =>
      Array.from(names, ([funcName, counts]) => ({ queue, funcName, ...counts }))
    );
    const errors = Array.from(this.#errors.values(), ({ id, ...error }) => ({ ...error, lastTaskId: id }));
    return { queues, tasks, errors };
  }
}

function addCounts(sum: Counts, counts: Counts): void {
  sum.completed += counts.completed;
  sum.failed += counts.failed;
  sum.retried += counts.retried;
  sum.snoozed += counts.snoozed;
  addHistogram(sum.wait, counts.wait);
  addHistogram(sum.run, counts.run);
}
