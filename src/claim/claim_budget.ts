import type { AttemptEnvironment } from "../attempt/environment.ts";
import { BatchSize, MAX_BATCH, MAX_BUFFER_AGE } from "./batch_size.ts";
import type { ConsumerLease } from "./consumer_lease.ts";
import type { HeldTasks } from "./held_tasks.ts";
import type { ClaimedTask } from "../store/claimed_task.ts";

/** A claim as it was requested, and what it brought. */
export interface ClaimReport {
  readonly limit: number;
  readonly soughtQuarantined: boolean;
  readonly tasks: readonly ClaimedTask[];
  /** How many rows it took, stale ones included. */
  readonly taken: number;
}

/** With more outcomes than this waiting to be settled, the consumer claims no more. */
const MAX_UNSETTLED = 2 * MAX_BATCH;

/** Decides how many tasks a consumer claims next, and how many of them begin. */
export class ClaimBudget {
  readonly #env: AttemptEnvironment;
  readonly #held: HeldTasks;
  readonly #lease: ConsumerLease;
  readonly #batch: BatchSize;
  /** Whether the last claim of a quarantined task found one: there may be more. */
  #moreQuarantined = false;

  constructor(env: AttemptEnvironment, { held, lease }: { readonly held: HeldTasks; readonly lease: ConsumerLease }) {
    this.#env = env;
    this.#held = held;
    this.#lease = lease;
    this.#batch = new BatchSize(env.slots.count);
  }

  /** How many tasks to claim now: one for each free slot, and a stock that lasts for a moment. */
  get wanted(): number {
    const { slots, config: { maxTasks } } = this.#env;
    const { buffered, begun } = this.#held;
    if (!this.#mayClaim || buffered > this.#batch.size) return 0;
    const stock = this.#batch.size - slots.count;
    return Math.max(0, Math.min(slots.free + stock, maxTasks - begun - buffered));
  }

  /** Whether to claim another quarantined task, even if nothing else. */
  get claimsQuarantined(): boolean {
    return this.#mayClaim && this.#wantsQuarantined;
  }

  /** Whether a claimed task may begin. */
  get mayBegin(): boolean {
    return this.#env.slots.free > (this.#wantsQuarantined ? 1 : 0);
  }

  /**
   * Milliseconds until tasks that wait for a slot should go back, if the last task began at `lastBegan`; undefined if
   * none waits.
   */
  bufferExpiresIn(lastBegan: number): number | undefined {
    if (this.#held.buffered === 0 || this.#env.slots.free > 0) return undefined;
    return lastBegan + MAX_BUFFER_AGE - performance.now();
  }

  /** Holds no stock until tasks are short again. */
  reset(): void {
    this.#batch.reset(this.#env.slots.count);
  }

  /** Learns from a claim. */
  note({ limit, soughtQuarantined, tasks, taken }: ClaimReport): void {
    if (soughtQuarantined) this.#moreQuarantined = tasks.some(({ quarantined }) => quarantined);
    if (limit > 0) this.#batch.adapt(taken, limit);
  }

  /**
   * Whether to keep the next free slot for another quarantined task, and to claim that alone. A consumer holds one at a
   * time: if each waited for the next batch, they would be done long after the tasks behind them.
   */
  get #wantsQuarantined(): boolean {
    const { maxTasks } = this.#env.config;
    // The search for a quarantined task goes through all that is held: it comes last, not at every beginning.
    return this.#moreQuarantined && this.#held.begun + this.#held.buffered < maxTasks && !this.#held.hasQuarantined;
  }

  get #mayClaim(): boolean {
    const { settler, slots } = this.#env;
    return this.#lease.valid && settler.unsettled <= MAX_UNSETTLED && slots.free > 0;
  }
}
