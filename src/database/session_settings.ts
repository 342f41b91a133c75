/**
 * The settings that a database or a role may have (`ALTER DATABASE … SET`, `ALTER ROLE … SET`, postgresql.conf) and that
 * would change what Firefly reads or does, with the values that its connections use instead.
 *
 * | Setting | On | Because otherwise |
 * | --- | --- | --- |
 * | DateStyle, bytea_output, extra_float_digits, array_nulls | all connections, users' too | the driver misreads times, bytes and numbers, and the server misreads lists |
 * | default_transaction_isolation | own statements; BEGIN of all transactions | statements fail with 40001, and a limit is counted in a snapshot from before its lock |
 * | standard_conforming_strings, transform_null_equals, quote_all_identifiers | own statements | texts and names of statements mean something else |
 * | lock_timeout, statement_timeout, transaction_timeout | own statements; migrate | statements that may wait fail; they have a deadline of their own |
 * | default_transaction_read_only, where it is off | transactions, once their sessions are used again | a statement that is sent together with BEGIN writes though BEGIN has failed: see {@linkcode GUARD} |
 * | idle_session_timeout, exit_on_error | own statements, transactions | the server ends connections that are in use |
 * | enable_nestloop, enable_indexscan, enable_indexonlyscan, enable_tidscan, enable_sort, enable_material, plan_cache_mode | own statements | claims read whole tables |
 *
 * These stay as the database or role has them: default_transaction_read_only where it is on, row_security, role and
 * search_path, which an administrator sets on purpose (no statement depends on search_path); session_replication_role, which only a
 * superuser may set; synchronous_commit, of which doctor warns; TimeZone, IntervalStyle, client_min_messages, xmloption,
 * escape_string_warning, constraint_exclusion, work_mem, jit, lc_* and the costs of the planner, which change no result
 * that Firefly reads. In transactions, lock_timeout, statement_timeout and transaction_timeout are the user's.
 */
const READING = {
  DateStyle: "ISO",
  bytea_output: "hex",
  extra_float_digits: "1",
  array_nulls: "on",
} as const;

const KEEPING = { idle_session_timeout: "0", exit_on_error: "off" } as const;

const OWN = {
  ...KEEPING,
  default_transaction_isolation: "read committed",
  standard_conforming_strings: "on",
  transform_null_equals: "off",
  quote_all_identifiers: "off",
  lock_timeout: "0",
  enable_nestloop: "on",
  enable_indexscan: "on",
  enable_indexonlyscan: "on",
  enable_tidscan: "on",
  enable_sort: "on",
  enable_material: "on",
  plan_cache_mode: "auto",
} as const;

/** What every connection starts with: poolers keep track of it, and so accept it. */
export const ALWAYS = { DateStyle: READING.DateStyle } as const;
/** What every direct connection starts with. */
export const DIRECT = READING;
/** What the direct connections of transactions start with, in addition. */
export const FOR_TRANSACTIONS: Readonly<Record<string, string>> = KEEPING;
/** What the direct connections of single statements of Firefly's own start with, in addition. */
export const FOR_OWN: Readonly<Record<string, string>> = OWN;

/**
 * Settings that fix the plans of the hot path, whatever the statistics say: a queue's tables are empty when they are
 * analyzed and hold 100,000 rows a minute later. Joins are planned once, as nested loops; the claim reads `ready` in the
 * order of its index instead of sorting it; and the cost that the planner then expects triggers no compilation.
 */
export const HOT_PATH_PLANS = {
  plan_cache_mode: "force_generic_plan",
  enable_seqscan: "off",
  enable_bitmapscan: "off",
  jit: "off",
};

/** Begins a transaction whose statements each see what was committed before, as Firefly's own statements require. */
export const BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED;";

/**
 * The setting that guards the sessions of transactions: a statement that comes to run outside of BEGIN and COMMIT writes
 * nothing. `set` runs in a transaction and holds for those after it, if that commits. The server reports the setting
 * whenever it changes. Connections do not start with it: `target_session_attrs` would take the server for one that
 * refuses writes, and the value that an administrator has set would be lost.
 */
export const GUARD = { name: "default_transaction_read_only", set: "SET default_transaction_read_only = on;" } as const;

/** As {@linkcode BEGIN}, on a session that is guarded. */
export const BEGIN_WRITING = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;";

/** Begins a transaction that changes or locks the schema for as long as it takes. */
export const BEGIN_MIGRATING =
  `${BEGIN} SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; ` +
  `SET LOCAL standard_conforming_strings = on; SET LOCAL default_table_access_method = heap; ` +
  // Servers before version 17 do not have it.
  `SELECT set_config(name, '0', true) FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout';`;

/** What a connection has, as {@linkcode READ_SETTINGS} reads it: settings by name, times in milliseconds. */
export type SettingsFound = Readonly<Record<string, string>>;

/** The settings that Firefly sets for its own statements, whatever the database or the role has. */
export const CHECKED_SETTINGS = { ...READING, ...OWN, transaction_timeout: "0" } as const;

/** Reads what shows whether a connection is direct, and the setting that not all servers have. */
export const READ_STARTED = "SELECT pg_backend_pid() AS pid, current_setting('plan_cache_mode') AS plans, " +
  "current_setting('transaction_timeout', true) AS timeout";

/** Reads the settings that {@linkcode setupFor} compares: one column `settings`, a list of names and values in JSON. */
export const READ_SETTINGS = `SELECT (
  SELECT json_object_agg(name, setting) FROM pg_catalog.pg_settings
  WHERE name IN (${[...Object.keys(CHECKED_SETTINGS), "statement_timeout"].map((name) => `'${name}'`).join(", ")})
)::text AS settings`;

/** The statements that a connection needs, where poolers keep it from starting with the right settings. */
export interface PooledSetup {
  /** Begins a transaction for one statement of Firefly's own; undefined if the statement needs none. */
  readonly own: string | undefined;
  /** Goes with the BEGIN of a transaction. */
  readonly transactions: string;
}

/** Compares the settings of a session behind a pooler with the right ones, and makes the statements that set them. */
export function setupFor(found: SettingsFound, deadline: number): PooledSetup {
  const wrong = (wanted: Readonly<Record<string, string>>) =>
    Object.entries(wanted).filter(([name, value]) => found[name] !== undefined && !isRight(name, found[name], value));
  const own = wrong({
    ...CHECKED_SETTINGS,
    ...(isBetween(Number(found.statement_timeout), deadline) ? { statement_timeout: `${deadline}` } : {}),
  });
  const locals = (pairs: [string, string][]) =>
    pairs.filter(([name]) => name !== "default_transaction_isolation")
      .map(([name, value]) => ` SET LOCAL ${name} = '${value}';`).join("");
  return {
    own: own.length > 0 ? `${BEGIN}${locals(own)}` : undefined,
    transactions: locals(wrong({ ...READING, exit_on_error: KEEPING.exit_on_error })),
  };
}

function isRight(name: string, found: string, wanted: string): boolean {
  if (name === "DateStyle") return found.startsWith(wanted);
  if (name === "extra_float_digits") return Number(found) >= Number(wanted);
  return found === wanted;
}

function isBetween(number: number, most: number): boolean {
  return number > 0 && number < most;
}
