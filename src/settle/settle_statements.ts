import type { Tag } from "../database/driver.ts";
import type { ClaimedTask } from "../store/claimed_task.ts";
import { completeTasks, type Completion } from "../store/complete.ts";
import { type Outcome, settleTasks } from "../store/settle.ts";
import type { LimitKeys } from "../task/limit_keys.ts";

/** What a consumer holds by a claim: a task in its batch, and the slots of its limits. */
export type HeldTask = Pick<ClaimedTask, "batchId"> & Partial<LimitKeys>;

/** The status of a task whose attempt was settled; false if the consumer no longer held it. */
export type SettledStatus = Outcome["status"] | false;

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

/** One whose task completed. It holds what is stored of that, so that its `outcome` need not be made. */
export type PendingCompletion = PendingSettle & Completion;

/** A statement that settles many claims. */
export interface SettleStatement<Entry extends PendingSettle> {
  /** Whether it fails where it meets a locked row; else it leaves that row over. */
  readonly failsOnLock: boolean;
  /** Resolves to a function that returns the status that a task has now, undefined if it was left over. */
  readonly run: (sql: Tag, entries: Entry[], ended: Ended) => Promise<(entry: Entry) => Outcome["status"] | undefined>;
}

/** What a statement writes beside the outcomes. */
interface Ended {
  /** The batches that it ends. */
  readonly batches: string[];
  /** The id of the consumer's process. */
  readonly attemptedBy: number | null;
  /** Called with the ids of tasks that have ended and on which others depend. */
  onDependencies(ids: number[]): void;
}

/** For outcomes of every kind. */
export const SETTLE: SettleStatement<PendingSettle> = {
  failsOnLock: false,
  async run(sql, entries, { batches, attemptedBy, onDependencies }) {
    const outcomes = entries.map(({ outcome }) => outcome);
    const settled = await settleTasks(sql, outcomes, batches, attemptedBy, onDependencies);
    return ({ outcome }) => settled.get(outcome.id);
  },
};

/** For completions, which nearly all outcomes are: at half the price. */
export const COMPLETE: SettleStatement<PendingCompletion> = {
  failsOnLock: true,
  async run(sql, entries, { batches, attemptedBy, onDependencies }) {
    const completed = await completeTasks(sql, entries, batches, attemptedBy, onDependencies);
    return ({ id }) => !completed || completed.has(id) ? "completed" : undefined;
  },
};
