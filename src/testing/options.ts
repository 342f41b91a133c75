import process from "node:process";
import { type ConnectionSettings, type PostgresOptions, resolveConnection } from "../database/settings.ts";
import { startEmbedded } from "../embedded/embedded.ts";
import { chooseDatabase, EMBEDDED } from "../firefly/database_choice.ts";
import { type FireflyOptions, OPTION_KEYS } from "../firefly/options.ts";
import type { Sql } from "../sql.ts";
import { refuseUnknownKeys } from "../suggest.ts";
import type { Task } from "../task/signature.ts";
import type { Place } from "./database_url.ts";

/** The database that {@linkcode TestOptions.setup} fills. */
export interface SetupDatabase {
  /** A connection string, for a client of your own. Close its connections before `setup` ends. */
  readonly url: string;
  /** Runs a statement. */
  readonly sql: Sql;
}

/**
 * The options of {@linkcode testFirefly}, beside those of an instance. What is left out is taken from the default
 * instance, if `configure()` made one: its middleware as well, but neither its database nor its alerts.
 */
export interface TestOptions extends Omit<FireflyOptions, "database" | "listenDatabase"> {
  /**
   * The server: a URL of any of its databases, which stays as it is, or `"embedded"` for the PostgreSQL that Firefly
   * starts. The role must be allowed to create databases.
   *
   * @default `TEST_DATABASE_URL`, else what an instance takes from the environment, else `"embedded"` unless
   * `FIREFLY_EMBEDDED=0` forbids it
   */
  database?: string | PostgresOptions;
  /** The time at which the database's clock starts. @default the time now */
  now?: Date;
  /** The tasks to drain, and whose crons to schedule. @default all that this process has defined */
  // deno-lint-ignore no-explicit-any
  tasks?: Iterable<Task<any, any>>;
  /** Whether {@linkcode TestFirefly.travel} schedules the tasks with a `cron` whose slots it passes. @default true */
  cron?: boolean;
  /**
   * Makes what your handlers need in the database, such as tables of your own. It is called once in a JavaScript context
   * for each function, not for each test: keep it in a module, and pass the same one. Later databases are copies.
   *
   * @default nothing
   */
  setup?: (database: SetupDatabase) => unknown;
}

const ACTION = "make a test instance";
const KEYS = [...OPTION_KEYS.filter((key) => key !== "listenDatabase"), "now", "tasks", "cron", "setup"];

/**
 * Checks what only a test's instance has, before any I/O.
 *
 * @throws {TypeError | RangeError} If an option is wrong.
 */
export function checkTestOptions(options: TestOptions): void {
  refuseUnknownKeys(options, KEYS, ACTION);
  const { now, cron, setup } = options;
  if (now !== undefined && !(now instanceof Date && Number.isFinite(now.getTime()))) {
    throw new TypeError(`Cannot ${ACTION} as "now" must be a valid Date`);
  }
  if (cron !== undefined && typeof cron !== "boolean") {
    throw new TypeError(`Cannot ${ACTION} as "cron" must be true or false: current value is ${String(cron)}`);
  }
  if (setup !== undefined && typeof setup !== "function") {
    throw new TypeError(`Cannot ${ACTION} as "setup" must be a function`);
  }
}

/**
 * Finds the server for tests. Starts the embedded one where that is the one.
 *
 * @throws {TypeError} If the URL cannot be used, or sets `search_path`.
 * @throws {DatabaseUnreachable} If none is named, and the embedded one is forbidden.
 */
export async function findTestServer(
  { database, onProgress = () => {} }: { [K in "database" | "onProgress"]: TestOptions[K] | undefined },
): Promise<{ place: Place; settings: ConnectionSettings }> {
  const chosen = chooseDatabase(database ?? (process.env.TEST_DATABASE_URL || undefined), { isTest: true });
  const isEmbedded = chosen === EMBEDDED;
  const place = isEmbedded ? (await startEmbedded({ onProgress })).url : chosen;
  const settings = await resolveConnection(place, { embedded: isEmbedded, warn: onProgress });
  const { search_path, options = "" } = settings.target.settings;
  if (search_path === undefined && !options.includes("search_path")) return { place, settings };
  throw new TypeError(
    `Cannot ${ACTION} as the database URL or PGOPTIONS sets search_path, which would hide the database's own clock: ` +
      "leave it out",
  );
}
