import { setTimeout as sleep } from "node:timers/promises";
import type { Tag } from "../database/driver.ts";
import { codeOf, isServerFault, LOCK_NOT_AVAILABLE } from "../database/error_codes.ts";
import { DatabaseUnreachable } from "../errors.ts";
import type { LimitKeys } from "../task/limit_keys.ts";
import type { OutageHooks } from "../outages.ts";
import type { ClaimedTask } from "../store/claim.ts";
import { completeTasks, type Completion } from "../store/complete.ts";
import { type ClaimState, deleteBatches, type Outcome, readClaims, settleTasks } from "../store/settle.ts";

/** The most claims that one statement settles. */
const BATCH = 1000;
/** Milliseconds before a settle that met a locked row, or no database, is tried again. */
const RETRY_DELAYS = [20, 50, 100, 250, 500, 1000];

/** What a consumer holds by a claim: a task in its batch, and the slots of its limits. */
export type HeldTask = Pick<ClaimedTask, "batchId"> & Partial<LimitKeys>;

/** The status of a task whose attempt was settled; false if the consumer no longer held it. */
type SettledStatus = Outcome["status"] | false;

/** A claim to settle, and the callbacks for when that is done. */
export interface PendingSettle {
  readonly task: HeldTask;
  readonly outcome: Outcome;
  tries: number;
  /** Whether an earlier try may have taken effect without its reply arriving. */
  uncertain: boolean;
  /** Called with the task's status once it is settled, or with false if the consumer no longer held it. */
  onSettled(status: SettledStatus): void;
  /** Called if the database refuses this very outcome. */
  onRefused(error: unknown): void;
}

/** A statement that settles many claims. */
interface SettleStatement {
  /** Whether it fails where it meets a locked row; else it leaves that row over. */
  readonly failsOnLock: boolean;
  /** Resolves to the status that each task has now, undefined for those left over. */
  readonly run: (sql: Tag, entries: PendingSettle[], ended: Ended) => Promise<(Outcome["status"] | undefined)[]>;
}

/** What a statement writes beside the outcomes. */
interface Ended {
  /** The batches that it ends. */
  readonly batches: string[];
  /** The id of the consumer's process. */
  readonly attemptedBy: number | null;
}

const SETTLE: SettleStatement = {
  failsOnLock: false,
  async run(sql, entries, { batches, attemptedBy }) {
    const settled = await settleTasks(sql, entries.map(({ outcome }) => outcome), batches, attemptedBy);
    return entries.map(({ outcome }) => settled.get(outcome.id));
  },
};

