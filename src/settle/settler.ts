import { setTimeout as sleep } from "node:timers/promises";
import type { Tag } from "../database/driver.ts";
import { codeOf, isExhausted, LOCK_NOT_AVAILABLE } from "../database/error_codes.ts";
import { DatabaseUnreachable } from "../errors.ts";
import type { LimitKeys } from "../task/limit_keys.ts";
import type { OutageHooks } from "../outages.ts";
import type { ClaimedTask } from "../store/claim.ts";
import { completeTasks, type Completion } from "../store/complete.ts";
import { type ClaimState, deleteBatches, type Outcome, readClaims, settleTasks } from "../store/settle.ts";

/** How many claims one statement ends at most. */
const BATCH = 1000;
/** How long to wait before a settle that met a locked row, or no database, is tried again, in milliseconds. */
const RETRY_DELAYS = [20, 50, 100, 250, 500, 1000];

/** What a claim held: a task in its lease, and the slots of its limits. */
export type HeldTask = Pick<ClaimedTask, "batchId"> & Partial<LimitKeys>;

/** What became of a task whose attempt ended; false if it was no longer held. */
type SettledStatus = Outcome["status"] | false;

/** A claim that is to be ended, and who waits for that. */
export interface PendingSettle {
  readonly task: HeldTask;
  readonly outcome: Outcome;
  tries: number;
  /** Whether an earlier try may have taken effect without its reply arriving. */
  uncertain: boolean;
  /** Called with the task's status once it is ended, or with false if it was no longer held. */
  settled(status: SettledStatus): void;
  /** Called if the database refuses this very outcome. */
  refused(error: unknown): void;
}

/**
 * Ends attempts in batches: whatever ended while one statement was under way goes out with the next, so that a
 * single one is not delayed and many share the cost. Keeps count of the batches, and deletes those with nothing left.
 */
export class Settler {
  readonly #sql: Tag;
  readonly #batches = new Map<string, number>();
  #emptied: string[] = [];
  #entries: PendingSettle[] = [];
  #flushing: Promise<void> | undefined;
  #unsettled = 0;
  #abandoned = false;
  /** Called after the commit that ended a claim, with the keys of the slots that are free by it. */
  onEnded: (concurrencyKey: string | null, rateKey: string | null) => void = () => {};
  /** Told when the server has no room for what ended, and when it has again. */
  outage: OutageHooks = { onError() {}, onSuccess() {} };

  constructor(sql: Tag) {
    this.#sql = sql;
  }

  /** How many attempts have ended and are not settled yet. */
  get unsettled(): number {
    return this.#unsettled;
  }

  /** Notes that a lease with `count` tasks was taken. */
  open(batchId: string, count: number): void {
    this.#batches.set(batchId, count);
  }

  /** Whether a lease has tasks left that this consumer answers for. */
  holds(batchId: string): boolean {
    return this.#batches.has(batchId);
  }

  /** How many tasks of a lease have not ended. */
  remaining(batchId: string): number {
    return this.#batches.get(batchId) ?? 0;
  }

  /** Ends a claim. It keeps trying while the database is away, or has no room. */
  add(settling: PendingSettle): void {
    this.#unsettled++;
    this.#entries.push(settling);
    this.#start();
  }

  /**
   * Ends a claim as {@linkcode Settler.add} does; resolves to the task's status then, or to false if it was no longer
   * held.
   *
   * @throws The database's error, if it refuses this very outcome.
   */
  settle(task: HeldTask, outcome: Outcome): Promise<SettledStatus> {
    return new Promise((settled, refused) => {
      this.add({ task, outcome, tries: 0, uncertain: false, settled, refused });
    });
  }

  /** Notes that a claim was ended elsewhere, or lost. */
  ended(task: HeldTask): void {
    this.release(task.batchId);
    this.onEnded(task.concurrencyKey ?? null, task.rateKey ?? null);
  }

  /** Notes that a task has left its lease. */
  release(batchId: string): void {
    const remaining = this.#batches.get(batchId);
    if (remaining === undefined) return; // deleted together with its last task
    if (remaining > 1) return void this.#batches.set(batchId, remaining - 1);
    this.#batches.delete(batchId);
    this.#emptied.push(batchId);
    this.#start();
  }

  /** Takes no more care of a lease: its tasks may be somebody else's. */
  forget(batchId: string): void {
    this.#batches.delete(batchId);
  }

