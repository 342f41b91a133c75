import { lateError, withDeadline } from "./deadline.ts";
import { type Build, type Client, discard, isSent, type Rows, setIdle } from "./driver.ts";
import { codeOf, isConnectionError, markConnectionError, READ_ONLY } from "./error_codes.ts";
import { InstanceClosed } from "../errors.ts";
import { LINGER } from "./linger.ts";

/** The SQLSTATE of a statement that runs in no transaction, as VACUUM. */
const ACTIVE_TRANSACTION = "25001";
/** How many milliseconds {@linkcode Pool.end} waits for statements under way. */
const END_TIMEOUT = 5_000;
/** How many milliseconds an unused connection stays open. */
const IDLE = 10_000;

/** A connection of a pool, and the statements under way on it. */
interface Member {
  readonly client: Client;
  /** In the order in which they were sent. */
  readonly queries: Map<ReturnType<Build>, Waiting>;
  /** When it last sent a statement or got an answer. */
  usedAt: number;
  timer?: ReturnType<typeof setTimeout> | undefined;
  /** Whether the process may end while it is open. */
  isIdle: boolean;
}

/** Who waits for the answer to a statement. */
interface Waiting {
  readonly since: number;
  reject(error: unknown): void;
}

/**
 * Connections for single statements. Each is a client of its own, discarded with its pending statements when its
 * connection is lost or misses a deadline: a client of this driver may swallow statements after its backend is gone.
 */
export class Pool {
  readonly #open: (onclose: () => void) => Client;
  readonly #max: number;
  readonly #deadline: number;
  readonly #idle: number;
  readonly #linger: number;
  readonly #begin: string | undefined;
  readonly #members = new Set<Member>();
  /** Connections that are being closed. */
  readonly #closing = new Set<Promise<void>>();
  #ended = false;

  /**
   * @param options `deadline`: milliseconds that a statement may take, 0 for no limit; `idle`: milliseconds that an unused
   * connection stays open; `begin`: the statement that begins a transaction, if each statement needs one of its own.
   */
  constructor(
    open: (onclose: () => void) => Client,
    { max, deadline, idle = IDLE, begin }: { max: number; deadline: number; idle?: number; begin?: string | undefined },
  ) {
    this.#open = open;
    this.#max = max;
    this.#deadline = deadline;
    this.#idle = idle;
    this.#linger = Math.min(LINGER, idle);
    this.#begin = begin;
  }

  /**
   * Runs one statement.
   *
   * @throws {InstanceClosed} If the pool has ended.
   */
  async run<T>(build: Build): Promise<Rows<T>> {
    if (this.#ended) throw new InstanceClosed();
    if (this.#begin === undefined) return await this.#run<T>(build);
    try {
      return await this.#runAround<T>(build, this.#begin);
    } catch (error) {
      if (codeOf(error) !== ACTIVE_TRANSACTION) throw error;
      return await this.#run<T>(build);
    }
  }

  /**
   * Runs one statement in a transaction of its own. The three are sent at once, and if the connection is lost between
   * them, the statement still does all or nothing.
   */
  async #runAround<T>(build: Build, begin: string): Promise<Rows<T>> {
    const member = this.#pick();
    const answers = await Promise.allSettled([
      this.#run((client) => client.unsafe(begin), member),
      this.#run<T>(build, member),
      this.#run((client) => client.unsafe("COMMIT"), member),
    ]);
    for (const answer of answers) if (answer.status === "rejected") throw answer.reason;
    return (answers[1] as PromiseFulfilledResult<Rows<T>>).value;
  }

  async #run<T>(build: Build, member: Member = this.#pick()): Promise<Rows<T>> {
    const query = build(member.client);
    const { promise, resolve, reject } = Promise.withResolvers<Rows<never>>();
    query.then(resolve as (rows: unknown) => void, reject);
    member.usedAt = performance.now();
    member.queries.set(query, { since: member.usedAt, reject });
    if (member.isIdle) this.#setIdle(member, false);
    this.#watch(member);
    try {
      return await promise as Rows<T>;
    } catch (error) {
      if (!isSent(query)) markConnectionError(error); // of connecting, whatever its code
      const isLost = isConnectionError(error);
      // Another connection may lead to a server that takes writes, as after a failover behind one address.
      if (isLost || codeOf(error) === READ_ONLY) this.#drop(member);
      throw isLost && this.#ended ? new InstanceClosed() : error;
    } finally {
      member.queries.delete(query);
      member.usedAt = performance.now();
      if (member.queries.size === 0 && !this.#members.has(member)) clearTimeout(member.timer);
    }
  }

  /**
   * Looks at a connection from time to time, as long as it is in use: rejects statements that miss their deadline, and
   * lets the process end once it is unused. Timers of their own would cost short statements a tenth of their time.
   */
  #watch(member: Member, ms = this.#linger): void {
    member.timer ??= setTimeout(() => {
      member.timer = undefined;
      const now = performance.now();
      for (const { since, reject } of member.queries.values()) {
        if (this.#deadline && now - since >= this.#deadline) reject(lateError(this.#deadline));
      }
      const left = member.usedAt + this.#linger - now;
      if (member.queries.size > 0) this.#watch(member);
      else if (left > 0) this.#watch(member, left);
      else if (this.#members.has(member)) this.#setIdle(member, true);
    }, ms);
  }

  /** Ends the pool once its statements have ended. From now on it rejects others. */
  async end(): Promise<void> {
    this.#ended = true;
    const queries = [...this.#members].flatMap((member) => [...member.queries.keys()]);
    await withDeadline(Promise.allSettled(queries), END_TIMEOUT).catch(() => {});
    this.abandon();
    await Promise.all(this.#closing);
  }

  /** Ends the pool with its statements. */
  abandon(): void {
    this.#ended = true;
    for (const member of this.#members) this.#drop(member);
  }

  /** Returns the connection with the fewest statements under way; a new one if none is idle and `max` allows it. */
  #pick(): Member {
    let best: Member | undefined;
    for (const member of this.#members) if (!best || member.queries.size < best.queries.size) best = member;
    if (best && (best.queries.size === 0 || this.#members.size >= this.#max)) return best;
    const member: Member = {
      client: this.#open(() => this.#drop(member)),
      queries: new Map(),
      usedAt: 0,
      isIdle: false,
    };
    this.#members.add(member);
    return member;
  }

  /** Lets the process end while the connection is unused, and closes it after a while. */
  #setIdle(member: Member, isIdle: boolean): void {
    clearTimeout(member.timer);
    member.timer = undefined;
    member.isIdle = isIdle;
    setIdle(member.client, isIdle);
    // Not the driver's own idle_timeout, which rejects statements that are sent while the connection closes.
    if (isIdle) member.timer = setTimeout(() => this.#drop(member), this.#idle - this.#linger).unref();
  }

  #drop(member: Member): void {
    if (!this.#members.delete(member)) return;
    if (member.queries.size === 0) clearTimeout(member.timer);
    if (member.isIdle) setIdle(member.client, false); // it closes in an orderly way
    // The driver would open another connection for a statement that it has not sent yet.
    for (const query of member.queries.keys()) if (!isSent(query)) query.cancel();
    const closing = discard(member.client).then(() => void this.#closing.delete(closing));
    this.#closing.add(closing);
  }
}
