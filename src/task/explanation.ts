import type { TaskError, TaskStatus } from "./record.ts";

/** Why a task does not run: the result of {@linkcode Tasks.explain}. */
export interface Explanation {
  /** The id of the task. */
  readonly id: number;
  /** The status of the task. */
  readonly status: TaskStatus;
  /** The message of the first reason. */
  readonly summary: string;
  /** All reasons, at least one: first those that need an action, then those that time resolves. */
  readonly reasons: readonly Reason[];
}

/** One reason why a task does not run: `reason` is its code, and `message` a sentence for people. */
export type Reason =
  & { readonly message: string }
  & (
    // It has ended.
    | {
      readonly reason: "ended";
      readonly status: "completed" | "failed" | "cancelled";
      /** When it ended; null if the record was edited by hand. */
      readonly at: Date | null;
      readonly error: ReasonError | null;
    }
    // It failed or was cancelled, and cannot be retried before a task that it depends on, which did not complete.
    | {
      readonly reason: "unmet";
      /** The id of that task. */
      readonly taskId: number;
      /** The id of the task to retry: the first of those that did not complete. Not `taskId` if that was cancelled for want of it. */
      readonly root: number;
    }
    // It failed or was cancelled, and cannot be retried because a duplicate holds its unique key.
    | {
      readonly reason: "unique";
      readonly key: string;
      /** The id of the task that holds the key. */
      readonly taskId: number;
      /** When the key becomes free, if that task has completed; else null. */
      readonly until: Date | null;
    }
    // It failed, and cannot be retried because it has compensated its steps: a fork runs them again.
    | {
      readonly reason: "compensated";
      /** When it began to. */
      readonly since: Date;
    }
    // It fails, and compensates its steps before it ends.
    | {
      readonly reason: "compensating";
      /** When it began to. */
      readonly since: Date;
      /** Why it fails. */
      readonly error: ReasonError;
    }
    // A consumer runs it; or `orphaned`: its consumer crashed, and the task has not been rescued yet.
    | (({ readonly reason: "running" } | { readonly reason: "orphaned" }) & {
      readonly attempt: number;
      readonly since: Date;
      readonly consumer: string;
      /** The machine of the consumer; null, as are `pid` and `leaseUntil`, if the consumer has been removed already. */
      readonly host: string | null;
      readonly pid: number | null;
      /** When the consumer counts as crashed, unless it renews its lease before. */
      readonly leaseUntil: Date | null;
    })
    // It waits for other tasks to end.
    | {
      readonly reason: "dependencies";
      /** How many of them have not ended. */
      readonly open: number;
      /** How many it was scheduled with. */
      readonly of: number;
      /** Those that have not ended: up to 20, in the order in which the task was scheduled with them. */
      readonly tasks: readonly OpenDependency[];
    }
    // Its handler sleeps.
    | {
      readonly reason: "sleeping";
      /** The name and key of the step. */
      readonly name: string;
      readonly key: string;
      readonly since: Date;
      readonly until: Date;
    }
    // Its handler waits for a signal.
    | {
      readonly reason: "signal";
      /** The name of the signal. */
      readonly name: string;
      /** Tells waits for one signal apart. */
      readonly key: string;
      readonly since: Date;
      /** When the wait is given up; null for one without an end. */
      readonly until: Date | null;
    }
    // A step of its handler has failed, and is tried again.
    | {
      readonly reason: "step_retry";
      readonly name: string;
      readonly key: string;
      /** When the step first began. */
      readonly since: Date;
      readonly until: Date;
      /** How often it has failed. */
      readonly failures: number;
      readonly error: ReasonError | null;
    }
    // Its handler waits for tasks that it called.
    | {
      readonly reason: "calls";
      /** The name and key of the step: that of the task, and what tells calls of it apart. */
      readonly name: string;
      readonly key: string;
      readonly since: Date;
      /** How many of them have not ended. */
      readonly open: number;
      /** How many the call has scheduled. */
      readonly of: number;
      /** Those that have not ended: up to 20, in the order of their ids. */
      readonly tasks: readonly OpenDependency[];
    }
    // The tasks that it depends on, or that its handler called, have ended, and a consumer is about to release it.
    | { readonly reason: "released"; readonly of: number }
    // Its queue is paused.
    | { readonly reason: "paused"; readonly queue: string }
    // Its time has not come.
    | {
      readonly reason: "not_due";
      /** The earliest start; an invalid date if it is never due. */
      readonly until: Date;
      /** Whether an attempt was made before. */
      readonly retry: boolean;
      /** The error of that attempt, if it failed. */
      readonly error: ReasonError | null;
    }
    // No live consumer serves its queue.
    | {
      readonly reason: "no_consumer";
      readonly queue: string;
      /** The queues that live consumers serve. */
      readonly served: readonly string[];
      /** Those of them whose live consumers define the name. */
      readonly elsewhere: readonly string[];
    }
    // Live consumers serve its queue, but none of them defines a task of its name.
    | {
      readonly reason: "unknown_name";
      readonly queue: string;
      readonly funcName: string;
      /** Up to three similar names that these consumers define, the most similar first. */
      readonly near: readonly string[];
      /** Other queues, whose live consumers define the name. */
      readonly elsewhere: readonly string[];
    }
    // An edit by hand left it neither ready nor waiting. Consumers look for such tasks, and requeue them.
    | { readonly reason: "unplaced" }
    // Its concurrency key is at its limit.
    | {
      readonly reason: "concurrency";
      readonly key: string;
      readonly limit: number;
      readonly taken: number;
      /** The tasks that hold the slots: up to 20, those that hold them longest first. */
      readonly holders: readonly SlotHolder[];
      /** How many tasks of the key go first, counted up to 10,000; `more` is true if there are more. */
      readonly ahead: number;
      readonly more: boolean;
    }
    // Its rate key is at its limit.
    | {
      readonly reason: "rate";
      readonly key: string;
      readonly limit: number;
      /** The length of the period, in seconds. */
      readonly per: number;
      readonly taken: number;
      /** The earliest time at which it can start, after the tasks ahead of it. */
      readonly until: Date;
      /** How many tasks of the key go first, counted up to 10,000; `more` is true if there are more. */
      readonly ahead: number;
      readonly more: boolean;
    }
    // Consumers crashed while they held it: it is claimed alone, and each consumer runs one such task at a time.
    | {
      readonly reason: "quarantined";
      /** How often it was rescued from a crashed consumer. */
      readonly rescues: number;
      /** How many consumers in a row crashed while they held it: with the second it is quarantined, with the fifth it fails. */
      readonly crashes: number;
    }
    // Other tasks of its queue are claimed first.
    | {
      readonly reason: "behind";
      readonly queue: string;
      /** How many tasks go first, counted up to 10,000; `more` is true if there are more. */
      readonly ahead: number;
      readonly more: boolean;
    }
    // All live consumers that could run it are running as many tasks as they can.
    | {
      readonly reason: "busy";
      /** How many consumers could run it. */
      readonly consumers: number;
      /** How many tasks they run together. */
      readonly running: number;
      /** How many tasks they can run together. */
      readonly concurrency: number;
    }
    // Nothing holds it up: it is about to be claimed or, if it has limits, admitted.
    | { readonly reason: "due"; readonly since: Date }
  );

/** A task for whose end another one waits. */
export interface OpenDependency {
  /** The id of the task. */
  readonly taskId: number;
  /** The name of the task. */
  readonly funcName: string;
  /** The status of the task. */
  readonly status: TaskStatus;
}

/** A task that holds a slot of a concurrency key. */
export interface SlotHolder {
  /** The id of the task. */
  readonly taskId: number;
  /** When it got the slot. */
  readonly since: Date;
  /** The id of the consumer that runs it; null if it has not been claimed yet. */
  readonly consumer: string | null;
  /** The machine of that consumer. */
  readonly host: string | null;
  /** The process id of that consumer. */
  readonly pid: number | null;
}

/** The short form of a stored error. */
export type ReasonError = Pick<TaskError, "name" | "message" | "attempt">;
