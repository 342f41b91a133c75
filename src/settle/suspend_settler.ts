import type { Tag } from "../database/driver.ts";
import { BatchSettler, type PendingEntry } from "./batch_settler.ts";
import type { HeldTask, SettledStatus } from "./settle_statements.ts";
import { readClaims } from "../store/settle.ts";
import { suspendTasks, type Suspension } from "../store/suspend.ts";
import { countByBatch, isOwnEnd, type Settler } from "./settler.ts";

/** The most attempts that one statement suspends. */
const BATCH = 500;

interface Entry extends PendingEntry {
  readonly task: HeldTask;
  readonly attempt: Suspension;
  resolve(status: SettledStatus): void;
}

/**
 * Suspends attempts in batches: those that are suspended while one statement runs share the next one, of all attempts of a
 * consumer.
 */
export class SuspendSettler extends BatchSettler<Entry> {
  readonly #sql: Tag;
  readonly #settler: Settler;

  constructor(sql: Tag, settler: Settler) {
    super();
    this.#sql = sql;
    this.#settler = settler;
  }

  /**
   * Suspends an attempt. Resolves to the status that its task has: `failed` if a duplicate has its unique key, which was
   * free while it ran; false if the consumer no longer held it, or gave up. Retries while the database is unreachable, has
   * no room, or takes no writes, and while another transaction has locked the record.
   *
   * @throws The database's error, if it refuses this very attempt.
   */
  suspend(task: HeldTask, attempt: Suspension): Promise<SettledStatus> {
    return new Promise((resolve, reject) => {
      this.add({ task, attempt, tries: 0, uncertain: false, resolve, reject });
    });
  }

  protected override take(waiting: Entry[]): Entry[] {
    return waiting.splice(0, BATCH);
  }

  protected override async run(entries: Entry[]): Promise<void> {
    const settler = this.#settler;
    const counts = countByBatch(entries.map(({ task }) => task));
    const batches = [...counts.keys()].filter((batchId) => counts.get(batchId) === settler.remaining(batchId));
    const attempts = entries.map(({ attempt }) => attempt);
    const statusOf = await suspendTasks(this.#sql, attempts, batches, settler.attemptedBy);
    // The statement has deleted them. A batch that it left, as a record was locked, is found by the next renewal.
    if (statusOf.size === entries.length) { for (const batchId of batches) settler.untrack(batchId); }
    const failed = [...statusOf].flatMap(([id, status]) => status === "failed" ? [id] : []);
    if (failed.length > 0) settler.onDependencies(failed);
    const leftOver: Entry[] = [];
    for (const entry of entries) {
      const status = statusOf.get(entry.attempt.id);
      if (status) this.#end(entry, status);
      else leftOver.push(entry);
    }
    if (leftOver.length > 0) await this.#resolveLeftOver(leftOver);
  }

  protected override retry(entry: Entry): void {
    if (this.#settler.isAbandoned) entry.resolve(false);
    else super.retry(entry);
  }

  /** An attempt that was left over has lost its task, or was suspended by an earlier try; or its record is locked. */
  async #resolveLeftOver(entries: Entry[]): Promise<void> {
    const states = await readClaims(this.#sql, entries.map(({ attempt }) => attempt.id));
    for (const entry of entries) {
      const { id, claimSeq } = entry.attempt;
      const state = states.get(id);
      const ownEnd = (["created", "failed"] as const).find((status) => isOwnEnd(state, { claimSeq, status }));
      if (state?.claimSeq === claimSeq && state.status === "created") this.retry(entry);
      else if (entry.uncertain && ownEnd) this.#end(entry, ownEnd);
      else entry.resolve(false);
    }
  }

  /** The claim has ended: nothing is left of it but its batch, if that has other tasks. */
  #end({ task, resolve }: Entry, status: "created" | "failed"): void {
    this.#settler.untrackOne(task.batchId);
    // The slot of a rate limit outlasts an attempt that began.
    if (task.concurrencyKey) this.#settler.onLimitSlotsFreed(task.concurrencyKey, null);
    resolve(status);
  }
}
