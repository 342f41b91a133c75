import type { Closing } from "../closing.ts";
import type { ConnectionSettings } from "./settings.ts";
import { withDeadline } from "./deadline.ts";
import {
  type Build,
  type Client,
  connectedProcessOf,
  discard,
  isSent,
  makeTag,
  makeUserTag,
  openClient,
  type Rows,
  setIdle,
  type Tag,
  unreachableError,
} from "./driver.ts";
import { retryConflicts } from "./conflicts.ts";
import { codeOf, isConnectionError, markConnectionError, markOwnFailure, READ_ONLY } from "./error_codes.ts";
import { transactionControlOf } from "./transaction_control.ts";
import { FireflyError, InstanceClosed, SchemaMismatch } from "../errors.ts";
import { LINGER } from "./linger.ts";
import type { Sql } from "../sql.ts";

const UNDEFINED_TABLE = "42P01";
const UNDEFINED_FUNCTION = "42883";
const INVALID_SCHEMA = "3F000";
const PROTOCOL_VIOLATION = "08P01";

const STATEMENT_DEADLINE = 15_000;
/** How many milliseconds {@linkcode Pool.end} waits for statements under way. */
const END_TIMEOUT = 5_000;
/** How many milliseconds an unused connection stays open. */
const IDLE = 10_000;
/** The same for the connection that renews leases, by default every 10 s. */
const LEASE_IDLE = 15_000;

/** A connection of a pool, and the statements under way on it. */
interface Member {
  readonly client: Client;
  readonly queries: Set<ReturnType<Build>>;
  timer?: ReturnType<typeof setTimeout>;
  /** Whether the process may end while it is open. */
  isIdle: boolean;
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
  readonly #members = new Set<Member>();
  #ended = false;

  /**
   * @param options `deadline`: milliseconds that a statement may take, 0 for no limit; `idle`: milliseconds that an unused
   * connection stays open.
   */
  constructor(
    open: (onclose: () => void) => Client,
    { max, deadline, idle = IDLE }: { max: number; deadline: number; idle?: number },
  ) {
    this.#open = open;
    this.#max = max;
    this.#deadline = deadline;
    this.#idle = idle;
    this.#linger = Math.min(LINGER, idle);
  }

