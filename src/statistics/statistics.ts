import type { Tag } from "../database/driver.ts";
import type { AttemptOutcome } from "../settle/outcome_events.ts";
import type { ClaimedRun, ClaimedTask } from "../store/claimed_task.ts";
import type { ErrorRow } from "../store/rows.ts";
import { forgetStatistics, sampleQueues, writeStatistics } from "../store/statistics.ts";
import { addDuration } from "./histogram.ts";
import { StepCounts } from "./step_counts.ts";
import { type CountedError, Tally } from "./tally.ts";

/** What is counted of an attempt. */
export interface CountedAttempt {
  readonly task: { readonly run: ClaimedRun };
  /** When it started, by `performance.now()`. */
  readonly began: number;
  /** How long its handler ran, in whole milliseconds. */
  readonly ran: number;
}

/** Milliseconds between two writes, at least: maintenance comes every 5 s, so a crash loses what 15 s have counted. */
const WRITE_INTERVAL = 10_000;

/**
 * Counts in memory what the attempts of a consumer do, and adds it to the statistics of the database every few seconds:
 * no task costs a statement. A crash loses what was not written; no task depends on it.
 */
export class Statistics {
  readonly #sql: Tag;
  /** What the steps of attempts did, for metrics alone. */
  readonly steps: StepCounts = new StepCounts();
  #tally = new Tally();
  /** What was written, and the attempts that the database does not count. */
  readonly #written = new Tally();
  #wroteAt = performance.now();
  /**
   * What the attempt that ended last was like, and how many in a row were: of a run of tasks that end at once, all are.
   * To count another one of these costs four comparisons.
   */
  #run: ClaimedRun | undefined;
  #began = 0;
  #ran = 0;
  #outcome: AttemptOutcome = "completed";
  #repeats = 0;

  constructor(sql: Tag) {
    this.#sql = sql;
  }

  /**
   * Counts an attempt that has ended. One whose task was cancelled or lost belongs to the statement that did so, and one
   * that was suspended goes on later: these are for metrics alone.
   */
  count(attempt: CountedAttempt, outcome: AttemptOutcome): void {
    const { task: { run }, began, ran } = attempt;
    if (run === this.#run && began === this.#began && ran === this.#ran && outcome === this.#outcome) {
      this.#repeats++;
      return;
    }
    this.#addRepeats();
    this.#run = run;
    this.#began = began;
    this.#ran = ran;
    this.#outcome = outcome;
    this.#repeats = 1;
  }

  /** Counts the error that an attempt ended with: an entry of `errors`, as JSON. */
  countError({ id, queue, funcName }: Pick<ClaimedTask, "id" | "queue" | "funcName">, error: string): void {
    const { name, message } = JSON.parse(error) as Pick<ErrorRow, "name" | "message">;
    this.#tally.addError({ id, queue, funcName, name, message });
  }

  /** Counts a task of a crashed consumer that ended as failed. */
  countCrash(failure: CountedError): void {
    this.#tally.of(failure.queue, failure.funcName).failed++;
    this.#tally.addError(failure);
  }

  /** What was counted since the start, errors left out. */
  get totals(): Tally {
    this.#addRepeats();
    const totals = new Tally();
    totals.addAttempts(this.#written);
    totals.addAttempts(this.#tally);
    return totals;
  }

  /** Does its share of maintenance: writes what it has counted, if it is time to, and samples the queues once a minute. */
  async maintain(): Promise<void> {
    if (performance.now() - this.#wroteAt < WRITE_INTERVAL) return;
    await this.write();
    if (await sampleQueues(this.#sql)) await forgetStatistics(this.#sql);
  }

  /**
   * Writes what it has counted. What could not be written goes with the next write: after a lost reply it may count
   * twice.
   */
  async write(): Promise<void> {
    this.#wroteAt = performance.now();
    this.#addRepeats();
    if (this.#tally.isEmpty) return;
    const written = this.#tally;
    this.#tally = new Tally();
    try {
      await writeStatistics(this.#sql, written.toDelta());
      this.#written.addAttempts(written);
    } catch (error) {
      this.#addRepeats();
      written.add(this.#tally);
      this.#tally = written;
      throw error;
    }
  }

  #addRepeats(): void {
    const run = this.#run;
    const count = this.#repeats;
    const outcome = this.#outcome;
    this.#run = undefined;
    if (!run) return;
    if (outcome === "cancelled" || outcome === "lost" || outcome === "suspended") {
      this.#written.of(run.queue, run.funcName)[outcome] += count;
      return;
    }
    const counts = this.#tally.of(run.queue, run.funcName);
    counts[outcome === "returned" ? "snoozed" : outcome] += count;
    counts.waited += Math.max(0, this.#began - run.due) * count;
    counts.ran += this.#ran * count;
    addDuration(counts.wait, this.#began - run.due, count);
    addDuration(counts.run, this.#ran, count);
  }
}
