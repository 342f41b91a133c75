import type { Backoff } from "../../../src/task/backoff.ts";
import { toNumber } from "./rows.ts";

export type Spans = Readonly<Record<number, string | null | readonly [string | null, ...string[]]>>;

export interface ClaimedRun {
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
  readonly compensates: boolean;
  readonly concurrencyKey: string | null;
  readonly rateKey: string | null;
  readonly hasSlots: boolean;
  readonly due: number;
  readonly spans: Spans | undefined;
}

export class ClaimedTask implements Omit<ClaimedRun, "spans"> {
  readonly id: number;
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

  get scheduledIn(): string | null | undefined {
    const span = this.run.spans?.[this.id];
    return typeof span === "object" && span !== null ? span[0] : span;
  }

  get dependedOn(): readonly string[] {
    const span = this.run.spans?.[this.id];
    return typeof span === "object" && span !== null ? span.slice(1) as string[] : [];
  }
}

export type TakenRun = [claimSeq: number, quarantined: boolean, funcName: string, queue: string, waited: number];

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

type Rest =
  & Pick<
    ClaimedRun,
    "attempt" | "retryAttempts" | "snoozes" | "backoff" | "timeout" | "concurrencyKey" | "rateKey" | "hasSlots"
  >
  & {
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

interface GroupContext {
  readonly run: TakenRun;
  readonly batchId: string;
  readonly quarantinedBatchId: string | null;
  readonly spans: Spans | undefined;
  readonly now: number;
}

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
