import type { Tag } from "../database/driver.ts";
import { acquireWakeLocks, releaseWakeLocks } from "../store/wake_lock.ts";

/** What a consumer found when it looked for tasks. */
export interface Look {
  /** Whether it had all its doors when it began to look. */
  readonly held: boolean;
  /** Whether it had room for more tasks. */
  readonly room: boolean;
  /** How many it claimed. */
  readonly claimed: number;
}

/** What it does next: leave its doors and look again or sleep, look again as it is, take its doors, or sleep. */
export type Step = "leave and look" | "leave and sleep" | "look" | "take" | "sleep";

/**
 * What a consumer does after it has looked for tasks.
 *
 * Who sleeps and wants to be notified must have looked with the door in hand. Who is at work leaves it, so that nobody rings:
 * it will look anyway. One task alone is no work: they come slowly, and each may ring.
 */
export function nextStep({ held, room, claimed }: Look): Step {
  if (!room) return "leave and sleep";
  if (claimed > 1) return "leave and look";
  if (held) return "sleep";
  return claimed > 0 ? "look" : "take";
}

/** Milliseconds until a consumer looks again that did not get its doors: others have them, or are about to commit. */
const RETRY_DELAYS = [2, 10, 50, 250];
/** The same from then on, give or take a tenth: for as long a task may wait whose holder was killed. */
const RETRY_DELAY = 900;

/** What doors belong to. */
export interface WakeLockOptions {
  readonly queues: string[];
  readonly consumerId: () => string;
  /** The tag of the connection that listens, another one for each connection; undefined while nothing is heard. */
  readonly listening: () => Tag | undefined;
  /** Called when all doors are taken. */
  readonly onTaken: () => void;
  /** Called when doors could not be taken or left: they go with the connection. */
  readonly onError: (error: unknown) => void;
}

/**
 * The doors of a consumer's queues. While somebody stands at the door of a queue, whoever makes a task ready there
 * notifies; while nobody does, NOTIFY is saved. Each is an advisory lock of the connection that listens.
 */
export class WakeLock {
  readonly #options: WakeLockOptions;
  readonly #taken = new Set<string>();
  /** The connection that has them. */
  #at: Tag | undefined;
  #taking: Promise<void> | undefined;
  #tries = 0;

  constructor(options: WakeLockOptions) {
    this.#options = options;
  }

  /** Whether all doors are taken: whatever comes in from now on rings. */
  get taken(): boolean {
    return this.#current().size === this.#options.queues.length;
  }

  /** Milliseconds to sleep at most; undefined if somebody will ring, or nothing would be heard. */
  get retryIn(): number | undefined {
    if (this.taken || !this.#at) return undefined;
    return RETRY_DELAYS[Math.max(0, this.#tries - 1)] ?? RETRY_DELAY * (0.9 + 0.2 * Math.random());
  }

  /** Notes that something is going on: the next tries to take the doors follow close upon each other again. */
  expect(): void {
    this.#tries = 0;
  }

  /**
   * Tries to take the doors that are not taken, and calls `onTaken` when all are: look for tasks once more then, before
   * you sleep. It is not waited for, since the connection may be dead without a sign.
   */
  take(): void {
    const taken = this.#current();
    const sql = this.#at;
    if (!sql || this.#taking) return;
    this.#tries++;
    const missing = this.#options.queues.filter((queue) => !taken.has(queue));
    this.#taking = acquireWakeLocks(sql, missing).then((got) => {
      if (sql !== this.#at) return;
      for (const queue of got) taken.add(queue);
      if (this.taken) this.#options.onTaken();
    }).catch(this.#options.onError).finally(() => this.#taking = undefined);
  }

  /** Leaves all doors. It is not waited for: what follows on the connection comes after it. */
  leave(): void {
    const queues = [...this.#current()];
    if (queues.length === 0) return;
    this.#taken.clear();
    releaseWakeLocks(this.#at!, { queues, consumerId: this.#options.consumerId() }).catch(this.#options.onError);
  }

  /** The doors that are taken. With the connection they are lost. */
  #current(): Set<string> {
    const at = this.#options.listening();
    if (at !== this.#at) {
      this.#at = at;
      this.#taken.clear();
    }
    return this.#taken;
  }
}
