import { randomUUID } from "node:crypto";
import type { Admission } from "./admission.ts";
import { Bursts } from "./bursts.ts";
import type { Dependants } from "./dependants.ts";
import type { AttemptEnvironment } from "../attempt/environment.ts";
import type { HeldTasks } from "./held_tasks.ts";
import { type Look, nextStep, WakeLock } from "../notify/wake_lock.ts";
import { decryptTasks } from "../privacy/encryption.ts";
import { DatabaseUnreachable } from "../errors.ts";
import { ClaimBudget } from "./claim_budget.ts";
import type { ConsumerLease } from "./consumer_lease.ts";
import type { Listener } from "../notify/listener.ts";
import type { Outages } from "../outages.ts";
import { type Claim, claimTasks } from "../store/claim.ts";
import { queueChannel } from "../store/listen.ts";
import { promoteDueTasks } from "../store/waiting.ts";
import type { ServedQueues } from "./served_queues.ts";
import { ReadyVacuum } from "./vacuum_ready.ts";
import { Wakeup } from "../wakeup.ts";

/** The parts of a consumer that its claim loop works with. */
export interface ClaimLoopParts {
  readonly held: HeldTasks;
  readonly admission: Admission;
  readonly dependants: Dependants;
  readonly lease: ConsumerLease;
  readonly listener: Listener;
  readonly outages: Outages;
  readonly queues: ServedQueues;
  /** Called when nothing is left to do, by `drain` or `maxTasks`. */
  readonly onDone: () => void;
}

/** What one turn of the loop found. */
interface Found extends Look {
  /** How many tasks there was room for. */
  readonly wanted: number;
  /** Whether other transactions keep ready tasks locked, so that there may be more. */
  readonly contended: boolean;
  /** Whether the claim failed. */
  readonly failed: boolean;
  /** Whether the consumer held nothing before the claim. */
  readonly wasEmpty: boolean;
  /** How many limited tasks had been admitted before the claim. */
  readonly admitted: number;
  /** How many dependants had been released before the claim. */
  readonly released: number;
}

/** Milliseconds before the loop looks again for tasks that are due. */
const DUE_PAUSE = 5;
/**
 * Milliseconds before the loop looks again for tasks that others have locked: a claim takes no longer. Doubled while that
 * finds none, up to the longest, as a transaction of the user's may have locked them.
 */
const [CONTENDED_PAUSE, LONGEST_CONTENDED_PAUSE] = [1, 50];
/** The longest that one turn may take without its sleep, in milliseconds: a few statements miss their deadlines. */
const LONGEST_TURN = 120_000;
/** Milliseconds before a claim that failed is tried again: doubled with each failure, up to the longest. */
const [RETRY_DELAY, LONGEST_RETRY_DELAY] = [200, 5000];

/** Claims tasks while there is room, begins them while slots are free, and sleeps in between. */
export class ClaimLoop {
  readonly #env: AttemptEnvironment;
  readonly #parts: ClaimLoopParts;
  readonly #budget: ClaimBudget;
  readonly #wakeLock: WakeLock;
  readonly #vacuum: ReadyVacuum;
  readonly #wakeup = new Wakeup();
  readonly #bursts = new Bursts(() => this.#begin());
  /** The batches of the claim in progress. */
  #claiming: string[] = [];
  #beginning = false;
  /** Whether the last claim had no room for all that is ready. */
  #mayBeMore = true;
  #lastBegan = performance.now();
  #failures = 0;
  /** How many looks in a row have found only tasks that others had locked. */
  #contended = 0;
  #nextDue: number | null = null;
  /** Until when the loop sleeps at the latest. */
  #sleepsUntil = 0;
  #ended = false;
  #turnedAt = performance.now();

