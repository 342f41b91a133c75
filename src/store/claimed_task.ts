import type { Backoff } from "../task/backoff.ts";

/** What the claimed tasks of a run have in common. */
export interface ClaimedRun {
  /** The fence: a statement that ends the claim must find it unchanged. */
  readonly claimSeq: number;
  readonly batchId: string;
  readonly quarantined: boolean;
  readonly funcName: string;
  readonly queue: string;
  readonly attempt: number;
  readonly retryAttempts: number;
  readonly snoozes: number;
  readonly maxRetries: number | null;
  readonly retryDelay: number | null;
  readonly backoff: Backoff | null;
  readonly timeout: number | null;
  readonly concurrencyKey: string | null;
  readonly rateKey: string | null;
  /** Whether it holds a slot for each of its keys. */
  readonly hasSlots: boolean;
}

/**
 * A task that this consumer holds. The tasks of a run share one object with what they have in common: thousands of them
 * wait in memory, and the garbage collector copies whatever they hold.
 */
export class ClaimedTask implements ClaimedRun {
  readonly id: number;
  /** Null if they are long: then they stay in the database until the attempt starts, see `readParams`. */
  params: string | null;
  readonly run: ClaimedRun;

  constructor(id: number, params: string | null, run: ClaimedRun) {
    this.id = id;
    this.params = params;
    this.run = run;
  }

  get claimSeq(): number {
    return this.run.claimSeq;
  }

  get batchId(): string {
    return this.run.batchId;
  }

  get quarantined(): boolean {
    return this.run.quarantined;
  }

  get funcName(): string {
    return this.run.funcName;
  }

  get queue(): string {
    return this.run.queue;
  }

  get attempt(): number {
    return this.run.attempt;
  }

  get retryAttempts(): number {
    return this.run.retryAttempts;
  }

  get snoozes(): number {
    return this.run.snoozes;
  }

  get maxRetries(): number | null {
    return this.run.maxRetries;
  }

  get retryDelay(): number | null {
    return this.run.retryDelay;
  }

  get backoff(): Backoff | null {
    return this.run.backoff;
  }

  get timeout(): number | null {
    return this.run.timeout;
  }

  get concurrencyKey(): string | null {
    return this.run.concurrencyKey;
  }

  get rateKey(): string | null {
    return this.run.rateKey;
  }

  get hasSlots(): boolean {
    return this.run.hasSlots;
  }
}
