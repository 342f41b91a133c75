import type { Backoff } from "./backoff.ts";
import type { Duration } from "../duration.ts";
import type { ResultOf } from "./result_of.ts";
import type { TaskStatus } from "./record.ts";
import type { Queryable, Sql } from "../sql.ts";
import type { AnySchema, StandardSchemaV1 } from "./standard_schema.ts";

/** The options of a task, given where it is defined. Only `name` is required. */
export interface TaskOptions<A extends unknown[] = unknown[]> {
  /**
   * Identifies the task in the database, as `func_name` of its records: 1 to 200 letters, digits, `_`, `.`, `:`, `/` or
   * `-`, such as `mail.welcome`. It is never derived from the function, which a bundler may rename.
   */
  name: string;
  /** Former names of this task: records stored under them still run. @default none */
  aliases?: string[];
  /** The queue to schedule into. @default "default" */
  queue?: string;
  /** How many times to retry after the first attempt failed. @default 0 */
  maxRetries?: number;
  /**
   * The delay before a retry: fixed, in seconds or as text with a unit, growing ({@linkcode Backoff}), or computed from
   * the number of the failed attempt (from 1) and its error.
   *
   * @default 120 (seconds)
   */
  retryDelay?: Duration | Backoff | ((attempt: number, error: Error) => Duration);
  /** Tasks with a larger priority run first. @default 0 */
  priority?: number;
  /**
   * The longest an attempt may take, in seconds or as text with a unit: it then fails, and `current().signal` aborts.
   *
   * @default none
   */
  timeout?: Duration;
  /** Rejects duplicates; `true`: tasks with the same name and arguments. @default none */
  unique?: true | Unique<A>;
  /** Limits how many of these tasks run at the same time, across all consumers. @default no limit */
  concurrency?: Concurrency<A>;
  /** Limits how many attempts of these tasks start per period, across all consumers. @default no limit */
  rateLimit?: RateLimit<A>;
  /** Validates the list of arguments, when scheduling and again before the handler is called. @default none */
  input?: StandardSchemaV1<unknown, A>;
  /** Validates what the handler returned. @default none */
  output?: AnySchema;
  /** How long to keep the records of ended tasks ({@linkcode Retention}). @default the queue's, else the instance's */
  retention?: Retention;
  /**
   * Stores the lines that the handler logs with `current().log`, the first 200 of each attempt or as many as it says,
   * for as long as the task's record: see docs/logs.md. @default false
   */
  keepLogs?: KeepLogs;
  /**
   * The version of the handler's steps, a positive integer. Raise it with a change of the code that leaves out or inserts
   * steps before those that tasks may have run: see docs/steps.md.
   *
   * @default 1
   */
  version?: number;
  /** The most steps that a task may run. @default 10,000 */
  maxSteps?: number;
}

/** Whether the lines that a handler logs are stored: true for the first 200 of each attempt, or how many. */
export type KeepLogs = boolean | {
  /** The most lines of an attempt that are stored. */
  lines: number;
};

/**
 * A function that computes a key of the arguments `A`. If `A` is `never`, as in `task(spec)`, which does not know the
 * handler yet, its parameters need types: of two signatures that differ in their type parameters, the compiler takes
 * none.
 */
export type KeyFunction<A extends unknown[]> = [A] extends [never]
  ? ((...args: never) => string) & (<_>(...args: never) => string)
  : (...args: A) => string;

/** When two tasks are duplicates, and what scheduling a duplicate does. Tasks of different names never are. */
export interface Unique<A extends unknown[] = unknown[]> {
  /** The key that duplicates share: text (1 to 1,000 bytes), or a function of the arguments. @default the arguments */
  key?: string | KeyFunction<A>;
  /**
   * The statuses in which a task rejects duplicates. "created" must be one of them. Without "running", a duplicate can
   * be scheduled as soon as the task runs.
   *
   * @default ["created", "running"]
   */
  among?: TaskStatus[];
  /** Also rejects duplicates for this long after completion (throttling): seconds, or text with a unit. @default none */
  for?: Duration;
  /**
   * What scheduling a duplicate does. `keep` returns the existing record. `replace` overwrites the arguments and the
   * time of an existing task that has not started (debouncing), and returns a running one unchanged. `error` throws
   * `TaskExists`.
   *
   * @default "keep"
   */
  onConflict?: "keep" | "replace" | "error";
}

