import type { Backoff } from "../task/backoff.ts";
import { toNumber } from "./rows.ts";

/**
 * The spans that scheduled tasks, in hex, by their ids; null for a task without one. For a dependant, a list of it and of
 * those of its first dependencies.
 */
export type Spans = Readonly<Record<number, string | null | readonly [string | null, ...string[]]>>;

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
  /** Whether a step of it that can be compensated has begun. */
  readonly compensates: boolean;
  readonly concurrencyKey: string | null;
  readonly rateKey: string | null;
  /** Whether it holds a slot for each of its keys. */
  readonly hasSlots: boolean;
  /** When it was due, by `performance.now()`. */
  readonly due: number;
  /** The spans that the claim has read, if any. */
  readonly spans: Spans | undefined;
}

/**
 * A task that this consumer holds. The tasks of a run share one object with what they have in common: thousands of them
 * wait in memory, and the garbage collector copies whatever they hold.
 */
export class ClaimedTask implements Omit<ClaimedRun, "spans"> {
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

  get compensates(): boolean {
    return this.run.compensates;
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

  /** The span that scheduled it, in hex; null if there is none, undefined if the claim has not read it. */
  get scheduledIn(): string | null | undefined {
    const span = this.run.spans?.[this.id];
    return typeof span === "object" && span !== null ? span[0] : span;
  }

  /** The spans that scheduled its first dependencies, as far as the claim has read them. */
  get dependedOn(): readonly string[] {
    const span = this.run.spans?.[this.id];
    return typeof span === "object" && span !== null ? span.slice(1) as string[] : [];
  }
}

/** A run as the statement returns it, with the milliseconds for which it has been due. */
export type TakenRun = [claimSeq: number, quarantined: boolean, funcName: string, queue: string, waited: number];

/**
 * Tasks of one run as the statement returns them: the place of the run, from 1, what is common to them once, their params
 * as one text, and their ids where these are not just those from the first on.
 */
export type ClaimedGroup = [
  ordinal: number,
  maxRetries: number | null,
  retryDelay: number | string | null,
  rest: Rest | null,
  count: number,
  first: number,
  ids: number[] | null,
  params: string,
];

/** The columns that have defaults in most tasks: one NULL in their place costs less than eight. */
type Rest =
  & Pick<
    ClaimedRun,
    "attempt" | "retryAttempts" | "snoozes" | "backoff" | "timeout" | "concurrencyKey" | "rateKey" | "hasSlots"
  >
  & {
    /** Null for false. A task of which it is true has a number of snoozes, and so is not among those without a \`Rest\`. */
    readonly compensates: boolean | null;
  };

const NOTHING_ELSE: Rest = {
  attempt: 1,
  retryAttempts: 0,
  snoozes: 0,
  backoff: null,
  timeout: null,
  compensates: null,
  concurrencyKey: null,
  rateKey: null,
  hasSlots: true,
};

/** What a claim knows of a group beside it. `now` is the time of its reply by `performance.now()`. */
interface GroupContext {
  readonly run: TakenRun;
  readonly batchId: string;
  readonly quarantinedBatchId: string | null;
  readonly spans: Spans | undefined;
  readonly now: number;
}

/** Adds the tasks of a group. It reads the group by index: to destructure it would cost more than all the rest. */
export function addTasks(tasks: ClaimedTask[], group: ClaimedGroup, context: GroupContext): void {
  const of = context.run;
  const rest = group[3] ?? NOTHING_ELSE;
  const count = group[4];
  const first = toNumber(group[5]);
  const ids = group[6];
  const params = count === 1 ? [group[7]] : group[7].split(",");
  const run: ClaimedRun = {
    claimSeq: of[0],
    batchId: of[1] ? context.quarantinedBatchId! : context.batchId,
    quarantined: of[1],
    funcName: of[2],
    queue: of[3],
    maxRetries: group[1],
    // JSON has infinity only as a text.
    retryDelay: group[2] === null ? null : Number(group[2]),
    attempt: rest.attempt,
    retryAttempts: rest.retryAttempts,
    snoozes: rest.snoozes,
    backoff: rest.backoff,
    timeout: rest.timeout && Number(rest.timeout),
    compensates: rest.compensates === true,
    concurrencyKey: rest.concurrencyKey,
    rateKey: rest.rateKey,
    hasSlots: rest.hasSlots,
    due: context.now - of[4],
    spans: context.spans,
  };
  for (let i = 0; i < count; i++) tasks.push(new ClaimedTask(ids ? ids[i]! : first + i, params[i] || null, run));
}