/** For completions, which nearly all outcomes are: at half the price. */
const COMPLETE: SettleStatement = {
  failsOnLock: true,
  async run(sql, entries, { batches, attemptedBy }) {
    const completions = entries.map(({ outcome }) => outcome as Completion);
    const completed = await completeTasks(sql, completions, batches, attemptedBy);
    return entries.map(({ outcome: { id } }) => !completed || completed.has(id) ? "completed" : undefined);
  },
};

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
  #entries: PendingSettle[] = [];
  #flushing: Promise<void> | undefined;
  #unsettled = 0;
  #abandoned = false;
  /** The id of the consumer's process, which is stored with each attempt; null before it is registered. */
  attemptedBy: number | null = null;
  /** Called after the commit that ended a claim, with the keys of the limits whose slots that freed. */
  onLimitSlotsFreed: (concurrencyKey: string | null, rateKey: string | null) => void = () => {};
  /** Called when the server cannot store outcomes, whatever they are, and when it can again. */
  outage: OutageHooks = { onError() {}, onSuccess() {} };

  constructor(sql: Tag) {
    this.#sql = sql;
  }

  /** How many attempts have ended and are not settled yet. */
  get unsettled(): number {
    return this.#unsettled;
  }

  /** Starts to track a batch of `count` claimed tasks. */
  track(batchId: string, count: number): void {
    this.#batches.set(batchId, count);
  }

  /** Stops tracking a batch: another consumer may hold its tasks. */
  untrack(batchId: string): void {
    this.#batches.delete(batchId);
  }

  /** Whether a batch has tasks left that this consumer must settle. */
  isTracked(batchId: string): boolean {
    return this.#batches.has(batchId);
  }

  /** How many tasks of a batch have not ended. */
  remaining(batchId: string): number {
    return this.#batches.get(batchId) ?? 0;
  }

  /** Counts one task of a batch out; deletes the batch with its last one. */
  untrackOne(batchId: string): void {
    const remaining = this.#batches.get(batchId);
    if (remaining === undefined) return; // deleted together with its last task
    if (remaining > 1) return void this.#batches.set(batchId, remaining - 1);
    this.#batches.delete(batchId);
    this.#emptied.push(batchId);
    this.#start();
  }

  /** Counts out a task that was lost, or that another statement ended; the slots of its limits are free. */
  untrackTask(task: HeldTask): void {
    this.untrackOne(task.batchId);
    this.onLimitSlotsFreed(task.concurrencyKey ?? null, task.rateKey ?? null);
  }

  /** Settles a claim. Retries while the database is unreachable, has no room, or takes no writes. */
  add(entry: PendingSettle): void {
    this.#unsettled++;
    this.#entries.push(entry);
    this.#start();
  }

  /**
   * Settles a claim as {@linkcode Settler.add} does; resolves to the task's status then, or to false if the consumer no
   * longer held it.
   *
   * @throws The database's error, if it refuses this very outcome.
   */
  settle(task: HeldTask, outcome: Outcome): Promise<SettledStatus> {
    return new Promise((onSettled, onRefused) => {
      this.add({ task, outcome, tries: 0, uncertain: false, onSettled, onRefused });
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

  #start(): void {
    this.#flushing ??= this.#flush().finally(() => {
      this.#flushing = undefined;
      if (this.#entries.length > 0) this.#start();
    });
  }

  async #flush(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve)); // takes along what ends in this turn of the event loop
    while (this.#entries.length > 0 || this.#emptied.length > 0) {
      const entries = this.#entries.splice(0, BATCH);
      const emptied = this.#emptied.splice(0);
      const others = entries.filter((entry) => !isCompletion(entry));
      const completed = others.length === 0 ? entries : entries.filter(isCompletion);
      if (completed.length > 0) await this.#flushEntries(completed, COMPLETE);
      if (others.length > 0) await this.#flushEntries(others, SETTLE);
      if (emptied.length > 0) await deleteBatches(this.#sql, emptied).catch(() => {}); // the next renewal finds them
    }
  }

  async #flushEntries(entries: PendingSettle[], statement: SettleStatement): Promise<void> {
    const batches = this.#batchesEndedBy(entries);
    let leftOver = entries;
    try {
      const settled = await statement.run(this.#sql, entries, { batches, attemptedBy: this.attemptedBy });
      this.outage.onSuccess();
      leftOver = entries.filter((_, i) => settled[i] === undefined);
      if (leftOver.length === 0) { for (const batchId of batches) this.#batches.delete(batchId); }
      entries.forEach((entry, i) => settled[i] !== undefined && this.#finish(entry, settled[i]));
      if (leftOver.length > 0) await this.#resolveLeftOver(leftOver);
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

  /** The batches with no task left once all of `entries` are settled. */
  #batchesEndedBy(entries: PendingSettle[]): string[] {
    const counts = new Map<string, number>();
    for (const { task: { batchId } } of entries) counts.set(batchId, (counts.get(batchId) ?? 0) + 1);
    return [...counts].filter(([batchId, count]) => count === this.remaining(batchId)).map(([batchId]) => batchId);
  }

  #finish(entry: PendingSettle, status: SettledStatus): void {
    const { task, outcome } = entry;
    this.untrackOne(task.batchId);
    // The slot of a rate limit outlasts an attempt that began.
    if (status && outcome.began !== null) this.onLimitSlotsFreed(task.concurrencyKey ?? null, null);
    else this.onLimitSlotsFreed(task.concurrencyKey ?? null, task.rateKey ?? null);
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
      this.#finish(entry, entry.uncertain && isOwnEnd(state, entry.outcome) && entry.outcome.status);
    }
  }

  #retry(entry: PendingSettle): void {
    if (this.#abandoned) {
      this.#unsettled--;
      return entry.onSettled(false);
    }
    const delay = RETRY_DELAYS[Math.min(entry.tries++, RETRY_DELAYS.length - 1)]!;
    setTimeout(() => {
      this.#entries.push(entry);
      this.#start();
    }, delay);
  }
}

function isCompletion({ outcome: { status, began } }: PendingSettle): boolean {
  return status === "completed" && began !== null;
}

/** Whether a claim is in the state that settling `outcome` leaves behind. */
export function isOwnEnd(state: ClaimState | undefined, outcome: Pick<Outcome, "claimSeq" | "status">): boolean {
  return state?.claimSeq === outcome.claimSeq + 1 && state.status === outcome.status;
}