  /** Resolves when all that was given is settled, and every empty lease deleted. */
  async idle(): Promise<void> {
    while (this.#flushing || this.#unsettled > 0) await (this.#flushing ?? sleep(5));
  }

  /** Gives up: what is not settled by now is left to the rescue. */
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
    await new Promise((resolve) => setImmediate(resolve)); // let whatever ends in this turn of the loop come along
    while (this.#entries.length > 0 || this.#emptied.length > 0) {
      const entries = this.#entries.splice(0, BATCH);
      const emptied = this.#emptied.splice(0);
      const others = entries.filter((entry) => !isCompletion(entry));
      const completed = others.length === 0 ? entries : entries.filter(isCompletion);
      if (completed.length > 0) await this.#flushEntries(completed, complete);
      if (others.length > 0) await this.#flushEntries(others, settle);
      if (emptied.length > 0) await deleteBatches(this.#sql, emptied).catch(() => {}); // the next renewal finds them
    }
  }

  async #flushEntries(entries: PendingSettle[], end: typeof settle): Promise<void> {
    const batches = this.#batchesEndedBy(entries);
    let leftOver = entries;
    try {
      const settled = await end(this.#sql, entries, batches);
      this.outage.onSuccess();
      leftOver = entries.filter((_, i) => settled[i] === undefined);
      if (leftOver.length === 0) { for (const batchId of batches) this.#batches.delete(batchId); }
      entries.forEach((entry, i) => settled[i] !== undefined && this.#end(entry, settled[i]));
      if (leftOver.length > 0) await this.#resolveLeftOver(leftOver);
    } catch (error) {
      if (error instanceof DatabaseUnreachable) {
        for (const entry of leftOver) {
          entry.uncertain = true;
          this.#again(entry);
        }
      } else if (isExhausted(error)) {
        this.outage.onError(error);
        for (const entry of leftOver) this.#again(entry);
      } else if (codeOf(error) === LOCK_NOT_AVAILABLE && end === complete) {
        // Somebody's transaction has locked one of them: the others must not wait for it.
        await this.#flushEntries(entries, settle);
      } else if (leftOver.length === 1) {
        this.#unsettled--;
        leftOver[0]!.refused(error);
      } else {
        // One outcome that the database refuses must not fail its neighbours.
        for (const entry of leftOver) await this.#flushEntries([entry], settle);
      }
    }
  }

  /** The batches of which nothing is left once all of `entries` are settled. */
  #batchesEndedBy(entries: PendingSettle[]): string[] {
    const counts = new Map<string, number>();
    for (const { task: { batchId } } of entries) counts.set(batchId, (counts.get(batchId) ?? 0) + 1);
    return [...counts].filter(([batchId, count]) => count === this.remaining(batchId)).map(([batchId]) => batchId);
  }

  #end(entry: PendingSettle, settled: SettledStatus): void {
    const { task, outcome } = entry;
    this.release(task.batchId);
    // The slot of a rate outlasts an attempt that began.
    if (settled && outcome.began !== null) this.onEnded(task.concurrencyKey ?? null, null);
    else this.onEnded(task.concurrencyKey ?? null, task.rateKey ?? null);
    this.#unsettled--;
    entry.settled(settled);
  }

  /** What a settle left over is locked by somebody, ended by an earlier try of ours, or lost. */
  async #resolveLeftOver(entries: PendingSettle[]): Promise<void> {
    const states = await readClaims(this.#sql, entries.map(({ outcome }) => outcome.id));
    for (const entry of entries) {
      const state = states.get(entry.outcome.id);
      if (state?.claimSeq === entry.outcome.claimSeq && state.status === "created") {
        this.#again(entry);
        continue;
      }
      this.#end(entry, entry.uncertain && isOwnEnd(state, entry.outcome) && entry.outcome.status);
    }
  }

  #again(entry: PendingSettle): void {
    if (this.#abandoned) {
      this.#unsettled--;
      return entry.settled(false);
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

/** Ends claims; resolves to the status that each has now, undefined for those that it did not end. */
async function settle(
  sql: Tag,
  entries: PendingSettle[],
  batches: string[],
): Promise<(Outcome["status"] | undefined)[]> {
  const settled = await settleTasks(sql, entries.map(({ outcome }) => outcome), batches);
  return entries.map(({ outcome }) => settled.get(outcome.id));
}

/** The same for claims that end well. */
async function complete(
  sql: Tag,
  entries: PendingSettle[],
  batches: string[],
): Promise<(Outcome["status"] | undefined)[]> {
  const completed = await completeTasks(sql, entries.map(({ outcome }) => outcome as Completion), batches);
  return entries.map(({ outcome: { id } }) => !completed || completed.has(id) ? "completed" : undefined);
}

/** Whether a claim stands where `outcome` would have put it. */
export function isOwnEnd(state: ClaimState | undefined, outcome: Pick<Outcome, "claimSeq" | "status">): boolean {
  return state?.claimSeq === outcome.claimSeq + 1 && state.status === outcome.status;
}
