import { randomUUID } from "node:crypto";
import type { Admission } from "./admission.ts";
import type { AttemptEnvironment } from "../attempt/environment.ts";
import type { HeldTasks } from "./held_tasks.ts";
import { nextStep, WakeLock } from "../notify/wake_lock.ts";
import { decryptTasks } from "../privacy/encryption.ts";
import { DatabaseUnreachable } from "../errors.ts";
import { ClaimBudget } from "./claim_budget.ts";
import type { ConsumerLease } from "./consumer_lease.ts";
import type { Listener } from "../notify/listener.ts";
import type { Outages } from "../outages.ts";
import { claimTasks } from "../store/claim.ts";
import { promoteDueTasks } from "../store/waiting.ts";
import { ReadyVacuum } from "./vacuum_ready.ts";
import { Wakeup } from "../wakeup.ts";

/** What the loop works with. Durations are in seconds. */
export interface ClaimLoopOptions {
  readonly env: AttemptEnvironment;
  readonly claims: HeldTasks;
  readonly admission: Admission;
  readonly lease: ConsumerLease;
  readonly listener: Listener;
  readonly outages: Outages;
  readonly queues: string[];
  /** The names of the tasks that the consumer knows. */
  readonly names: string[];
  readonly concurrency: number;
  readonly maxTasks: number;
  readonly pollInterval: number;
  /** Whether there is an end: when nothing is left to do. */
  readonly drain: boolean;
  /** Called when all is done that there was to do. */
  readonly onDone: () => void;
}

/** How long to wait before due tasks are looked for again, in milliseconds. */
const DUE_PAUSE = 5;
/** How many tasks begin before the event loop goes on: handlers that never wait would keep it from all else. */
const BURST = 50;
/** Milliseconds that one turn may take at most, its sleep aside: a few statements miss their deadlines. */
const LONGEST_TURN = 120_000;

/** Claims what there is room for, begins what there is a slot for, and sleeps if there is neither. */
export class ClaimLoop {
  readonly #options: ClaimLoopOptions;
  readonly #intake: ClaimBudget;
  readonly #wakeLock: WakeLock;
  readonly #vacuum: ReadyVacuum;
  readonly #wakeup = new Wakeup();
  /** The leases of the claim under way. */
  #claiming: string[] = [];
  /** How many tasks may begin before the event loop goes on. */
  #burst = BURST;
  #beginning = false;
  /** Whether the last look had no room for all that is ready. */
  #mayBeMore = true;
  #begunAt = performance.now();
  #goOn: ReturnType<typeof setImmediate> | undefined;
  #failures = 0;
  #nextDue: number | null = null;
  #ended = false;
  #loopedAt = performance.now();

