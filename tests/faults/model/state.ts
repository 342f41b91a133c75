/**
 * The database in memory: what its tables should hold, in plain lists and maps. `records.ts` and `transitions.ts` change
 * them as the store's statements should, `snapshot.ts` compares them with the tables.
 */

/** Seconds that no run of the model test lasts: what is due in so many never becomes due by itself. */
export const LONG = 3600;

/**
 * A time that the database's clock decides: known to the microsecond once a snapshot has shown it, before that as the
 * seconds from the step that made it. Two rows with the same time share the object.
 */
export class Time {
  at: number | undefined;
  readonly offset: number;

  constructor(offset = 0) {
    this.offset = offset;
  }

  /** Whether it has come. Every time is either past or more than half of `LONG` away. */
  hasCome(clock: number): boolean {
    return this.at === undefined ? this.offset <= 0 : this.at < clock + LONG * 500_000;
  }
}

/** A row of `firefly.task`. */
export interface Task {
  id: number;
  claimSeq: number;
  status: "created" | "completed" | "failed" | "cancelled";
  notBefore: Time;
  priority: number;
  queue: string;
  name: string;
  params: string;
  started: boolean;
  completed: boolean;
  failed: boolean;
  cancelled: boolean;
  returned: string | null;
  retryAttempts: number;
  rescues: number;
  snoozes: number;
  crashCount: number;
  /** The names of its errors, with the attempt and the delay. */
  errors: string[];
  progress: number | null;
  uniqueKey: string | null;
  uniqueAmong: string[] | null;
  uniqueFor: number | null;
  concurrencyKey: string | null;
  rateKey: string | null;
  /** How many dependencies it was scheduled with; 0 for none. */
  dependencies: number;
  /** Whether its end is noted: another task depends on it or has called it, or it has called others. */
  dependants: boolean;
}

export type WaitReason = "time" | "unknown" | "concurrency" | "rate" | "dependencies" | "suspended";

/** A row of `dependency`. */
export interface Edge {
  taskId: number;
  ordinal: number;
  dependencyId: number;
  settled: boolean;
  /** Whether the dependency is a callee of the task. */
  called: boolean;
  /** Whether the callee was there before. */
  shared: boolean;
  /** How the dependency ended, once the dependant was told. */
  status: Task["status"] | "deleted" | null;
}

/** A row of `ready` or, with `reason`, of `waiting`. */
export interface Place {
  id: number;
  claimSeq: number;
  notBefore: Time;
  priority: number;
  queue: string;
  name: string;
  quarantined: boolean;
  reason: WaitReason | null;
  concurrencyKey: string | null;
  rateKey: string | null;
  /** How many of its dependencies are open, if it waits for them; of a suspended task, how many ends may let it go on. */
  pending: number | null;
  /** The names of the signals that a suspended task waits for. */
  signals: string[] | null;
  suspended: boolean;
}

/** A row of `step`. Their keys are all "". */
export interface StepRow {
  taskId: number;
  name: string;
  kind: "step" | "sleep" | "signal" | "call";
  status: "waiting" | "completed" | "failed";
  seq: number | null;
  failures: number;
  due: Time | null;
  callees: number[] | null;
  returned: string | null;
}

/** A row of `signal`. */
export interface SignalRow {
  id: number;
  taskId: number;
  name: string;
  payload: string | null;
}

export interface Consumer {
  id: string;
  /** Whether its `lease_until` is ahead. */
  alive: boolean;
  queues: string[];
  names: string[];
}

/** The id of a task, and the fence that the claim read. */
export interface HeldTask {
  id: number;
  claimSeq: number;
}

export interface ClaimBatch {
  id: string;
  consumerId: string;
  quarantined: boolean;
  claims: HeldTask[];
}

/** A row of `unique_key`. */
export interface Holder {
  taskId: number;
  until: Time | null;
}

