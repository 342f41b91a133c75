import type { Closing } from "../closing.ts";
import type { ConnectionSettings } from "./settings.ts";
import {
  type Build,
  connectedProcessOf,
  makeTag,
  makeUserTag,
  openClient,
  type Rows,
  type Tag,
  unreachableError,
} from "./driver.ts";
import { retryConflicts } from "./conflicts.ts";
import { codeOf, isConnectionError, markOwnFailure } from "./error_codes.ts";
import {
  BEGIN,
  FOR_OWN,
  HOT_PATH_PLANS,
  READ_SETTINGS,
  READ_STARTED,
  type SettingsFound,
  setupFor,
} from "./session_settings.ts";
import { transactionControlOf } from "./transaction_control.ts";
import { FireflyError, SchemaMismatch } from "../errors.ts";
import { Pool } from "./pool.ts";
import type { Sql } from "../sql.ts";

const UNDEFINED_TABLE = "42P01";
const UNDEFINED_FUNCTION = "42883";
const INVALID_SCHEMA = "3F000";
const PROTOCOL_VIOLATION = "08P01";

const STATEMENT_DEADLINE = 15_000;
/** How many milliseconds the connection that renews leases, by default every 10 s, stays open unused. */
const LEASE_IDLE = 15_000;

/** The longest that a statement of a page may take, in milliseconds, and how the server lists its connections. */
// Without jit, as the planner expects thousands of tasks in each claim, and would compile for 0.2 s what takes 1 ms.
const PAGES = { statement_timeout: 5_000, application_name: "firefly dashboard", jit: "off" } as const;

/** How many milliseconds such a statement may take together with the one that it waits for on its connection. */
const PAGE_DEADLINE = 8_000;

/** A client with one connection, which the pool ends. */
const POOL_MEMBER = { max: 1, idle_timeout: 0, max_lifetime: null };

/**
 * The connections to a database: a pool for the hot path, one for lists and bulk operations, one for pages, one for users'
 * statements, a connection for inserts, and one for leases, so that no statement delays a renewal.
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
  /**
   * The tag for pages that show the tables: each statement runs in a read-only transaction of its own, for 5 s at most,
   * and never delays those of the other tags.
   */
  readonly pages: Tag;
  /** The tag for users. */
  readonly userSql: Sql;
  readonly #pool: Pool;
  readonly #insertPool: Pool;
  readonly #leasePool: Pool;
  readonly #recordPool: Pool;
  readonly #pagePool: Pool;
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
    let needed: ConnectionSettings;
    try {
      needed = settings.pooled ? await database.#withSetup() : await database.#withPooler();
    } catch (error) {
      await database.end();
      throw error;
    } finally {
      forget?.();
    }
    if (needed === settings) return database;
    await database.end();
    // Behind a pooler, the settings are read through connections that it accepts.
    if (needed.pooled && !settings.pooled) return await Database.open(needed, schemaName, closing);
    return new Database(needed, schemaName);
  }

  constructor(settings: ConnectionSettings, schemaName: string) {
    this.settings = settings;
    this.schemaName = schemaName;
    const max = settings.options.max ?? 4;
    const { parameters, setup } = settings.found ?? {};
    const limits = { ...FOR_OWN, ...parameters, statement_timeout: STATEMENT_DEADLINE };
    const own = { deadline: STATEMENT_DEADLINE, begin: setup?.own };
    const open = (options: object) => (onclose: () => void) =>
      openClient(settings, { ...POOL_MEMBER, ...options, onclose });
    const hot = open({ connection: { ...limits, ...HOT_PATH_PLANS } });
    this.#pool = new Pool(hot, { ...own, max });
    this.#insertPool = new Pool(hot, { ...own, max: 1 });
    this.#leasePool = new Pool(open({ connection: limits }), { ...own, max: 1, idle: LEASE_IDLE });
    // The planner expects too many rows of runs and filters: to compile a list of 8,000 tasks took 0.6 s, to run it 0.1.
    this.#recordPool = new Pool(open({ connection: { ...limits, jit: "off" } }), { ...own, max: 2 });
    this.#pagePool = new Pool(open({ connection: { ...limits, ...PAGES } }), {
      deadline: PAGE_DEADLINE,
      begin: `${setup?.own ?? BEGIN} SET TRANSACTION READ ONLY;${settings.pooled ? localsOf(PAGES) : ""}`,
      max: 3,
    });
    this.#userPool = new Pool(open({}), {
      max,
      deadline: 0,
      begin: setup?.transactions ? `BEGIN;${setup.transactions}` : undefined,
    });
    this.sql = makeTag((build) => this.#runOwn(this.#pool, build), schemaName);
    this.inserts = makeTag((build) => this.#runOwn(this.#insertPool, build), schemaName);
    this.leaseConnection = makeTag((build) => this.#runOwn(this.#leasePool, build), schemaName);
    this.records = makeTag((build) => this.#runOwn(this.#recordPool, build), schemaName);
    this.pages = makeTag((build) => this.#runOwn(this.#pagePool, build), schemaName);
    this.userSql = makeUserTag((build) => this.#runUsers(build), refuseOnPool);
  }

  /**
   * Detects a pooler: it rejects the settings that the hot path's connections start with, or drops them, or reports
   * another process than the one that answers.
   */
  async #withPooler(): Promise<ConnectionSettings> {
    const { settings } = this;
    try {
      const rows = await this.#pool.run<{ pid: number; plans: string; timeout: string | null }>((client) =>
        client.unsafe(READ_STARTED)
      );
      const { pid, plans, timeout } = rows[0]!;
      if (pid !== connectedProcessOf(rows) || plans !== HOT_PATH_PLANS.plan_cache_mode) {
        return { ...settings, pooled: true };
      }
      // Not all servers know this one, and they refuse a connection that starts with it.
      if (timeout === null || timeout === "0") return settings;
      return { ...settings, found: { parameters: { transaction_timeout: "0" } } };
    } catch (error) {
      if (codeOf(error) === PROTOCOL_VIOLATION) return { ...settings, pooled: true };
      throw this.explain(error);
    }
  }

  /** Finds the settings that connections through a pooler lack. */
  async #withSetup(): Promise<ConnectionSettings> {
    const rows = await this.#runOwn<{ settings: string }>(this.#recordPool, (client) => client.unsafe(READ_SETTINGS));
    const setup = setupFor(JSON.parse(rows[0]!.settings) as SettingsFound, STATEMENT_DEADLINE);
    if (setup.own === undefined && setup.transactions === "") return this.settings;
    return { ...this.settings, found: { setup } };
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
    return [this.#pool, this.#insertPool, this.#leasePool, this.#recordPool, this.#pagePool, this.#userPool];
  }
}

/** Statements that make settings for the rest of a transaction, each with a space before it. */
function localsOf(settings: Readonly<Record<string, string | number>>): string {
  return Object.entries(settings).map(([name, value]) => ` SET LOCAL ${name} = '${value}';`).join("");
}

/** Rejects BEGIN, COMMIT and the like: the next statement may run on another connection of the pool. */
function refuseOnPool(text: string): void {
  const control = transactionControlOf(text);
  if (!control) return;
  throw new FireflyError(`Cannot run ${control} here as each statement may take another connection: use transaction()`);
}
