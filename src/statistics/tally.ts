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
  /**
   * Attempts that were suspended, whose task was cancelled, and those that no longer held it. For metrics alone: the
   * database counts none of them.
   */
  suspended: number;
  cancelled: number;
  lost: number;
  /** How many milliseconds tasks waited and handlers ran, in all. */
  waited: number;
  ran: number;
  readonly wait: Histogram;
  readonly run: Histogram;
}

function noCounts(): Counts {
  return {
    completed: 0,
    failed: 0,
    retried: 0,
    snoozed: 0,
    suspended: 0,
    cancelled: 0,
    lost: 0,
    waited: 0,
    ran: 0,
    wait: [],
    run: [],
  };
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
    if (!counts) names.set(funcName, counts = noCounts());
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

  /** What was counted, by queue and name, in the order in which each was counted first. */
  *entries(): Generator<{ readonly queue: string; readonly funcName: string; readonly counts: Readonly<Counts> }> {
    for (const [queue, names] of this.#queues) {
      for (const [funcName, counts] of names) yield { queue, funcName, counts };
    }
  }

  /** Adds the attempts of another one, and not their errors. */
  addAttempts(other: Tally): void {
    for (const { queue, funcName, counts } of other.entries()) addCounts(this.of(queue, funcName), counts);
  }

  /** Adds all of a later one. */
  add(later: Tally): void {
    this.addAttempts(later);
    for (const { attempts, ...error } of later.#errors.values()) this.addError(error, attempts);
  }

  /** All of it, as the database gets it. */
  toDelta(): StatisticsDelta {
    const queues = Array.from(this.#queues, ([queue, names]) => {
      const sum = noCounts();
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
  sum.suspended += counts.suspended;
  sum.cancelled += counts.cancelled;
  sum.lost += counts.lost;
  sum.waited += counts.waited;
  sum.ran += counts.ran;
  addHistogram(sum.wait, counts.wait);
  addHistogram(sum.run, counts.run);
}