/** A row of `slot`. */
export interface Slot {
  kind: "concurrency" | "rate";
  key: string;
  taskId: number;
  per: number | null;
  /** Null until the task is claimed, and then for a slot of a rate `"infinity"` until the attempt is known to have begun. */
  until: Time | "infinity" | null;
  /** Whether it was taken more than some seconds ago. */
  isOld: boolean;
}

/** A row of `definition`. */
export interface Limits {
  concurrencyLimit: number | null;
  rateLimit: number | null;
  ratePer: number | null;
}

/** An attempt that a consumer has been told of: of a claim that is current, or was. */
export interface Attempt extends HeldTask {
  batchId: string;
  consumerId: string;
}

/** Everything that the tables hold. */
export class State {
  /** The database's clock at the last snapshot, in microseconds. */
  clock = 0;
  /** A day and more before the run began, in microseconds. */
  origin = 0;
  readonly tasks = new Map<number, Task>();
  ready: Place[] = [];
  waiting: Place[] = [];
  readonly batches = new Map<string, ClaimBatch>();
  readonly consumers = new Map<string, Consumer>();
  /** By the task's name, a space, and the key. */
  readonly uniqueKeys = new Map<string, Holder>();
  slots: Slot[] = [];
  readonly paused = new Set<string>();
  readonly definitions = new Map<string, Limits>();
  readonly resultWaiters = new Set<number>();
  edges: Edge[] = [];
  steps: StepRow[] = [];
  signals: SignalRow[] = [];
  /** The rows of `ended`. */
  ended: number[] = [];
  /** Records whose end has been looked at: it is noted once. */
  readonly over = new Set<number>();
  /** Records that were cancelled because a dependency did not complete, and that nothing has touched since. */
  readonly unmet = new Set<number>();
  /** Records that were ever made `created` again after their end: such a callee may outlive its caller. */
  readonly retried = new Set<number>();
  /** Records that a hand may have left nowhere; `requeueUnplaced` puts them back. */
  readonly edited = new Set<number>();
  /** Records that a hand has ever edited: whatever slots they had, they may be ready or run without. */
  readonly unadmitted = new Set<number>();
  /** Ended records whose retention is over, with their fence: one that is retried ends anew. */
  readonly expired = new Map<number, number>();
  /** The last slot of the cron that fired, in microseconds; 0 before there is a cron. */
  lastSlot = 0;
  /** Attempts that may be settled: of consumers alive, dead and stopped. */
  attempts: Attempt[] = [];

  /** The dependencies of a task whose end it has not been told, without its callees. */
  openEdges(id: number): Edge[] {
    return this.edges.filter(({ taskId, status, called }) => taskId === id && status === null && !called);
  }

  /** Records that a retry of others may make `created` again: their dependants that it cancelled, and their callees. */
  revivable(): number[] {
    return [...this.unmet, ...this.edges.filter(({ called }) => called).map(({ dependencyId }) => dependencyId)];
  }

  /** Where each record stands: its status, and while it is `created`, its place. */
  places(): Map<number, string> {
    const standing = new Map<number, string>();
    const current = ({ id, claimSeq }: HeldTask) => this.tasks.get(id)?.claimSeq === claimSeq;
    for (const place of this.ready) if (current(place)) standing.set(place.id, "ready");
    for (const place of this.waiting) if (current(place)) standing.set(place.id, `waiting: ${place.reason}`);
    for (const { claims } of this.batches.values()) {
      for (const claim of claims) if (current(claim)) standing.set(claim.id, "running");
    }
    for (const { id, status } of this.tasks.values()) {
      if (status !== "created") standing.set(id, status);
      else if (!standing.has(id)) standing.set(id, "nowhere");
    }
    return standing;
  }

  /** Whether a claim is the current one of its task. */
  holds({ id, claimSeq }: HeldTask): boolean {
    const task = this.tasks.get(id);
    return task?.claimSeq === claimSeq && task.status === "created";
  }
}

/** Most urgent first. */
export function byUrgency(a: Place, b: Place): number {
  return b.priority - a.priority || a.notBefore.at! - b.notBefore.at! || a.id - b.id;
}