  constructor(options: ClaimLoopOptions) {
    const { env, claims, lease, listener, outages, queues, concurrency, maxTasks } = options;
    this.#options = options;
    this.#intake = new ClaimBudget({
      concurrency,
      maxTasks,
      claims,
      settler: env.settler,
      isLeased: () => lease.valid,
    });
    this.#vacuum = new ReadyVacuum(env.sql, outages.of("clear away what was claimed"));
    this.#wakeLock = new WakeLock({
      queues,
      consumer: lease,
      listener,
      onAcquired: () => this.#wakeup.wake(),
      onError: (error) => {
        // The listener reports the loss of its connection.
        if (!(error instanceof DatabaseUnreachable)) outages.report("acquire wake locks", error);
      },
    });
  }

  /** The leases of the claim under way. */
  get claiming(): readonly string[] {
    return this.#claiming;
  }

  /** Whether it still turns. */
  get turns(): boolean {
    return this.#ended || performance.now() - this.#loopedAt < this.#options.pollInterval * 1100 + LONGEST_TURN;
  }

  /** Looks again: there may be something. */
  wake(): void {
    this.#wakeLock.resetRetries();
    this.#wakeup.wake();
  }

  /** A slot is free: begins the next task, and looks for more, unless there was none and whoever brings some will ring. */
  freed(): void {
    this.begin();
    const isSure = !this.#mayBeMore && this.#wakeLock.held;
    if (!isSure || this.#options.drain || this.#intake.claimsQuarantined) this.#wakeup.wake();
  }

  /** Goes on until {@linkcode ClaimLoop.end} is called. */
  async run(): Promise<void> {
    while (!this.#ended) await this.#turn();
    await this.#vacuum.idle();
  }

  /** Claims and begins no more. */
  end(): void {
    this.#ended = true;
    this.#wakeLock.release();
    this.#wakeup.wake();
  }

  /** Begins claimed tasks while there are slots, a few at once: statements are sent, and replies read, in between. */
  begin(): void {
    const { claims, maxTasks, onDone } = this.#options;
    if (this.#beginning) return; // a task that has ended while it began
    this.#beginning = true;
    const { begun } = claims;
    while (!this.#ended && this.#burst > 0 && this.#intake.mayBegin && claims.beginNext()) this.#burst--;
    if (claims.begun > begun) this.#begunAt = performance.now();
    this.#beginning = false;
    if (this.#burst === 0) this.#goOn ??= setImmediate(() => this.#beginMore());
    if (claims.begun >= maxTasks && claims.isEmpty) onDone();
  }

  #beginMore(): void {
    this.#goOn = undefined;
    this.#burst = BURST;
    this.begin();
  }

  async #turn(): Promise<void> {
    this.#loopedAt = performance.now();
    const { claims, admission, outages, drain, onDone } = this.#options;
    const { wanted } = this.#intake;
    const { admitted } = admission;
    const [wasEmpty, held] = [claims.isEmpty, this.#wakeLock.held];
    let claimed = 0;
    if (wanted > 0 || this.#intake.claimsQuarantined) {
      try {
        claimed = await this.#claim(wanted);
        outages.recovered("claim tasks");
        this.#failures = 0;
      } catch (error) {
        outages.report("claim tasks", error);
        return await this.#wakeup.sleep(Math.min(200 * 2 ** this.#failures++, 5000));
      }
    }
    this.#mayBeMore = claimed >= wanted;
    if (claimed > 0) this.#wakeLock.resetRetries();
    this.begin();
    if (this.#ended) return;
    this.#returnStuck();
    const step = nextStep({ held, room: wanted > 0, claimed });
    if (step.lock === "release") this.#wakeLock.release();
    if (claimed > 0 && claimed >= wanted) return;
    if (this.#isDue()) return await this.#wakeup.sleep(DUE_PAUSE);
    const isDone = claims.isEmpty && admission.isIdle && admission.admitted === admitted;
    if (drain && wanted > 0 && isDone) {
      // What ended while the claim was under way may have gone back to where it had looked already: look once more.
      return wasEmpty ? onDone() : undefined;
    }
    if (!step.sleep) return;
    if (step.lock === "acquire") this.#wakeLock.acquire();
    await this.#wakeup.sleep(this.#pause(step.lock === "acquire"));
  }

  /** Claims up to `limit` tasks, and a quarantined task; resolves to how many rows that took, stale ones included. */
  async #claim(limit: number): Promise<number> {
    const { env: { sql, keys }, claims, admission, lease, queues, names } = this.#options;
    const [batchId, quarantinedBatchId] = [randomUUID(), claims.hasQuarantined ? null : randomUUID()];
    this.#claiming = quarantinedBatchId ? [batchId, quarantinedBatchId] : [batchId];
    try {
      if (this.#isDue()) admission.ask(await promoteDueTasks(sql, queues));
      const request = { consumerId: lease.id, batchId, quarantinedBatchId, queues, names, limit };
      const { alive, tasks, taken, nextDue } = await claimTasks(sql, request);
      this.#nextDue = nextDue === null ? null : performance.now() + nextDue * 1000;
      this.#vacuum.note(taken);
      this.#intake.note({ limit, soughtQuarantined: quarantinedBatchId !== null, tasks, taken });
      await claims.add(keys ? await decryptTasks(tasks, keys) : tasks);
      if (!alive) await lease.renew();
      return taken;
    } finally {
      this.#claiming = [];
    }
  }

  /** Hands back what has waited for a slot for too long: its neighbours are long, and others may have slots free. */
  #returnStuck(): void {
    const { claims, outages } = this.#options;
    if ((this.#intake.bufferTimeLeft(this.#begunAt) ?? Infinity) > 0) return;
    this.#intake.reset();
    claims.release().catch((error) => outages.report("hand back what has no slot", error));
  }

  #isDue(): boolean {
    return this.#nextDue !== null && this.#nextDue <= performance.now() && this.#intake.free > 0;
  }

  /**
   * Milliseconds until the next look: when a task is due, sooner without the doors if it wants them, and at the latest
   * after the poll interval.
   */
  #pause(wantsDoors: boolean): number {
    const poll = this.#options.pollInterval * 1000 * (0.9 + 0.2 * Math.random());
    const stuck = this.#intake.bufferTimeLeft(this.#begunAt);
    const longest = Math.min(poll, (wantsDoors ? this.#wakeLock.retryIn : undefined) ?? poll, stuck ?? poll);
    if (this.#nextDue === null || this.#intake.free <= 0) return longest;
    return Math.min(longest, Math.max(1, this.#nextDue - performance.now()));
  }
}
