import type { TaskError, TaskStatus } from "./record.ts";

/** Why a task does not run, as {@linkcode Tasks.explain} tells it. */
export interface Explanation {
  /** The identity of the task. */
  readonly id: number;
  /** The status of the task. */
  readonly status: TaskStatus;
  /** The sentence of the first reason. */
  readonly summary: string;
  /** Everything that keeps it, at least one: first what somebody must do something about, then what time mends. */
  readonly reasons: readonly Reason[];
}

/** One reason why a task does not run: `reason` tells which, and `message` says it in a sentence. */
export type Reason =
  & { readonly message: string }
  & (
    // It is over.
    | {
      readonly reason: "ended";
      readonly status: "completed" | "failed" | "cancelled";
      /** Null if the record was edited by hand. */
      readonly at: Date | null;
      readonly error: ReasonError | null;
    }
    // A failed or cancelled task cannot be retried, as a duplicate has its unique key.
    | {
      readonly reason: "unique";
      readonly key: string;
      /** Who has the key. */
      readonly taskId: number;
      /** When the key is free, if that task has completed. */
      readonly until: Date | null;
    }
    // A consumer runs it; or `orphaned`: that consumer died, and the task is still to be rescued.
    | (({ readonly reason: "running" } | { readonly reason: "orphaned" }) & {
      readonly attempt: number;
      readonly since: Date;
      readonly consumer: string;
      /** This and what follows is null if the consumer is off the list already. */
      readonly host: string | null;
      readonly pid: number | null;
      /** When the consumer counts as dead, unless it renews its lease. */
      readonly leaseUntil: Date | null;
    })
    | { readonly reason: "paused"; readonly queue: string }
    | {
      readonly reason: "not_due";
      /** An invalid date if its time never comes. */
      readonly until: Date;
      /** Whether an attempt was made already. */
      readonly retry: boolean;
      /** Why that attempt failed. */
      readonly error: ReasonError | null;
    }
    // No live consumer serves its queue.
    | {
      readonly reason: "no_consumer";
      readonly queue: string;
      /** The queues that live consumers do serve. */
      readonly served: readonly string[];
    }
    // Live consumers serve its queue, but none of them knows its name.
    | {
      readonly reason: "unknown_name";
      readonly queue: string;
      readonly funcName: string;
      /** Up to three names like it that these consumers know, the likest first. */
      readonly near: readonly string[];
      /** Other queues with live consumers that know the name. */
      readonly elsewhere: readonly string[];
    }
    // It stands nowhere, as an edit by hand leaves it; consumers look for such tasks and put them back.
    | { readonly reason: "unplaced" }
    // As many tasks of its concurrency key run as may.
    | {
      readonly reason: "concurrency";
      readonly key: string;
      readonly limit: number;
      readonly taken: number;
      /** Who has the slots: up to 20 tasks, the longest first. */
      readonly holders: readonly SlotHolder[];
      /** How many tasks of the key come first, counted up to 10,000; `more` if there are more. */
      readonly ahead: number;
      readonly more: boolean;
    }
    // As many tasks of its rate key have started as may.
    | {
      readonly reason: "rate";
      readonly key: string;
      readonly limit: number;
      /** Seconds. */
      readonly per: number;
      readonly taken: number;
      /** The earliest time at which its turn can come, after those before it. */
      readonly until: Date;
      /** How many tasks of the key come first, counted up to 10,000; `more` if there are more. */
      readonly ahead: number;
      readonly more: boolean;
    }
    // Consumers died while they ran it: it is claimed alone, and each consumer runs one such task at a time.
    | {
      readonly reason: "quarantined";
      /** How often it was rescued from a dead consumer. */
      readonly rescues: number;
      /** How many consumers in a row crashed while they held it: with the second it is quarantined, with the fifth it fails. */
      readonly crashes: number;
    }
    // Others of its queue are claimed first.
    | {
      readonly reason: "behind";
      readonly queue: string;
      /** How many, counted up to 10,000; `more` if there are more. */
      readonly ahead: number;
      readonly more: boolean;
    }
    // All live consumers that could run it have as much to do as they may.
    | {
      readonly reason: "busy";
      readonly consumers: number;
      readonly running: number;
      readonly concurrency: number;
    }
    // Nothing keeps it: it is about to be claimed, or, where it has limits, to be let in.
    | { readonly reason: "due"; readonly since: Date }
  );

/** A task that has a slot of a concurrency key. */
export interface SlotHolder {
  /** The identity of the task. */
  readonly taskId: number;
  /** Since when it has the slot. */
  readonly since: Date;
  /** The id of the consumer that runs it; null if it is still to be claimed. */
  readonly consumer: string | null;
  /** The machine of that consumer. */
  readonly host: string | null;
  /** The process of that consumer. */
  readonly pid: number | null;
}

/** An error in short. */
export type ReasonError = Pick<TaskError, "name" | "message" | "attempt">;
