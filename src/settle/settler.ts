import { setTimeout as sleep } from "node:timers/promises";
import type { Tag } from "../database/driver.ts";
import { codeOf, isServerFault, LOCK_NOT_AVAILABLE } from "../database/error_codes.ts";
import { DatabaseUnreachable } from "../errors.ts";
import type { OutageHooks } from "../outages.ts";
import { delayAfter } from "./batch_settler.ts";
import {
  COMPLETE,
  type HeldTask,
  type PendingCompletion,
  type PendingSettle,
  SETTLE,
  type SettledStatus,
  type SettleStatement,
} from "./settle_statements.ts";
import { type ClaimState, deleteBatches, type Outcome, readClaims } from "../store/settle.ts";

/** The most claims that one statement settles. */
const BATCH = 1000;

/**
 * Settles attempts in batches: outcomes that arrive while one statement runs share the next one, so that a single
 * outcome is not delayed and many share the cost. Tracks the batches of claimed tasks, and deletes those with no task
 * left.
 */
export class Settler {
  readonly #sql: Tag;
  /** How many tasks of each tracked batch have not ended. */
  readonly #batches = new Map<string, number>();
  #emptied: string[] = [];
  readonly #completions: PendingCompletion[] = [];
  readonly #others: PendingSettle[] = [];
  /** Those that a statement settles now, or has just settled. */
  #inFlight: readonly PendingSettle[] = [];
  /** Those that wait to be tried again. */
  readonly #delayed = new Set<PendingSettle>();
  #flushing: Promise<void> | undefined;
  #unsettled = 0;
  #abandoned = false;
  /** The id of the consumer's process, which is stored with each attempt; null before it is registered. */
  attemptedBy: number | null = null;
  /** Called after the commit that ended a claim, with the keys of the limits whose slots that freed. */
  onLimitSlotsFreed: (concurrencyKey: string | null, rateKey: string | null) => void = () => {};
  /** Called after the commit that ended tasks on which others depend, with their ids. */
  onDependencies: (ids: number[]) => void = () => {};
  /** Called when the server cannot store outcomes, whatever they are, and when it can again. */
  outage: OutageHooks = { onError() {}, onSuccess() {} };

  constructor(sql: Tag) {
    this.#sql = sql;
  }

  /** How many attempts have ended and are not settled yet. */
  get unsettled(): number {
    return this.#unsettled;
  }

  /** Whether it retries no more. */
  get isAbandoned(): boolean {
    return this.#abandoned;
  }