  constructor(env: AttemptEnvironment, parts: ClaimLoopParts) {
    const { lease, listener, outages, queues } = parts;
    this.#env = env;
    this.#parts = parts;
    this.#budget = new ClaimBudget(env, parts);
    this.#vacuum = new ReadyVacuum(env.sql, outages.of("vacuum the ready table"));
    this.#wakeLock = new WakeLock({
      get queues() {
        return queues.names;
      },
      isHeard: (queue) => queues.areLockable && listener.hears(queueChannel(env.sql.schemaName, queue)),
      consumer: lease,
      listener,
      onAcquired: () => this.#wakeup.wake(),
      onError: (error) => {
        // The listener reports the loss of its connection.
        if (!(error instanceof DatabaseUnreachable)) outages.report("acquire wake locks", error);
      },
    });
    env.slots.onRoom = () => this.#onRoom();
    env.slots.onDelayed = (seconds) => this.#onDelayed(seconds);
  }

  /** The batches of the claim in progress. */
  get claiming(): readonly string[] {
    return this.#claiming;
  }

  /** Whether the loop turns as often as it should, or has ended. */
  get responsive(): boolean {
    const longest = this.#env.config.pollIntervalMs * 1.1 + LONGEST_TURN;
    return this.#ended || performance.now() - this.#turnedAt < longest;
  }

  /** How many wake locks it holds. */
  get wakeLocks(): number {
    return this.#wakeLock.count;
  }

  /** Looks for tasks again. */
  wake(): void {
    this.#wakeLock.resetRetries();
    this.#wakeup.wake();
  }

  /** Claims by the number of slots that there are now. */
  resize(): void {
    this.#budget.reset();
    this.#onRoom();
    this.wake();
  }

  /** Runs until {@linkcode ClaimLoop.end} is called. */
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

  async #turn(): Promise<void> {
    this.#turnedAt = performance.now();
    // What is settled during the look, it may have missed.
    this.#sleepsUntil = this.#turnedAt + this.#env.config.pollIntervalMs;
    const found = await this.#claim();
    this.#begin();
    const pause = this.#decide(found);
    this.#sleepsUntil = performance.now() + pause;
    if (pause > 0) await this.#wakeup.sleep(pause);
  }

  /** Claims as many tasks as there is room for. */
  async #claim(): Promise<Found> {
    const { held, admission: { admitted }, dependants: { released }, outages } = this.#parts;
    const { wanted, claimsQuarantined } = this.#budget;
    const before = { wanted, room: wanted > 0, held: this.#wakeLock.held, wasEmpty: held.isEmpty, admitted, released };
    let [claimed, contended] = [0, false];
    if (wanted > 0 || claimsQuarantined) {
      try {
        ({ taken: claimed, contended } = await this.#claimUpTo(wanted));
        outages.recovered("claim tasks");
        this.#failures = 0;
      } catch (error) {
        outages.report("claim tasks", error);
        return { ...before, claimed, contended, failed: true };
      }
    }
    this.#mayBeMore = contended || claimed >= wanted;
    if (claimed > 0) this.#wakeLock.resetRetries();
    return { ...before, claimed, contended, failed: false };
  }

  /** Claims up to `limit` tasks, and a quarantined task. */
  async #claimUpTo(limit: number): Promise<Pick<Claim, "taken" | "contended">> {
    const { sql, keys, tracing, config: { names, drain } } = this.#env;
    const { held, admission, lease, queues: served } = this.#parts;
    const [batchId, quarantinedBatchId] = [randomUUID(), held.hasQuarantined ? null : randomUUID()];
    this.#claiming = quarantinedBatchId ? [batchId, quarantinedBatchId] : [batchId];
    try {
      if (drain) await served.refresh(); // it must not end while a queue that is new has tasks
      const queues = served.names;
      if (this.#isDue()) admission.request(await promoteDueTasks(sql, queues));
      const { id: consumerId, processId } = lease;
      const span = tracing?.startClaim(queues);
      const traced = span?.attempts ?? 0;
      const request = { consumerId, processId, batchId, quarantinedBatchId, queues, names, limit, traced };
      const { alive, tasks, taken, rows, contended, spans, nextDue } = await claimTasks(sql, request);
      span?.end(tasks.length, spans);
      this.#nextDue = nextDue === null ? null : performance.now() + nextDue * 1000;
      this.#vacuum.note(rows);
      this.#budget.note({ limit, soughtQuarantined: quarantinedBatchId !== null, tasks, taken });
      if (keys) await decryptTasks(tasks, keys);
      await held.add(tasks);
      if (!alive) await lease.renew();
      return { taken, contended };
    } finally {
      this.#claiming = [];
    }
  }

  /** Begins claimed tasks while slots are free: a few at once, so that statements and replies get through in between. */
  #begin(): void {
    const { held, onDone } = this.#parts;
    if (this.#beginning) return; // called by a task that ended while it began
    this.#beginning = true;
    const { begun } = held;
    held.beginNext(this.#mayBegin);
    if (held.begun > begun) this.#lastBegan = performance.now();
    this.#beginning = false;
    this.#bursts.planNext();
    if (held.begun >= this.#env.config.maxTasks && held.isEmpty) onDone();
  }

  readonly #mayBegin = (now: number): boolean => {
    return !this.#ended && this.#budget.mayBegin && this.#bursts.allows(now);
  };

  /** Begins the next task, and looks for more unless the last look found none and a notification would bring some. */
  #onRoom(): void {
    this.#begin();
    const willBeNotified = !this.#mayBeMore && this.#wakeLock.held;
    if (!willBeNotified || this.#env.config.drain || this.#budget.claimsQuarantined) this.#wakeup.wake();
  }

  /** Looks again, to learn when to look next, if a task is due before the sleep would end: a time sends no notification. */
  #onDelayed(seconds: number): void {
    if (performance.now() + seconds * 1000 < this.#sleepsUntil) this.#wakeup.wake();
  }

  /** Acquires or releases the wake locks; returns how many milliseconds to sleep, 0 to look again at once. */
  #decide(found: Found): number {
    if (found.failed) return Math.min(RETRY_DELAY * 2 ** this.#failures++, LONGEST_RETRY_DELAY);
    if (this.#ended) return 0;
    this.#releaseOldBuffer();
    const { lock, sleep } = nextStep(found);
    if (lock === "release") this.#wakeLock.release();
    if (found.claimed > 0 && found.claimed >= found.wanted) return 0;
    this.#contended = found.contended && found.claimed === 0 ? this.#contended + 1 : 0;
    if (found.contended) return Math.min(CONTENDED_PAUSE * 2 ** this.#contended, LONGEST_CONTENDED_PAUSE);
    if (this.#isDue()) return DUE_PAUSE;
    if (this.#isDrained(found)) {
      // A task that ended during the claim may be back where the claim had looked already: look once more.
      if (found.wasEmpty) this.#parts.onDone();
      return 0;
    }
    if (!sleep) return 0;
    if (lock === "acquire") this.#wakeLock.acquire();
    return this.#pause(lock === "acquire");
  }

  /** Whether a consumer that drains found nothing, holds nothing, and admits and releases nothing. */
  #isDrained({ room, admitted, released }: Found): boolean {
    const { held, admission, dependants } = this.#parts;
    return this.#env.config.drain && room && held.isEmpty && admission.isIdle && admission.admitted === admitted &&
      dependants.isIdle && dependants.released === released;
  }

  /** Returns tasks that have waited too long for a slot: the running ones are long, and others may have slots free. */
  #releaseOldBuffer(): void {
    const { held, outages } = this.#parts;
    if ((this.#budget.bufferExpiresIn(this.#lastBegan) ?? Infinity) > 0) return;
    this.#budget.reset();
    held.release().catch((error) => outages.report("release tasks without a slot", error));
  }

  #isDue(): boolean {
    return this.#nextDue !== null && this.#nextDue <= performance.now() && this.#env.slots.free > 0;
  }

  /**
   * Milliseconds until the next look: when a task is due, sooner while the wake locks could not be acquired, and at the
   * latest after the poll interval, give or take a tenth.
   */
  #pause(acquires: boolean): number {
    const poll = this.#env.config.pollIntervalMs * (0.9 + 0.2 * Math.random());
    const retryIn = acquires ? this.#wakeLock.retryIn : undefined;
    const longest = Math.min(poll, retryIn ?? poll, this.#budget.bufferExpiresIn(this.#lastBegan) ?? poll);
    if (this.#nextDue === null || this.#env.slots.free <= 0) return longest;
    return Math.min(longest, Math.max(1, this.#nextDue - performance.now()));
  }
}
