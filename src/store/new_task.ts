import type { Backoff } from "../task/backoff.ts";
import type { TaskStatus } from "../task/record.ts";

/** A task to insert, by the names of its columns; null takes the default. */
export interface NewTask extends Partial<UniqueColumns> {
  func_name: string;
  queue: string;
  params: string;
  priority: number;
  not_before: string | null;
  /** Seconds from now; excludes `not_before`. */
  delay: number | null;
  max_retries: number | null;
  retry_delay: number | null;
  backoff: Backoff | null;
  timeout: number | null;
  tags: string[];
  /** Absent where the task has no such limit. */
  concurrency_key?: string;
  /** Absent where the task has no such limit. */
  rate_key?: string;
  /** The identity of the span that schedules it, as W3C Trace Context writes it; absent where nothing is traced. */
  traceparent?: string;
  /** Absent where the task waits for no other: only the SQL functions that schedule unique tasks take it. */
  depends?: readonly Dependency[];
}

/** A task that another one waits for, as `_schedule()` takes it. */
export type Dependency =
  & ({ readonly id: number } | {
    /** The place in the same call, from 0, of a task that stands before. */
    readonly ref: number;
  })
  & {
    /** Whether any end will do; else it must complete. */
    readonly settled?: boolean;
  };

/** The columns of a unique task, and what to do about a duplicate. */
export interface UniqueColumns {
  unique_key: string;
  /** Null means created and running. */
  unique_among: TaskStatus[] | null;
  /** Seconds after its completion. */
  unique_for: number | null;
  on_conflict: "keep" | "replace" | "error";
}

/** What the database assigned to a new task. */
export interface InsertedTask {
  id: string;
  created: Date;
  not_before: Date;
}