/**
 * Limits how many tasks of a key run at the same time, across all consumers. With a limit of 1 they run one by one, in
 * order.
 */
export interface Concurrency<A extends unknown[] = unknown[]> {
  /** How many may run at the same time. */
  limit: number;
  /**
   * The key to count by. All tasks that give the same text share it; the key that a function of the arguments returns
   * counts for this task only.
   *
   * @default the name of the task
   */
  key?: string | KeyFunction<A>;
}

/** Limits how many attempts of a key start within any period of length `per`, across all consumers. Retries count. */
export interface RateLimit<A extends unknown[] = unknown[]> extends Concurrency<A> {
  /** How many attempts may start per period. */
  limit: number;
  /**
   * The length of the period, in seconds or as text with a unit. It slides, so bursts cannot double up at the edge of two
   * periods.
   */
  per: Duration;
}

/**
 * How long to keep the records of ended tasks: one duration for all, or one for `completed` tasks and one for `failed`
 * and `cancelled` ones, in seconds or as text with a unit. `Infinity` keeps them forever. Defaults, after the task's, the queue's and the instance's
 * setting: 7 days for `completed`, 30 days for the others.
 */
export type Retention = Duration | { completed?: Duration; failed?: Duration };

/** The options of a queue. */
export interface QueueOptions {
  /** How long to keep the records of its tasks that set no `retention` of their own. @default the instance's */
  retention?: Retention;
  /**
   * When scheduling a task sends a NOTIFY: `asleep` only while a consumer sleeps, because NOTIFY serializes commits of
   * the whole database; `always` for a queue whose channel other programs listen on. Each consumer stores the setting
   * when it starts.
   *
   * @default "asleep"
   */
  notify?: "asleep" | "always";
}

/** The options of a task that is scheduled by the clock. */
export interface CronOptions {
  /**
   * Five fields: minute, hour, day of month, month, day of week; or six, with seconds first. `@hourly`, `@daily`,
   * `@weekly`, `@monthly` and `@yearly` work as well.
   */
  cron: string;
  /** An IANA time zone, such as "Europe/Warsaw". @default "UTC" */
  timezone?: string;
  /**
   * Which of the slots that passed while no consumer ran are scheduled late: none (`skip`), the last one, or all (at
   * most the last 1,000). A slot that is less than a minute late does not count as missed.
   *
   * @default "skip"
   */
  missed?: "skip" | "one" | "all";
}

/** The earliest start of a task: a time, or a delay from now. Setting both is an error. */
export type When = {
  /** The earliest start. @default now */
  notBefore?: Date;
  /** Set one of both. */
  delay?: never;
} | {
  /** Set one of both. */
  notBefore?: never;
  /** The time until the earliest start: seconds (`300`, not milliseconds), or text with a unit (`"5m"`). @default 0 */
  delay?: Duration;
};

/** Options for one call of `schedule()`. They override the task's own. */
export type ScheduleOptions = When & {
  /** The queue to schedule into. */
  queue?: string;
  /** Tasks with a larger priority run first. */
  priority?: number;
  /** How many times to retry after the first attempt failed. */
  maxRetries?: number;
  /** The delay before a retry, in seconds or as text with a unit. */
  retryDelay?: Duration | Backoff;
  /** The longest an attempt may take, in seconds or as text with a unit. */
  timeout?: Duration;
  /** Rejects duplicates: a key, or options that override those of the definition one by one. */
  unique?: string | Unique;
  /** Labels to find the task by. @default none */
  tags?: string[];
  /**
   * Other tasks that must complete first, beside those that are arguments: their records, the promises of these, or
   * their ids. Those in `settled()` may end in any way.
   *
   * @default none
   */
  // deno-lint-ignore no-explicit-any
  after?: Iterable<ResultOf<any> | number>;
  /**
   * The transaction to insert in, one of postgres.js, or of another library by an adapter of `@firefly/tasks/adapters`;
   * null for none, not even the one of the handler or of `transaction()`.
   *
   * @default the current transaction, if there is one
   */
  tx?: Sql | Queryable | null;
};
