import type { RecordedDelay } from "./backoff.ts";
import type { Duration } from "../duration.ts";
import type { AttemptedBy } from "../events.ts";
import type { ResultOf } from "./result_of.ts";
import type { Payload, Signal } from "./signal.ts";
import type { TaskState, TaskStatus } from "./state.ts";
import type { GraphNode, StepRecord } from "./step_record.ts";
import type { TaskError } from "./task_error.ts";

export {
  CREATED_STATES,
  TASK_STATES,
  TASK_STATUSES,
  type TaskCounts,
  type TaskState,
  type TaskStatus,
} from "./state.ts";
export type { TaskError } from "./task_error.ts";

/** Options for waiting for a result. */
export interface WaitOptions {
  /** Rejects with a `TimeoutError` after this time: seconds, or text with a unit. @default forever */
  timeout?: Duration;
  /** Rejects with the signal's reason when it aborts. */
  signal?: AbortSignal;
}

/**
 * A scheduled task: a decoded row of `firefly.task`, as it was when it was read. As an argument of another task it stands
 * for its result.
 */
export type TaskRecord<A extends unknown[] = unknown[], R = unknown> =
  & ResultOf<R>
  & {
    /** The id of the task. */
    readonly id: number;
    /** The name of the task, which decides the handler that runs it. */
    readonly funcName: string;
    /** The queue of the task. */
    readonly queue: string;
    /** The state of the task: its status, with `created` told apart. */
    readonly state: TaskState;
    /**
     * The arguments for the handler. In place of an argument that is the result of another task stands an object that
     * prints as `[result of dependency 0]`. Reading them throws if they cannot be decrypted or decoded.
     */
    readonly params: A;
    /** Tasks with a larger priority run first. */
    readonly priority: number;
    /** When it was scheduled. */
    readonly created: Date;
    /** The earliest start of the next attempt. */
    readonly notBefore: Date;
    /** When the last attempt that has ended started; null if none has ended. */
    readonly started: Date | null;
    /** The consumer that runs it or, if none does, that ran its last attempt; null if it was never attempted. */
    readonly attemptedBy: AttemptedBy | null;
    /** The number of the current or next attempt, from 1. */
    readonly attempt: number;
    /** How many failed attempts were retried. */
    readonly retryAttempts: number;
    /** How many times the task is retried after the first attempt failed. */
    readonly maxRetries: number;
    /**
     * The delay before a retry: its seconds, the backoff that it follows, or `{ kind: "function" }` if code of the
     * definition computes it. The delays that were used are in `errors`.
     */
    readonly retryDelay: RecordedDelay;
    /** The progress that the handler last reported, from 0 to 1; null if it reported none. */
    readonly progress: { value: number; note?: string } | null;
    /** The errors of all failed attempts, oldest first. */
    readonly errors: TaskError[];
    /** The labels given when scheduling. */
    readonly tags: string[];
    /**
     * The span that scheduled it, or that of the attempt that was suspended last, as W3C Trace Context writes it; null if
     * nothing was traced.
     */
    readonly traceparent: string | null;
    /** How many other tasks it depends on: on those whose results are arguments, and those of the option `after`. */
    readonly dependencies: number;
    /** The task with whose steps it began, if it is a fork; else null. */
    readonly forkedFrom: number | null;
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
    /**
     * Schedules a failed or cancelled task again: now, and with all of its retries. Tasks that were cancelled because it
     * did not complete wait for it again. Throws if it depends on a task that did not complete: retry that one; and if it
     * has compensated its steps: fork it.
     */
    retry(): Promise<TaskRecord<A, R>>;
    /**
     * Makes the task due now if it waits for its time: for its delay or for a retry. It keeps the attempts that it has
     * left, and waits for its limits as before. Resolves to false if it is due already, runs or has ended:
     * `tasks.explain()` says which.
     */
    run(): Promise<boolean>;
    /**
     * Gives the task another time, queue or priority; it keeps its other options and the attempts that it has left.
     * Resolves to false if it runs or has ended.
     *
     * Throws if its values are encrypted for its queue and it is to move to another one.
     */
    reschedule(changes: RescheduleOptions): Promise<boolean>;
    /**
     * Reads the tasks that it hangs together with: those that it depends on, those that depend on it, and so on, in the
     * order of their ids, up to 10,000.
     */
    graph(): Promise<GraphNode[]>;
    /** Reads the steps of the task: those that have ended, in the order in which they did, then those that wait. */
    steps(): Promise<StepRecord[]>;
    /**
     * Schedules a copy of the task that begins with the steps that it ran before the step `from`, or with all that have
     * ended. This task stays as it is, whether it has ended or not. See docs/steps.md for what the copy shares with it.
     *
     * Throws `StepNotFound` if it has no such step.
     */
    fork(options?: ForkOptions): Promise<TaskRecord<A, R>>;
    /**
     * Sends a signal to the task. Joins the current transaction, if there is one. Resolves to false if the task has ended.
     *
     * Rejects with `ValidationFailed` if the payload does not fit the schema of the signal.
     */
    signal<T>(signal: Signal<T>, ...payload: Payload<T>): Promise<boolean>;
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

/** Where a fork begins. */
export interface ForkOptions {
  /**
   * The first step that it does not share with its original: the name, or name and key where several have the name. Steps
   * that ended before it are given back to the fork.
   *
   * @default none: all steps that have ended are given back
   */
  from?: string | { step: string; key?: string };
}

/** What only the call that scheduled a task knows of its record. */
export interface FreshRecord {
  /** Whether the transaction that inserted it is still open. */
  uncommitted?(): boolean;
  /** False if an existing duplicate was kept instead. */
  inserted?: boolean;
}

/** Which tasks: all conditions must hold; a list means any of its members. */
export interface TaskFilter {
  /** The task's status, or its state. */
  status?: TaskStatus | TaskState | (TaskStatus | TaskState)[];
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
  /** Ended at or after this time. */
  finishedAfter?: Date;
  /** Text that the name and message of the last error contain, as in `TypeError: bad`; the case does not matter. */
  error?: string;
  /**
   * JSON that the decoded `params` contain, in the sense of the `jsonb` operator `@>`: `[{ id: 7 }]` matches the arguments
   * `[{ id: 7, name: "a" }, true]`. Encrypted arguments never match.
   */
  params?: unknown;
}

/** The new time, queue or priority of a task; what is not given stays as it is. */
export interface RescheduleOptions {
  /** Run it at this time or later. Excludes `delay`. */
  notBefore?: Date;
  /** Run it after this delay from now. Excludes `notBefore`. */
  delay?: Duration;
  /** The queue to move it to. */
  queue?: string;
  /** The new priority: higher priorities run first. */
  priority?: number;
}

/**
 * Why an operation left a task as it is: the status of one that has ended, or that it is `running`; `waiting`: it has not
 * ended; `ready`: it is due already; `concurrency`, `rate`: it waits for that limit; `dependencies`: it waits for other
 * tasks, or one of them did not complete; `suspended`: its handler waits; `compensated`: it has undone its steps, so that
 * it is forked instead; `unknown`: no live consumer of its queue knows its name; `duplicate`: another
 * task has its unique key.
 */
export type LeftReason =
  | Exclude<TaskStatus, "created">
  | "waiting"
  | "ready"
  | "concurrency"
  | "rate"
  | "dependencies"
  | "compensated"
  | "suspended"
  | "unknown"
  | "duplicate";

/** A task that an operation left as it is. */
export interface LeftTask {
  /** The id of the task. */
  readonly id: number;
  /** Why it was left. */
  readonly reason: LeftReason;
}

/** By which of their properties tasks are grouped: `error` is the name and message of the last one. */
export type TaskGrouping = "error" | "name" | "queue" | "state";

/** A number of tasks that have something in common. */
export interface TaskGroup {
  /** What they have in common; null for tasks without an error. */
  key: string | null;
  /** How many there are. */
  count: number;
  /** The id of the newest of them. */
  latest: number;
  /** When the last of them ended; null if none has. */
  finished: Date | null;
}

/** A line that a handler logged, as it is kept. */
export interface TaskLogLine {
  /** The number of the attempt, from 1. */
  readonly attempt: number;
  /** When it was logged. */
  readonly at: Date;
  /** The name of the step that logged it; null outside of steps. */
  readonly step: string | null;
  /** Its severity. */
  readonly level: "debug" | "info" | "warn" | "error";
  /** What was logged. */
  readonly message: string;
  /** The values that were logged with it. */
  readonly fields: Readonly<Record<string, unknown>>;
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
  /**
   * The most records to examine, from the newest of the page on. If few of them match, the page is not full, and `next`
   * tells how far it got. Where the states of a filter name few tasks, these are found without. @default all
   */
  examine?: number;
}
