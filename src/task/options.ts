import type { Backoff } from "./backoff.ts";
import type { Duration } from "../duration.ts";
import type { TaskStatus } from "./record.ts";
import type { Queryable, Sql } from "../sql.ts";
import type { StandardSchemaV1 } from "./standard_schema.ts";

/** How a task is run, given once where it is defined. */
export interface TaskOptions<A extends unknown[] = unknown[]> {
  /**
   * The identity of the task, stored with every record as `func_name`: letters, digits, `_`, `-`, `:`, `/` and dots,
   * such as `mail.welcome`. It is never derived from the function, whose name a bundler may change.
   */
  name: string;
  /** Names that this task had before, so that their records still run. */
  aliases?: string[];
  /** The queue it is scheduled into. @default "default" */
  queue?: string;
  /** How many retries follow a failed first attempt. @default 0 */
  maxRetries?: number;
  /** The delay before a retry. @default 120 */
  retryDelay?: Duration | Backoff | ((attempt: number, error: Error) => Duration);
  /** Larger goes first. @default 0 */
  priority?: number;
  /** Aborts `current().signal` and fails the attempt after this time. @default none */
  timeout?: Duration;
  /** Keeps duplicates away; `true` means tasks of this name with the same arguments. @default none */
  unique?: true | Unique<A>;
  /** How many may run at a time, over all consumers. @default no limit */
  concurrency?: Concurrency<A>;
  /** How many may start within a time, over all consumers. @default no limit */
  rateLimit?: RateLimit<A>;
  /** Checks the list of arguments, when scheduling and again before the handler is called. @default none */
  input?: StandardSchemaV1<unknown, A>;
  /** Checks what the handler returned. @default none */
  output?: StandardSchemaV1<unknown>;
  /** How long ended records are kept: see {@linkcode Retention}. @default the queue's, else the instance's */
  retention?: Retention;
}

/** What makes two tasks duplicates, and what happens to the second. Tasks of different names are never duplicates. */
export interface Unique<A extends unknown[] = unknown[]> {
  /** What duplicates share. @default the arguments */
  key?: string | ((...args: A) => string);
  /**
   * The statuses in which a task keeps its duplicates away; "created" must be among them. Without "running", a duplicate can be
   * scheduled as soon as the task runs.
   *
   * @default ["created", "running"]
   */
  among?: TaskStatus[];
  /** Keeps duplicates away for this time after completion, too (throttling). @default none */
  for?: Duration;
  /**
   * What scheduling a duplicate does: `keep` gives the record that is there; `replace` overwrites the arguments and the time
   * of one that is `created` (debouncing), and keeps a running one as it is; `error` throws `TaskExists`.
   *
   * @default "keep"
   */
  onConflict?: "keep" | "replace" | "error";
}

/** How many tasks of a key may run at a time, over all consumers. A limit of 1 runs them one by one, in order. */
export interface Concurrency<A extends unknown[] = unknown[]> {
  /** How many. */
  limit: number;
  /**
   * What is counted: a text is shared by all tasks that give it; what a function returns counts for this task alone.
   *
   * @default the name of the task
   */
  key?: string | ((...args: A) => string);
}

/** How many tasks of a key may start within any span of `per`, over all consumers. */
export interface RateLimit<A extends unknown[] = unknown[]> extends Concurrency<A> {
  /** The length of the span. */
  per: Duration;
}

/**
 * How long ended records are kept: a duration for all, or one for `completed` ones and one for `failed` and
 * `cancelled` ones. `Infinity` keeps them for ever. Where nothing is said, neither of the task, nor of its queue, nor of
 * the instance, it is 7 days for `completed` records and 30 for the others.
 */
export type Retention = Duration | { completed?: Duration; failed?: Duration };

/** What holds for a queue. */
export interface QueueOptions {
  /** How long records of its tasks are kept that do not say so themselves. @default the instance's */
  retention?: Retention;
  /**
   * When tasks that come in send a NOTIFY: `asleep` only while a consumer sleeps, as NOTIFY puts all commits of the
   * database in a row; `always` for a queue on whose channel others listen. It is stored by each consumer that starts.
   *
   * @default "asleep"
   */
  notify?: "asleep" | "always";
}

/** When a task is scheduled by itself. */
export interface CronOptions {
  /**
   * Five fields: minute, hour, day of month, month, day of week. A sixth before them is seconds. `@hourly`, `@daily`,
   * `@weekly`, `@monthly` and `@yearly` stand for what they say.
   */
  cron: string;
  /** An IANA time zone. @default "UTC" */
  timezone?: string;
  /**
   * What becomes of slots that passed while no consumer ran: none of them is made up for, the last one is, or all are,
   * up to the last 1,000. A slot that is less than a minute late is not missed.
   *
   * @default "skip"
   */
  missed?: "skip" | "one" | "all";
}

/** The earliest start: a time, or a delay from now, never both. */
export type When = { notBefore?: Date; delay?: never } | { notBefore?: never; delay?: Duration };

/** What differs for one call from the task's definition. */
export type ScheduleOptions = When & {
  /** The queue to schedule into. */
  queue?: string;
  /** Larger goes first. */
  priority?: number;
  /** How many retries follow a failed first attempt. */
  maxRetries?: number;
  /** The delay before a retry. */
  retryDelay?: Duration | Backoff;
  /** Fails an attempt after this time. */
  timeout?: Duration;
  /** Keeps duplicates away: a key, or what makes two tasks duplicates. */
  unique?: string | Unique;
  /** Labels to find the task by. */
  tags?: string[];
  /** The transaction to insert in; null for none, not even the handler's own. */
  tx?: Sql | Queryable | null;
};
