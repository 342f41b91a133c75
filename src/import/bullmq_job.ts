import type { Backoff } from "../task/backoff.ts";
import type { BullJob, ListedJob } from "./bullmq_queue.ts";
import type { Obstacle, SoftObstacle, WaitingJob } from "./waiting_job.ts";

/** Options of a job, as BullMQ stores them: some have short names. */
interface StoredOptions {
  attempts?: number;
  backoff?: number | { type: string; delay?: number; jitter?: number };
  /** deduplication */
  de?: { id: string; ttl?: number; keepLastIfActive?: boolean };
  /** telemetry.metadata */
  tm?: string;
}

/** Puts a job of a queue of BullMQ in the words of Firefly. */
export function toWaitingJob(job: BullJob, { list, due }: ListedJob, queue: string): WaitingJob {
  const options = optionsOf(job.opts);
  const { attempts = 1 } = options;
  const backoff = backoffOf(options, job.attemptsMade);
  const soft = [...backoff.softObstacles, ...throttleOf(options)];
  const obstacle = obstacleOf(job);
  return {
    id: job.id,
    name: job.name,
    queue,
    sourceQueue: queue,
    data: job.data,
    state: job.attemptsMade > 0 ? "retrying" : list === "delayed" ? "delayed" : "waiting",
    priority: -job.priority || 0, // smaller numbers first, but none before all; not -0
    ...(due === undefined ? {} : { due }),
    maxRetries: Math.max(0, attempts - job.attemptsMade - 1),
    ...(backoff.retryDelay === undefined ? {} : { retryDelay: backoff.retryDelay }),
    ...uniqueOf(job, options),
    traceparent: traceparentOf(options),
    ...(obstacle ? { obstacle } : {}),
    softObstacles: soft,
    tags: ["bullmq", `bullmq:${queue}:${job.id}`],
  };
}

function optionsOf(text: string): StoredOptions {
  return parse(text) as StoredOptions ?? {};
}

function parse(text: string | undefined): unknown {
  try {
    return JSON.parse(text || "null");
  } catch {
    return null;
  }
}

/** Without a backoff BullMQ retries at once. An exponential one goes on where it is. */
function backoffOf(
  { backoff }: StoredOptions,
  attemptsMade: number,
): { retryDelay?: number | Backoff; softObstacles: SoftObstacle[] } {
  const { type, delay = 0, jitter = 0 } = typeof backoff === "object" && backoff !== null
    ? backoff
    : { type: "fixed", delay: backoff ?? 0 };
  const seconds = delay / 1000;
  if (type === "fixed") {
    return {
      retryDelay: jitter > 0 ? { kind: "fixed", delay: seconds, jitter: true } : seconds,
      softObstacles: [],
    };
  }
  if (type === "exponential") {
    const grown = seconds * 2 ** attemptsMade;
    return { retryDelay: { kind: "exponential", delay: grown, jitter: jitter > 0 }, softObstacles: [] };
  }
  const detail = `it has the custom backoff "${type}": give the task a retryDelay`;
  return { softObstacles: [{ reason: "backoff", detail, unless: "retryDelay" }] };
}

function throttleOf({ de }: StoredOptions): SoftObstacle[] {
  if (!de?.ttl || de.keepLastIfActive) return [];
  const detail = "it keeps others out for a time, by deduplication.ttl: give the task a unique with for";
  return [{ reason: "throttle", detail, unless: "unique" }];
}

/** The key by which BullMQ keeps a second job out: its deduplication, or an id that the application gave it. */
function uniqueOf({ id, deduplicationId }: BullJob, { de }: StoredOptions): Pick<WaitingJob, "unique"> {
  if (deduplicationId !== null) {
    if (de?.keepLastIfActive) return { unique: { key: deduplicationId, among: ["created"] } };
    return de?.ttl ? {} : { unique: { key: deduplicationId } };
  }
  return /^\d+$/.test(id) ? {} : { unique: { key: id } };
}

function traceparentOf({ tm }: StoredOptions): string | null {
  const carrier = parse(tm) as { traceparent?: unknown } | null;
  return typeof carrier?.traceparent === "string" ? carrier.traceparent : null;
}

function obstacleOf({ id, scheduler, parentKey, hasChildren, deferredFailure }: BullJob): Obstacle | undefined {
  if (scheduler !== null || id.startsWith("repeat:")) {
    return { reason: "scheduler", detail: "it is the next job of a job scheduler: write that as the cron of the task" };
  }
  if (parentKey !== null) return { reason: "dependencies", detail: "its parent waits for it" };
  if (hasChildren) return { reason: "dependencies", detail: "it reads the results of its children" };
  if (deferredFailure !== null) return { reason: "dependencies", detail: "it is to fail, as one of its children has" };
  return undefined;
}