  /**
   * Runs one statement.
   *
   * @throws {InstanceClosed} If the pool has ended.
   */
  async run<T>(build: Build): Promise<Rows<T>> {
    if (this.#ended) throw new InstanceClosed();
    const member = this.#pick();
    const query = build(member.client);
    member.queries.add(query);
    clearTimeout(member.timer);
    if (member.isIdle) this.#setIdle(member, false);
    try {
      return await (this.#deadline ? withDeadline(query, this.#deadline) : query) as unknown as Rows<T>;
    } catch (error) {
      if (!isSent(query)) markConnectionError(error); // of connecting, whatever its code
      const isLost = isConnectionError(error);
      // Another connection may lead to a server that takes writes, as after a failover behind one address.
      if (isLost || codeOf(error) === READ_ONLY) this.#drop(member);
      throw isLost && this.#ended ? new InstanceClosed() : error;
    } finally {
      member.queries.delete(query);
      if (member.queries.size === 0 && this.#members.has(member)) {
        member.timer = setTimeout(() => this.#setIdle(member, true), this.#linger);
      }
    }
  }

  /** Ends the pool once its statements have ended. From now on it rejects others. */
  async end(): Promise<void> {
    this.#ended = true;
    const queries = [...this.#members].flatMap((member) => [...member.queries]);
    await withDeadline(Promise.allSettled(queries), END_TIMEOUT).catch(() => {});
    this.abandon();
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
    const member: Member = { client: this.#open(() => this.#drop(member)), queries: new Set(), isIdle: false };
    this.#members.add(member);
    return member;
  }

  /** Lets the process end while the connection is unused, and closes it after a while. */
  #setIdle(member: Member, isIdle: boolean): void {
    member.isIdle = isIdle;
    setIdle(member.client, isIdle);
    // Not the driver's own idle_timeout, which rejects statements that are sent while the connection closes.
    if (isIdle) member.timer = setTimeout(() => this.#drop(member), this.#idle - this.#linger).unref();
  }

  #drop(member: Member): void {
    if (!this.#members.delete(member)) return;
    clearTimeout(member.timer);
    if (member.isIdle) setIdle(member.client, false); // it closes in an orderly way
    // The driver would open another connection for a statement that it has not sent yet.
    for (const query of member.queries) if (!isSent(query)) query.cancel();
    discard(member.client);
  }
}

/**
 * Settings that fix the plans of the hot path, whatever the statistics say: a queue's tables are empty when they are
 * analyzed and hold 100,000 rows a minute later. Joins are planned once, as nested loops; the claim reads `ready` in the
 * order of its index instead of sorting it; and the cost that the planner then expects triggers no compilation.
 */
const HOT_PATH_PLANS = {
  plan_cache_mode: "force_generic_plan",
  enable_seqscan: "off",
  enable_bitmapscan: "off",
  jit: "off",
};

/** A client with one connection, which the pool ends. */
const POOL_MEMBER = { max: 1, idle_timeout: 0, max_lifetime: null };

/**
 * The connections to a database: a pool for the hot path, one for lists and bulk operations, one for users' statements,
 * a connection for inserts, and one for leases, so that no statement delays a renewal.
 */
export class Database {
  /** How to connect. */
  readonly settings: ConnectionSettings;
  /** The schema's name. */
  readonly schemaName: string;
  /** The tag for statements of the hot path. */
  readonly sql: Tag;
  /** The tag for inserting tasks: on one connection, so that they arrive in the order in which they were sent. */
  readonly inserts: Tag;
  /** The tag for consumers' leases, on a connection of its own. */
  readonly leaseConnection: Tag;
  /** The tag for lists, counts and bulk operations, whose plans follow the statistics of the tables. */
  readonly records: Tag;
  /** The tag for users. */
  readonly userSql: Sql;
  readonly #pool: Pool;
  readonly #insertPool: Pool;
  readonly #leasePool: Pool;
  readonly #recordPool: Pool;
  readonly #userPool: Pool;

  /**
   * Connects, and detects a pooler in between, unless one is declared. Gives up when it is closed meanwhile.
   *
   * @throws {DatabaseUnreachable} If it cannot connect.
   * @throws {InstanceClosed} If `closing` is closed meanwhile.
   */
  static async open(settings: ConnectionSettings, schemaName: string, closing?: Closing): Promise<Database> {
    const database = new Database(settings, schemaName);
    const forget = closing?.onClose(() => database.#abandon());
    try {
      if (settings.pooled || !await database.#isPooled()) return database;
    } catch (error) {
      await database.end();
      throw error;
    } finally {
      forget?.();
    }
    await database.end();
    return new Database({ ...settings, pooled: true }, schemaName);
  }

  constructor(settings: ConnectionSettings, schemaName: string) {
    this.settings = settings;
    this.schemaName = schemaName;
    const max = settings.options.max ?? 4;
    const limits = { statement_timeout: STATEMENT_DEADLINE };
    const open = (options: object) => (onclose: () => void) =>
      openClient(settings, { ...POOL_MEMBER, ...options, onclose });
    this.#pool = new Pool(open({ connection: { ...limits, ...HOT_PATH_PLANS } }), {
      max,
      deadline: STATEMENT_DEADLINE,
    });
    this.#insertPool = new Pool(open({ connection: { ...limits, ...HOT_PATH_PLANS } }), {
      max: 1,
      deadline: STATEMENT_DEADLINE,
    });
    this.#leasePool = new Pool(open({ connection: limits }), {
      max: 1,
      deadline: STATEMENT_DEADLINE,
      idle: LEASE_IDLE,
    });
    this.#recordPool = new Pool(open({ connection: limits }), { max: 2, deadline: STATEMENT_DEADLINE });
    this.#userPool = new Pool(open({}), { max, deadline: 0 });
    this.sql = makeTag((build) => this.#runOwn(this.#pool, build), schemaName);
    this.inserts = makeTag((build) => this.#runOwn(this.#insertPool, build), schemaName);
    this.leaseConnection = makeTag((build) => this.#runOwn(this.#leasePool, build), schemaName);
    this.records = makeTag((build) => this.#runOwn(this.#recordPool, build), schemaName);
    this.userSql = makeUserTag((build) => this.#runUsers(build), refuseOnPool);
  }

  /**
   * Detects a pooler: it rejects the settings that the hot path's connections start with, or drops them, or reports
   * another process than the one that answers.
   */
  async #isPooled(): Promise<boolean> {
    try {
      const rows = await this.#pool.run<{ pid: number; plans: string }>((client) =>
        client.unsafe("SELECT pg_backend_pid() AS pid, current_setting('plan_cache_mode') AS plans")
      );
      const { pid, plans } = rows[0]!;
      return pid !== connectedProcessOf(rows) || plans !== HOT_PATH_PLANS.plan_cache_mode;
    } catch (error) {
      if (codeOf(error) === PROTOCOL_VIOLATION) return true;
      throw this.explain(error);
    }
  }

  async #runOwn<T>(pool: Pool, build: Build): Promise<Rows<T>> {
    try {
      return await retryConflicts(() => pool.run<T>(build));
    } catch (error) {
      markOwnFailure(error);
      throw this.explain(error);
    }
  }

  async #runUsers<T>(build: Build): Promise<Rows<T>> {
    try {
      return await this.#userPool.run<T>(build);
    } catch (error) {
      throw isConnectionError(error) ? unreachableError(this.settings, error) : error;
    }
  }

  /** Converts an error of the driver to one that a user can act on, if there is one. */
  explain(error: unknown): unknown {
    const code = codeOf(error);
    if (isConnectionError(error)) return unreachableError(this.settings, error);
    if (code !== UNDEFINED_TABLE && code !== UNDEFINED_FUNCTION && code !== INVALID_SCHEMA) return error;
    return new SchemaMismatch(
      `Cannot find all of schema "${this.schemaName}" in ${this.settings.label}: run the command "migrate", or call migrate(), once per release`,
      { reason: "missing", cause: error },
    );
  }

  /** Ends all connections once their statements have ended. */
  async end(): Promise<void> {
    await Promise.all(this.#pools.map((pool) => pool.end()));
  }

  /** Ends all connections with their statements. */
  #abandon(): void {
    for (const pool of this.#pools) pool.abandon();
  }

  get #pools(): Pool[] {
    return [this.#pool, this.#insertPool, this.#leasePool, this.#recordPool, this.#userPool];
  }
}

/** Rejects BEGIN, COMMIT and the like: the next statement may run on another connection of the pool. */
function refuseOnPool(text: string): void {
  const control = transactionControlOf(text);
  if (!control) return;
  throw new FireflyError(`Cannot run ${control} here as each statement may take another connection: use transaction()`);
}
