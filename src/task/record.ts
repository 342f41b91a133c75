import type { Duration } from "../duration.ts";

/**
 * Where a task stands: `created` (waiting for its turn, its time or its next attempt), `running` (leased by a
 * consumer), or at its end: `completed`, `failed` or `cancelled`.
 */
export type TaskStatus = "created" | "running" | "completed" | "failed" | "cancelled";

/** Every status, in the order of a task's life. */
export const TASK_STATUSES: readonly TaskStatus[] = ["created", "running", "completed", "failed", "cancelled"];

/** Why one attempt failed, as stored in the record's `errors`. */
export interface TaskError {
  /** The error's class, such as `TypeError`. */
  name: string;
  /** The error's message, cut after 8 KiB. */
  message: string;
  /** The error's stack, cut after 16 KiB. */
  stack?: string;
  /** The message of the error's cause, with its own causes behind it. */
  cause?: string;
  /** When the attempt ended. */
  at: Date;
  /** The number of the attempt, from 1. */
  attempt: number;
  /** The seconds until the next attempt, if there was to be one. */
  delay?: number;
}

/** How long to wait for a result, and what else ends the waiting. */
export interface WaitOptions {
  /** Rejects with a `TimeoutError` after this time. @default forever */
  timeout?: Duration;
  /** Rejects with the signal's reason when it aborts. */
  signal?: AbortSignal;
}

/** One scheduled task: a row of `firefly.task`, decoded, as it stood when it was read. */
export type TaskRecord<A extends unknown[] = unknown[], R = unknown> =
  & {
    /** The identity of the task. */
    readonly id: number;
    /** The name of the task that runs it. */
    readonly funcName: string;
    /** The queue that it stands in. */
    readonly queue: string;
    /** The arguments of the handler. */
    readonly params: A;
    /** Larger goes first. */
    readonly priority: number;
    /** When it was scheduled. */
    readonly created: Date;
    /** The earliest start of its next attempt. */
    readonly notBefore: Date;
    /** When its last attempt to be settled began; null before that. */
    readonly started: Date | null;
    /** The number of the current or next attempt, from 1. */
    readonly attempt: number;
    /** How many attempts have failed and were tried again. */
    readonly retryAttempts: number;
    /** How many retries it has after the first attempt. */
    readonly maxRetries: number;
    /** Seconds until a retry. Where the definition computes the delay, django-firefly-tasks' 120. */
    readonly retryDelay: number;
    /** What the handler last reported. */
    readonly progress: { value: number; note?: string } | null;
    /** One entry for every attempt that failed, oldest first. */
    readonly errors: TaskError[];
    /** Labels given when scheduling. */
    readonly tags: string[];
    /** False if a unique duplicate was kept instead of a new record. */
    readonly inserted: boolean;
    /** Waits until the task ends, and resolves to what its handler returned. */
    result(options?: WaitOptions): Promise<R>;
    /**
     * The record as it is, and again whenever it has changed, until it has ended: `for await (const now of
     * record.watch())`. Changes that follow one another within half a second may come as one.
     *
     * Throws `TaskNotFound` if the record is deleted, and the signal's reason when that aborts.
     */
    watch(options?: { signal?: AbortSignal }): AsyncIterable<TaskRecord<A, R>>;
    /** Reads the record again. */
    refresh(): Promise<TaskRecord<A, R>>;
    /** Schedules a failed or cancelled task again, now and with all of its retries. */
    retry(): Promise<TaskRecord<A, R>>;
    /** Cancels a task that has not ended; resolves to whether it did. */
    cancel(): Promise<boolean>;
    /** Deletes the record. */
    delete(): Promise<void>;
    /**
     * The record as plain data in the names of its columns (django-firefly-tasks' `task_as_dict`), which JSON can hold: what it
     * cannot stands there as in SQL, a Date as ISO, a Map as pairs, bytes as Base64.
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
  /** The tasks' ids. */
  ids?: number[];
  /** Labels that the task must all have. */
  tags?: string[];
  /** Scheduled before this time. */
  createdBefore?: Date;
  /** Scheduled at or after this time. */
  createdAfter?: Date;
  /** Ended before this time. */
  finishedBefore?: Date;
  /** JSON that the decoded `params` must contain, as jsonb's `@>` has it. */
  params?: unknown;
}

/** A part of a list, newest first. Iterating it asynchronously goes on to the parts that follow. */
export interface Page<T> extends AsyncIterable<T> {
  /** What this part holds. */
  items: T[];
  /** What `after` of the next call takes; null at the end. */
  next: string | null;
}

/** Which part of a list. */
export interface PageOptions {
  /** How many records at most. @default 100 */
  limit?: number;
  /** The `next` of the part before. */
  after?: string;
}
