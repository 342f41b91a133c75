import type { TestDatabase } from "./database.ts";

/** Settings that a database or a role may have, and that once changed what Firefly reads or does. */
export const HOSTILE: readonly Readonly<Record<string, string>>[] = [
  { DateStyle: "German, DMY" },
  { DateStyle: "SQL, DMY", IntervalStyle: "sql_standard" },
  { DateStyle: "Postgres, MDY", TimeZone: "America/New_York" },
  { DateStyle: "ISO, YMD", TimeZone: "<-03>+03", IntervalStyle: "iso_8601" },
  { default_transaction_isolation: "repeatable read" },
  { default_transaction_isolation: "serializable", default_transaction_deferrable: "on" },
  { standard_conforming_strings: "off", escape_string_warning: "on", backslash_quote: "off" },
  { extra_float_digits: "-15", bytea_output: "escape", xmloption: "document", xmlbinary: "hex" },
  { array_nulls: "off", transform_null_equals: "on" },
  { quote_all_identifiers: "on", search_path: "nowhere" },
  { search_path: "public, pg_catalog", row_security: "off", constraint_exclusion: "on" },
  { idle_session_timeout: "300ms", lock_timeout: "100ms" },
  { statement_timeout: "4s", idle_in_transaction_session_timeout: "2s" },
  { exit_on_error: "on", client_min_messages: "error" },
  { "plpgsql.extra_errors": "all", "plpgsql.variable_conflict": "error", check_function_bodies: "off" },
  { enable_nestloop: "off", enable_indexscan: "off", enable_indexonlyscan: "off", enable_tidscan: "off" },
  {
    enable_seqscan: "off",
    enable_sort: "off",
    enable_material: "off",
    enable_hashjoin: "off",
    enable_mergejoin: "off",
  },
  { plan_cache_mode: "force_custom_plan", jit_above_cost: "0", work_mem: "64kB", join_collapse_limit: "1" },
  { client_encoding: "LATIN1", lc_messages: "C", lc_numeric: "C", lc_time: "C", synchronous_commit: "off" },
];

/** Those of servers from version 17 on. */
export const HOSTILE_17: readonly Readonly<Record<string, string>>[] = [{ transaction_timeout: "300ms" }];

/** Sets them for all later connections to the database. */
export async function setForDatabase(
  { sql, url }: Pick<TestDatabase, "sql" | "url">,
  settings: Readonly<Record<string, string>>,
): Promise<void> {
  const database = new URL(url).pathname.slice(1);
  for (const [name, value] of Object.entries(settings)) {
    // A list of names is one value only if it is quoted name by name.
    const values = name === "search_path" ? value : `'${value}'`;
    await sql.unsafe(`ALTER DATABASE ${database} SET ${name} = ${values}`);
  }
}
