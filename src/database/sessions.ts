import { InstanceClosed } from "../errors.ts";
import { LINGER } from "./linger.ts";
import type { Session } from "./session.ts";

/** How many milliseconds an unused session is kept. */
const IDLE_MS = 10_000;

/** A pool of sessions, each taken by one caller at a time: at most `max`, further callers wait. */
export class Sessions {
  readonly #open: () => Session;
  readonly #idleMs: number;
  /** Unused sessions, the last used last: it is taken next, as its process of the server has the warmest caches. */
  readonly #idle: { session: Session; since: number }[] = [];
  readonly #waiting: (() => void)[] = [];
  /** One timer for all: most sessions are used again long before. */
  #sweep: ReturnType<typeof setTimeout> | undefined;
  /** Whether the process may end while the unused sessions are open. */
  #isIdle = false;
  #taken = 0;
  #ended = false;
  /** How many sessions may be taken at a time. */
  max: number;

  constructor(open: () => Session, max: number, { idleMs = IDLE_MS }: { idleMs?: number } = {}) {
    this.#open = open;
    this.max = max;
    this.#idleMs = idleMs;
  }

  /**
   * Takes a session.
   *
   * @throws {InstanceClosed} If the pool has ended, or ends before one is free.
   */
  async take(): Promise<Session> {
    while (this.#taken >= this.max && !this.#ended) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.#ended) throw new InstanceClosed();
    this.#taken++;
    for (let idle; (idle = this.#idle.pop());) {
      if (idle.session.lost) continue;
      if (this.#isIdle) idle.session.setIdle(false);
      return idle.session;
    }
    return this.#open();
  }

  /** Gives a session back, to be reused or, if it is lost or in the middle of a statement, discarded. */
  giveBack(session: Session, reusable: boolean): void {
    this.#taken--;
    if (reusable && !session.lost && !session.isStale && !this.#ended) {
      this.#idle.push({ session, since: performance.now() });
      if (this.#isIdle || this.#sweep === undefined) this.#linger();
    } else session.discard();
    this.#waiting.shift()?.();
  }

  /** Keeps the process from ending for a moment, since a session that was used is often used again. */
  #linger(): void {
    this.#isIdle = false;
    clearTimeout(this.#sweep);
    this.#sweep = setTimeout(() => {
      this.#isIdle = true;
      for (const { session } of this.#idle) session.setIdle(true);
      this.#dropIdle();
    }, LINGER);
  }

  #dropIdle(): void {
    this.#sweep = undefined;
    const now = performance.now();
    while (this.#idle[0] && now - this.#idle[0].since >= this.#idleMs) this.#idle.shift()!.session.discard();
    const [oldest] = this.#idle;
    if (oldest) this.#sweep = setTimeout(() => this.#dropIdle(), this.#idleMs - (now - oldest.since)).unref();
  }

  /** Discards the unused sessions, and each other one when it is given back. From now on none can be taken. */
  end(): void {
    this.#ended = true;
    clearTimeout(this.#sweep);
    for (const { session } of this.#idle.splice(0)) session.discard();
    for (const wake of this.#waiting.splice(0)) wake();
  }
}