  /** The ids of their tasks. */
  *unsettledIds(): Generator<number> {
    for (const list of [this.#completions, this.#others, this.#inFlight, this.#delayed]) {
      for (const { outcome: { id } } of list) yield id;
    }
  }

  /** Starts to track a batch of `count` claimed tasks. */
  track(batchId: string, count: number): void {
    this.#batches.set(batchId, count);
  }

  /** Stops tracking a batch: another consumer may hold its tasks. */
  untrack(batchId: string): void {
    this.#batches.delete(batchId);
  }

  /** Stops tracking all batches. */
  untrackAll(): void {
    this.#batches.clear();
  }

  /** Whether a batch has tasks left that this consumer must settle. */
  isTracked(batchId: string): boolean {
    return this.#batches.has(batchId);
  }

  /** How many tasks of a batch have not ended. */
  remaining(batchId: string): number {
    return this.#batches.get(batchId) ?? 0;
  }

  /** Counts tasks of a batch out; deletes the batch with its last one. */
  untrackOne(batchId: string, count = 1): void {
    const remaining = this.#batches.get(batchId);
    if (remaining === undefined) return; // deleted together with its last task
    if (remaining > count) return void this.#batches.set(batchId, remaining - count);
    this.#batches.delete(batchId);
    this.#emptied.push(batchId);
    this.#start();
  }

  /** Counts out a task that was lost, or that another statement ended; the slots of its limits are free. */
  untrackTask(task: HeldTask): void {
    this.untrackOne(task.batchId);
    this.onLimitSlotsFreed(task.concurrencyKey ?? null, task.rateKey ?? null);
  }

  /** Completes a task. Retries while the database is unreachable, has no room, or takes no writes. */
  complete(entry: PendingCompletion): void {
    this.#unsettled++;
    this.#completions.push(entry);
    this.#start();
  }

  /**
   * Settles a claim as {@linkcode Settler.complete} does; resolves to the task's status then, or to false if the
   * consumer no longer held it.
   *
   * @throws The database's error, if it refuses this very outcome.
   */
  settle(task: HeldTask, outcome: Outcome): Promise<SettledStatus> {
    return new Promise((onSettled, onRefused) => {
      this.#unsettled++;
      const entry = { task, outcome, tries: 0, uncertain: false, onSettled, onRefused };
      this.#queue({ ...outcome, ...entry }); // as a completion, if it is one
    });
  }

  /** Resolves when all outcomes are settled, and all emptied batches deleted. */
  async idle(): Promise<void> {
    while (this.#flushing || this.#unsettled > 0) await (this.#flushing ?? sleep(5));
  }

  /** Stops retrying: other consumers rescue the tasks that are not settled by now. */
  abandon(): void {
    this.#abandoned = true;
  }

  #queue(entry: PendingSettle): void {
    if (isCompletion(entry)) this.#completions.push(entry);
    else this.#others.push(entry);
    this.#start();
  }

  #start(): void {
    this.#flushing ??= this.#flush().finally(() => {
      this.#flushing = undefined;
      this.#inFlight = [];
      if (this.#completions.length + this.#others.length > 0) this.#start();
    });
  }

  async #flush(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve)); // takes along what ends in this turn of the event loop
    while (this.#completions.length + this.#others.length + this.#emptied.length > 0) {
      const completions = this.#completions.splice(0, BATCH);
      const others = this.#others.splice(0, BATCH);
      const emptied = this.#emptied.splice(0);
      this.#inFlight = [...completions, ...others];
      if (completions.length > 0) await this.#flushEntries(completions, COMPLETE);
      if (others.length > 0) await this.#flushEntries(others, SETTLE);
      if (emptied.length > 0) await deleteBatches(this.#sql, emptied).catch(() => {}); // the next renewal finds them
    }
  }

  async #flushEntries<E extends PendingSettle>(entries: E[], statement: SettleStatement<E>): Promise<void> {
    const counts = countByBatch(entries.map(({ task }) => task));
    const batches = [...counts.keys()].filter((batchId) => counts.get(batchId) === this.remaining(batchId));
    let leftOver = entries;
    try {
      const { attemptedBy, onDependencies } = this;
      const statusOf = await statement.run(this.#sql, entries, { batches, attemptedBy, onDependencies });
      this.outage.onSuccess();
      leftOver = entries.filter((entry) => statusOf(entry) === undefined);
      if (leftOver.length === 0) {
        for (const batchId of batches) this.#batches.delete(batchId); // by the statement
        for (const [batchId, count] of counts) this.untrackOne(batchId, count);
        for (const entry of entries) this.#finish(entry, statusOf(entry)!);
        return;
      }
      for (const entry of entries) {
        const status = statusOf(entry);
        if (status === undefined) continue;
        this.untrackOne(entry.task.batchId);
        this.#finish(entry, status);
      }
      await this.#resolveLeftOver(leftOver);
    } catch (error) {
      if (error instanceof DatabaseUnreachable) {
        for (const entry of leftOver) {
          entry.uncertain = true;
          this.#retry(entry);
        }
      } else if (codeOf(error) === LOCK_NOT_AVAILABLE && statement.failsOnLock) {
        // A transaction has locked one of them: the others must not wait for it.
        await this.#flushEntries(entries, SETTLE);
      } else if (isServerFault(error)) {
        this.outage.onError(error);
        for (const entry of leftOver) this.#retry(entry);
      } else if (leftOver.length === 1) {
        this.#unsettled--;
        leftOver[0]!.onRefused(error);
      } else {
        // One outcome that the database refuses must not fail its neighbors.
        for (const entry of leftOver) await this.#flushEntries([entry], SETTLE);
      }
    }
  }

  #finish(entry: PendingSettle, status: SettledStatus): void {
    const { concurrencyKey = null, rateKey = null } = entry.task;
    if (concurrencyKey !== null || rateKey !== null) {
      // The slot of a rate limit outlasts an attempt that began.
      this.onLimitSlotsFreed(concurrencyKey, status && entry.outcome.began !== null ? null : rateKey);
    }
    this.#unsettled--;
    entry.onSettled(status);
  }

  /** A claim that a settle left over is locked by another transaction, was settled by an earlier try, or is lost. */
  async #resolveLeftOver(entries: PendingSettle[]): Promise<void> {
    const states = await readClaims(this.#sql, entries.map(({ outcome }) => outcome.id));
    for (const entry of entries) {
      const state = states.get(entry.outcome.id);
      if (state?.claimSeq === entry.outcome.claimSeq && state.status === "created") {
        this.#retry(entry);
        continue;
      }
      this.untrackOne(entry.task.batchId);
      this.#finish(entry, entry.uncertain && isOwnEnd(state, entry.outcome) && entry.outcome.status);
    }
  }

  #retry(entry: PendingSettle): void {
    if (this.#abandoned) {
      this.#unsettled--;
      return entry.onSettled(false);
    }
    this.#delayed.add(entry);
    setTimeout(() => {
      this.#delayed.delete(entry);
      this.#queue(entry);
    }, delayAfter(entry.tries++));
  }
}

function isCompletion(entry: PendingSettle): entry is PendingCompletion {
  const { status, began } = entry.outcome;
  return status === "completed" && began !== null;
}

/** Counts the tasks of each batch. Neighbors are mostly of the same. */
export function countByBatch(tasks: readonly HeldTask[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (let first = 0, next = 0; first < tasks.length; first = next) {
    const { batchId } = tasks[first]!;
    while (tasks[next]?.batchId === batchId) next++;
    counts.set(batchId, (counts.get(batchId) ?? 0) + next - first);
  }
  return counts;
}

/** Whether a claim is in the state that settling `outcome` leaves behind. */
export function isOwnEnd(state: ClaimState | undefined, outcome: Pick<Outcome, "claimSeq" | "status">): boolean {
  return state?.claimSeq === outcome.claimSeq + 1 && state.status === outcome.status;
}
