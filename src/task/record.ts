import type { Duration } from "../duration.ts";

/**
 * The state of a task: `created` (waiting for its turn, its time or its next attempt), `running` (claimed by a
 * consumer), or ended: `completed`, `failed` or `cancelled`.
 */
export type TaskStatus = "created" | "running" | "completed" | "failed" | "cancelled";

/** Every status, in the order of a task's life. */
export const TASK_STATUSES: readonly TaskStatus[] = ["created", "running", "completed", "failed", "cancelled"];

/** The error of one failed attempt, as stored in the record's `errors`. */
export interface TaskError {
  /** The error's class, such as `TypeError`. */
  name: string;
  /** The error's message, cut off after 8 KiB. */
  message: string;
  /** The error's stack, cut off after 16 KiB. */
  stack?: string;
  /** The names and messages of the error's cause and of its causes in turn (up to 5), one a line. */
  cause?: string;
  /** When the attempt ended. */
  at: Date;
  /** The number of the attempt, from 1. */
  attempt: number;
  /** The seconds until the next attempt; absent if no retry followed. */
  delay?: number;
}

/** Options for waiting for a result. */
export interface WaitOptions {
  /** Rejects with a `TimeoutError` after this time: seconds, or text with a unit. @default forever */
  timeout?: Duration;
  /** Rejects with the signal's reason when it aborts. */
  signal?: AbortSignal;
}

/** A scheduled task: a decoded row of `firefly.task`, as it was when it was read. */
export type TaskRecord<A extends unknown[] = unknown[], R = unknown> =
  & {
    /** The id of the task. */
    readonly id: number;
    /** The name of the task, which decides the handler that runs it. */
    readonly funcName: string;
    /** The queue of the task. */
    readonly queue: string;
    /** The arguments for the handler. Reading them throws if they cannot be decrypted or decoded. */
    readonly params: A;
    /** Tasks with a larger priority run first. */
    readonly priority: number;
    /** When it was scheduled. */
    readonly created: Date;
    /** The earliest start of the next attempt. */
    readonly notBefore: Date;
    /** When the last attempt that has ended started; null if none has ended. */
    readonly started: Date | null;
    /** The number of the current or next attempt, from 1. */
    readonly attempt: number;
    /** How many failed attempts were retried. */
    readonly retryAttempts: number;
    /** How many times the task is retried after the first attempt failed. */
    readonly maxRetries: number;
    /** The seconds until a retry; 120 if the definition computes the delay. */
    readonly retryDelay: number;
    /** The progress that the handler last reported, from 0 to 1; null if it reported none. */
    readonly progress: { value: number; note?: string } | null;
    /** The errors of all failed attempts, oldest first. */
    readonly errors: TaskError[];
    /** The labels given when scheduling. */
    readonly tags: string[];
    /** False if `schedule()` returned an existing duplicate instead of inserting a record. */
    readonly inserted: boolean;
    /**
     * Waits until the task ends, and resolves to what its handler returned. Rejects with `TaskFailed` if it failed or
     * was cancelled, and with `TaskNotFound` if its record is deleted.
     */
    result(options?: WaitOptions): Promise<R>;
    /**
     * Yields the current record, and again each time it changes, until the task has ended: `for await (const now of
     * record.watch())`. Changes within half a second may be yielded as one.
     *
     * Throws `TaskNotFound` if the record is deleted, and the signal's reason when the signal aborts.
     */
    watch(options?: { signal?: AbortSignal }): AsyncIterable<TaskRecord<A, R>>;
    /** Reads the record again. */
    refresh(): Promise<TaskRecord<A, R>>;
    /** Schedules a failed or cancelled task again: now, and with all of its retries. */
    retry(): Promise<TaskRecord<A, R>>;
    /** Cancels the task. Resolves to false if it had already ended. */
    cancel(): Promise<boolean>;
    /** Deletes the record. */
    delete(): Promise<void>;
    /**
     * Returns the record as JSON-safe data, under the names of its columns (`task_as_dict` of django-firefly-tasks);
     * other values as in SQL: a Date as ISO text, a Map as pairs, bytes as Base64.
     */
    toJSON(): Record<string, unknown>;
  }
  & (
    | { readonly status: "completed"; readonly completed: Date; readonly returned: R; readonly error: null }
    | { readonly status: "failed"; readonly failed: Date; readonly returned: undefined; readonly error: TaskError }
    | {
      readonly status: "created" | "running" | "cancelled";
      readonly returned: undefined;
      readonly error: TaskError | null;
    }
  );

/** What only the call that scheduled a task knows of its record. */
export interface FreshRecord {
  /** Whether the transaction that inserted it is still open. */
  uncommitted?(): boolean;
  /** False if an existing duplicate was kept instead. */
  inserted?: boolean;
}

/** Which tasks: all conditions must hold; a list means any of its members. */
export interface TaskFilter {
  /** The task's status. */
  status?: TaskStatus | TaskStatus[];
  /** The task's queue. */
  queue?: string | string[];
  /** The task's name. */
  funcName?: string | string[];
  /** The task's id. */
  ids?: number[];
  /** Labels that the task has, all of them. */
  tags?: string[];
  /** Scheduled before this time. */
  createdBefore?: Date;
  /** Scheduled at or after this time. */
  createdAfter?: Date;
  /** Ended before this time. */
  finishedBefore?: Date;
  /** JSON that the decoded `params` contain, in the sense of the `jsonb` operator `@>`. */
  params?: unknown;
}

/** One page of a list, newest first. Async iteration yields the items of this page and of all that follow. */
export interface Page<T> extends AsyncIterable<T> {
  /** The items of this page. */
  items: T[];
  /** The value of `after` for the next page; null if this is the last one. */
  next: string | null;
}

/** Selects a page of a list. */
export interface PageOptions {
  /** The maximum number of records. @default 100 */
  limit?: number;
  /** The `next` of the previous page. @default the first page */
  after?: string;
}
