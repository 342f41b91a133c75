import type { Tag } from "../database/driver.ts";
import { acquireWakeLocks, releaseWakeLocks } from "../store/wake_lock.ts";

/** What a consumer found when it looked for tasks. */
export interface Look {
  /** Whether it held all of its wake locks when the look began. */
  readonly held: boolean;
  /** Whether it had room for more tasks. */
  readonly room: boolean;
  /** How many tasks it claimed. */
  readonly claimed: number;
}

/** What a consumer does after a look: with its wake locks, and whether it sleeps before the next look. */
export interface Step {
  readonly lock: "acquire" | "release" | "keep";
  readonly sleep: boolean;
}

/**
 * Decides what a consumer does after it has looked for tasks.
 *
 * Before a consumer sleeps in reliance on a notification, it must look once while it holds the lock. A busy consumer
 * releases the lock, so that producers save NOTIFY: it looks again anyway. One task is not busy: such tasks come slowly,
 * and each may send a notification.
 */
export function nextStep({ held, room, claimed }: Look): Step {
  if (!room) return { lock: "release", sleep: true };
  if (claimed > 1) return { lock: "release", sleep: false };
  if (held) return { lock: "keep", sleep: true };
  if (claimed > 0) return { lock: "keep", sleep: false };
  return { lock: "acquire", sleep: true };
}

/**
 * Milliseconds until a consumer looks again that could not acquire its wake locks: other consumers hold them, or
 * transactions that are about to commit do.
 */
const RETRY_DELAYS = [2, 10, 50, 250];
/**
 * Milliseconds between all later tries, give or take a tenth: the longest that a task can wait after the lock's holder
 * was killed.
 */
const RETRY_DELAY = 900;

/** What wake locks belong to. */
export interface WakeLockOptions {
  readonly queues: readonly string[];
  /** Whether the listener hears the channel of a queue, and its wake lock may be taken. @default all of them */
  readonly isHeard?: (queue: string) => boolean;
  readonly consumer: { readonly id: string };
  /** `listening` is the tag of the connection that listens, a new one for each; undefined while no notification arrives. */
  readonly listener: { readonly listening: Tag | undefined };
  /** Called when all wake locks are held. */
  readonly onAcquired: () => void;
  /** Called when wake locks could not be acquired or released: they end with the connection. */
  readonly onError: (error: unknown) => void;
}

/**
 * The wake locks of a consumer's queues. While a consumer holds the lock of a queue, each transaction that makes a task
 * ready there sends a notification; while none does, NOTIFY is saved. Each lock is an advisory lock of the connection
 * that listens. See docs/waking.md.
 */
export class WakeLock {
  readonly #options: WakeLockOptions;
  readonly #held = new Set<string>();
  /** The connection that holds them. */
  #connection: Tag | undefined;
  #acquiring: Promise<void> | undefined;
  #tries = 0;

  constructor(options: WakeLockOptions) {
    this.#options = options;
  }

  /** Whether all wake locks are held: every task that becomes ready from now on sends a notification. */
  get held(): boolean {
    const held = this.#current();
    return this.#options.queues.every((queue) => held.has(queue));
  }

  /** How many wake locks are held. */
  get count(): number {
    return this.#current().size;
  }

  /**
   * Milliseconds to sleep at most before the next try; undefined if a notification ends the sleep, or if none can arrive.
   */
  get retryIn(): number | undefined {
    if (this.held || !this.#connection) return undefined;
    return RETRY_DELAYS[Math.max(0, this.#tries - 1)] ?? RETRY_DELAY * (0.9 + 0.2 * Math.random());
  }

  /** Starts the delays between tries anew, since tasks are coming in. */
  resetRetries(): void {
    this.#tries = 0;
  }

  /**
   * Tries to acquire the wake locks that are not held, and calls `onAcquired` once all are: look for tasks once more
   * before you sleep then. Not awaited, since the connection may be dead without a sign.
   */
  acquire(): void {
    const held = this.#current();
    const sql = this.#connection;
    if (!sql || this.#acquiring) return;
    this.#tries++;
    const { queues, isHeard = () => true } = this.#options;
    const missing = queues.filter((queue) => !held.has(queue) && isHeard(queue));
    if (missing.length === 0) return;
    this.#acquiring = acquireWakeLocks(sql, missing).then((acquired) => {
      if (sql !== this.#connection) return;
      for (const queue of acquired) held.add(queue);
      if (this.held) this.#options.onAcquired();
    }).catch(this.#options.onError).finally(() => this.#acquiring = undefined);
  }

  /** Releases all wake locks. Not awaited: later statements of the connection run after it. */
  release(): void {
    const queues = [...this.#current()];
    if (queues.length === 0) return;
    this.#held.clear();
    releaseWakeLocks(this.#connection!, { queues, consumerId: this.#options.consumer.id }).catch(this.#options.onError);
  }

  /** The wake locks that are held. They are lost with the connection. */
  #current(): Set<string> {
    const connection = this.#options.listener.listening;
    if (connection !== this.#connection) {
      this.#connection = connection;
      this.#held.clear();
    }
    return this.#held;
  }
}
