import { type Firefly, TaskFailed, type TaskRecord } from "../../mod.ts";
import { Random } from "../../tests/support/random.ts";
import { insist } from "./database.ts";
import { noteTold } from "./ledger.ts";
import * as tasks from "./tasks.ts";

/** What goes on at the same time at most; more is held back, and counted. */
const MOST_UNDER_WAY = 1000;
/** Longer than any test lasts: what is put off so far is cancelled or deleted before. */
const LATER = "1h";

/** What the load saw. */
export interface LoadCounts {
  scheduled: number;
  /** Calls that did not go through, since the database was away. */
  refused: number;
  heldBack: number;
  /** Results that came, and were not what they must be. */
  wrong: number;
  /** Waits that broke off, each with the first words of why. */
  readonly broken: string[];
}

/** Schedules a mix of tasks at a steady rate, and does with them what users do. */
export class Load {
  readonly counts: LoadCounts = { scheduled: 0, refused: 0, heldBack: 0, wrong: 0, broken: [] };
  readonly #ff: Firefly;
  readonly #url: string;
  readonly #random: Random;
  readonly #underWay = new Set<Promise<void>>();
  #told: { scheduled: number[]; cancelled: number[] } = { scheduled: [], cancelled: [] };
  #n = 0;

  constructor(ff: Firefly, url: string, seed: number) {
    [this.#ff, this.#url, this.#random] = [ff, url, new Random(seed ^ 0x5eed)];
  }

  /** Goes on until the signal aborts. */
  async run(rate: number, signal: AbortSignal): Promise<void> {
    const started = performance.now();
    const chores = this.#doChores(signal);
    for (let due = 0; !signal.aborted;) {
      for (const now = (performance.now() - started) * rate / 1000; due < now; due++) this.#begin();
      await sleep(10);
    }
    await chores;
  }

  /** Lets everything come to its end that was put off. */
  async settle(timeout: number): Promise<void> {
    const until = performance.now() + timeout;
    while (this.#underWay.size > 0 && performance.now() < until) await sleep(50);
    if (this.#underWay.size > 0) this.#breakOff(new Error(`${this.#underWay.size} waits have not ended`));
    await insist(() => this.#doRound());
  }

  #begin(): void {
    if (this.#underWay.size >= MOST_UNDER_WAY) return void this.counts.heldBack++;
    const n = ++this.#n;
    const life = this.#one(this.#random.below(100), n)
      .catch((error) => this.#breakOff(error))
      .finally(() => this.#underWay.delete(life));
    this.#underWay.add(life);
  }

  /** One task of the mix, from scheduling to what is done with it. */
  async #one(percent: number, n: number): Promise<void> {
    if (percent < 30) await this.#schedule(() => tasks.plain.schedule(n));
    else if (percent < 55) await this.#schedule(() => tasks.effect.schedule(n));
    else if (percent < 63) await this.#schedule(() => tasks.flaky.schedule(n));
    else if (percent < 71) await this.#schedule(() => tasks.delayed.with({ delay: 1 + n % 5 }).schedule(n));
    else if (percent < 77) await this.#schedule(() => tasks.unique.schedule(n % 20));
    else if (percent < 83) await this.#schedule(() => tasks.limited.schedule(n));
    else if (percent < 85) await this.#schedule(() => tasks.parked.with({ delay: LATER }).schedule(n));
    else if (percent < 87) await this.#schedule(() => tasks.doomed.with({ delay: LATER }).schedule(n));
    else if (percent < 93) await this.#await(n);
    else if (percent < 95) await this.#watch(n);
    else if (percent < 97) await this.#retry(n);
    else if (percent < 99) {
      await this.#cancel(await this.#schedule(() => tasks.waiting.with({ delay: LATER }).schedule(n)));
    } else await this.#cancel(await this.#schedule(() => tasks.running.schedule(n)));
  }

  /** Schedules once: a call that failed may have come through, and the ledger in the database knows. */
  async #schedule<R extends TaskRecord>(act: () => PromiseLike<R>): Promise<R | undefined> {
    try {
      const record = await this.#ff.run(act);
      this.#told.scheduled.push(record.id);
      this.counts.scheduled++;
      return record;
    } catch {
      this.counts.refused++;
      return undefined;
    }
  }

  async #await(n: number): Promise<void> {
    const record = await this.#schedule(() => tasks.awaited.schedule(n));
    const result = record && await insist(() => record.result({ timeout: "60s" }));
    if (result && (result as { twice: bigint }).twice !== 2n * BigInt(n)) this.counts.wrong++;
  }

  async #watch(n: number): Promise<void> {
    const record = await this.#schedule(() => tasks.watched.schedule(n));
    if (!record) return;
    await insist(async () => {
      let last: TaskRecord = record;
      for await (const now of record.watch()) last = now;
      if (last.status !== "completed" || last.returned !== n) this.counts.wrong++;
    });
  }

  async #retry(n: number): Promise<void> {
    const record = await this.#schedule(() => tasks.hopeless.schedule(n));
    if (!record) return;
    await insist(() => untilFailed(record));
    await insist(() => record.retry());
  }

  async #cancel(record: TaskRecord | undefined): Promise<void> {
    if (!record) return;
    await sleep(200 + this.#random.below(1500));
    if (await insist(() => record.cancel())) this.#told.cancelled.push(record.id);
  }

  /** What users do with many tasks at once, every few seconds. */
  async #doChores(signal: AbortSignal): Promise<void> {
    for (let round = 0; !signal.aborted; round++) {
      await sleep(1000);
      if (round % 4 === 0) await this.#doRound().catch(() => {}); // the next one does it all
    }
  }

  async #doRound(): Promise<void> {
    const told = this.#told;
    this.#told = { scheduled: [], cancelled: [] };
    for (const what of ["scheduled", "cancelled"] as const) {
      if (told[what].length === 0) continue;
      await noteTold(this.#url, what, told[what]).catch((error) => {
        this.#told[what].push(...told[what]);
        throw error;
      });
      told[what].length = 0;
    }
    const parked = { funcName: tasks.parked.funcName };
    await this.#ff.tasks.cancel({ ...parked, status: "created" });
    await this.#ff.tasks.retry({ ...parked, status: "cancelled" });
    await this.#ff.tasks.delete({ funcName: tasks.doomed.funcName });
    await this.#ff.prune();
  }

  #breakOff(error: unknown): void {
    if (this.counts.broken.length < 100) this.counts.broken.push(String(error).slice(0, 300));
  }
}

async function untilFailed(record: TaskRecord): Promise<void> {
  try {
    await record.result({ timeout: "60s" });
  } catch (error) {
    if (!(error instanceof TaskFailed)) throw error;
  }
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
