import type { Backoff } from "../task/backoff.ts";
import { toNumber } from "./rows.ts";

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
  /** When it was due, by `performance.now()`. */
  readonly due: number;
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

  get due(): number {
    return this.run.due;
  }
}

/**
 * Tasks of one run as the statement returns them: what is common to them once, their params as one text, their ids where
 * these are not just those from the first on, and the place of their run in the list of all.
 */
export type ClaimedGroup = [
  claimSeq: number,
  quarantined: boolean,
  funcName: string,
  queue: string,
  maxRetries: number | null,
  retryDelay: number | string | null,
  rest: Rest | null,
  count: number,
  first: number,
  ids: number[] | null,
  params: string,
  ordinal: number,
];

/** The columns that have defaults in most tasks: one NULL in their place costs less than eight. */
type Rest = Pick<
  ClaimedRun,
  "attempt" | "retryAttempts" | "snoozes" | "backoff" | "timeout" | "concurrencyKey" | "rateKey" | "hasSlots"
>;

const NOTHING_ELSE: Rest = {
  attempt: 1,
  retryAttempts: 0,
  snoozes: 0,
  backoff: null,
  timeout: null,
  concurrencyKey: null,
  rateKey: null,
  hasSlots: true,
};

/** Adds the tasks of a group, which were `due` then by `performance.now()`. It reads the group by index: to destructure it would cost more than all the rest. */
export function addTasks(
  tasks: ClaimedTask[],
  group: ClaimedGroup,
  { batchId, due }: Pick<ClaimedRun, "batchId" | "due">,
): void {
  const rest = group[6] ?? NOTHING_ELSE;
  const count = group[7];
  const first = toNumber(group[8]);
  const ids = group[9];
  const params = count === 1 ? [group[10]] : group[10].split(",");
  const run: ClaimedRun = {
    claimSeq: group[0],
    batchId,
    quarantined: group[1],
    funcName: group[2],
    queue: group[3],
    maxRetries: group[4],
    // JSON has infinity only as a text.
    retryDelay: group[5] === null ? null : Number(group[5]),
    attempt: rest.attempt,
    retryAttempts: rest.retryAttempts,
    snoozes: rest.snoozes,
    backoff: rest.backoff,
    timeout: rest.timeout && Number(rest.timeout),
    concurrencyKey: rest.concurrencyKey,
    rateKey: rest.rateKey,
    hasSlots: rest.hasSlots,
    due,
  };
  for (let i = 0; i < count; i++) tasks.push(new ClaimedTask(ids ? ids[i]! : first + i, params[i] || null, run));
}
