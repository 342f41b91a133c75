import type { Backoff } from "../task/backoff.ts";
import type { TaskStatus } from "../task/record.ts";
import type { IgnorableReason } from "./options.ts";
import type { ImportReason } from "./report.ts";

/** A reason to leave a job. */
export interface Obstacle {
  readonly reason: ImportReason;
  readonly detail: string;
}

/** A reason that the user, or an option of the task, may overrule. */
export interface SoftObstacle extends Obstacle {
  readonly reason: IgnorableReason;
  /** The option of the task that says the same. */
  readonly unless?: "concurrency" | "retryDelay" | "unique";
}

/** A job that waits, in the words of Firefly. */
export interface WaitingJob {
  readonly id: string;
  readonly name: string;
  /** The queue in the other system that `ImportOptions.queue` is asked about. */
  readonly queue: string | null;
  /** The queue of BullMQ. */
  readonly sourceQueue?: string;
  /** The data as JSON; null for a job without any. */
  readonly data: string | null;
  readonly state: "waiting" | "delayed" | "retrying";
  /** Larger first. */
  readonly priority: number;
  /** The earliest start, in milliseconds since 1970; undefined for now. */
  readonly due?: number;
  /** How many retries are left after the next attempt. */
  readonly maxRetries: number;
  /** The delay that the job itself sets. */
  readonly retryDelay?: number | Backoff;
  /** The delay that all jobs of that library have; a definition or an instance that sets one wins. */
  readonly usualRetryDelay?: Backoff;
  /** In seconds. */
  readonly timeout?: number;
  /** The key that kept duplicates out; the definition's own wins. */
  readonly unique?: { readonly key: string; readonly among?: TaskStatus[] };
  readonly traceparent?: string | null;
  /** Why it cannot be imported at all. */
  readonly obstacle?: Obstacle;
  /** Why it cannot be imported unless this is ignored. */
  readonly softObstacles: readonly SoftObstacle[];
  /** Where it comes from, as tags of the task. */
  readonly tags: string[];
}
