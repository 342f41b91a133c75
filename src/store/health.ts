import type { Tag } from "../database/driver.ts";
import { toNumber } from "./rows.ts";

/** The state of the server behind a connection. */
export interface ServerState {
  /** As `SHOW server_version_num` has it: 150004. */
  version: number;
  versionText: string;
  user: string;
  standby: boolean;
  readOnly: boolean;
  fsync: boolean;
  fullPageWrites: boolean;
  synchronousCommit: boolean;
  autovacuum: boolean;
  maxConnections: number;
  reservedConnections: number;
  connections: number;
  /** How much of the queue of notifications is used, from 0 to 1. */
  notificationUsage: number;
}

/** Begins a read-only transaction whose statements time out after `milliseconds`. */
export async function beginReading(sql: Tag, milliseconds: number): Promise<void> {
  await sql`BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED READ ONLY`;
  await sql`SELECT set_config('statement_timeout', ${milliseconds}::text, true), set_config('lock_timeout', '1000', true),
    set_config('DateStyle', 'ISO', true), set_config('quote_all_identifiers', 'off', true),
    set_config('extra_float_digits', '1', true), set_config('array_nulls', 'on', true)`;
}

/** Ends the transaction of {@linkcode beginReading}. */
export async function endReading(sql: Tag): Promise<void> {
  await sql`ROLLBACK`;
}

/** Reads the state of the server. A standby has no usage of the notification queue. */
export async function readServer(sql: Tag): Promise<ServerState> {
  const [row] = await sql`
    SELECT current_setting('server_version_num')::integer AS version, current_setting('server_version') AS version_text,
      current_user::text AS user, pg_is_in_recovery() AS standby,
      -- Not transaction_read_only: that is this transaction's own.
      current_setting('default_transaction_read_only')::boolean AS read_only,
      current_setting('fsync')::boolean AS fsync,
      current_setting('full_page_writes')::boolean AS full_page_writes,
      current_setting('synchronous_commit') <> 'off' AS synchronous_commit,
      current_setting('autovacuum')::boolean AND current_setting('track_counts')::boolean AS autovacuum,
      current_setting('max_connections')::integer AS max_connections,
      current_setting('superuser_reserved_connections')::integer
        + COALESCE(current_setting('reserved_connections', true), '0')::integer AS reserved_connections,
      (SELECT count(*)::integer FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
      CASE WHEN pg_is_in_recovery() THEN 0 ELSE pg_notification_queue_usage() END AS notification_usage
  `;
  const { version_text, read_only, full_page_writes, synchronous_commit, ...rest } = row!;
  return {
    version: rest.version,
    versionText: version_text,
    user: rest.user,
    standby: rest.standby,
    readOnly: read_only,
    fsync: rest.fsync,
    fullPageWrites: full_page_writes,
    synchronousCommit: synchronous_commit,
    autovacuum: rest.autovacuum,
    maxConnections: rest.max_connections,
    reservedConnections: rest.reserved_connections,
    connections: rest.connections,
    notificationUsage: rest.notification_usage,
  };
}

/** Reads the server's current time, not the transaction's, in milliseconds since 1970. */
export async function readMoment(sql: Tag): Promise<number> {
  const [row] = await sql`SELECT (EXTRACT(epoch FROM clock_timestamp()) * 1000)::double precision AS at`;
  return row!.at;
}

/** Reads which process of the server answers. */
export async function readBackend(sql: Tag): Promise<number> {
  const [row] = await sql`SELECT pg_backend_pid() AS pid`;
  return row!.pid;
}

/** A transaction or slot that keeps VACUUM from removing rows that were deleted since. */
export interface Holder {
  kind: "transaction" | "prepared" | "slot";
  /** The id of the process, or the name of the prepared transaction or slot. */
  name: string;
  /** How many seconds it has existed; null where the server does not record that. */
  seconds: number | null;
  /** How many transactions have started since. */
  transactions: number;
  application: string;
  user: string;
  state: string;
}

/** Reads the oldest holders of each kind, the oldest first, and how many sessions this role may not see into. */
export async function readHolders(sql: Tag): Promise<{ holders: Holder[]; hidden: number }> {
  // A snapshot in another database holds back no table of this one; a prepared transaction or a slot may.
  const rows = await sql`
    (
      SELECT 'transaction' AS kind, pid::text AS name,
        EXTRACT(epoch FROM clock_timestamp() - xact_start)::double precision AS seconds,
        GREATEST(age(backend_xmin), age(backend_xid)) AS transactions,
        application_name AS application, usename::text AS user, state
      FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
        AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
        AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum AS vacuum WHERE vacuum.pid = pg_stat_activity.pid)
      ORDER BY xact_start
      LIMIT 3
    )
    UNION ALL
    (
      SELECT 'prepared', gid, EXTRACT(epoch FROM clock_timestamp() - prepared), age(transaction), '', owner::text, 'prepared'
      FROM pg_prepared_xacts
      WHERE database = current_database()
      ORDER BY prepared
      LIMIT 3
    )
    UNION ALL
    (
      SELECT 'slot', slot_name::text, NULL, age(xmin), '', '', CASE WHEN active THEN 'active' ELSE 'inactive' END
      FROM pg_replication_slots
      WHERE xmin IS NOT NULL
      ORDER BY age(xmin) DESC
      LIMIT 3
    )
  `;
  const [{ hidden } = { hidden: 0 }] = await sql`
    SELECT count(*)::integer AS hidden
    FROM pg_stat_activity
    WHERE datname = current_database() AND query = '<insufficient privilege>'
  `;
  const holders = rows.map((row) => ({ ...row, transactions: toNumber(row.transactions ?? 0) })) as Holder[];
  return { holders: holders.sort((a, b) => (b.seconds ?? 0) - (a.seconds ?? 0)), hidden };
}

/** The dead rows of a table: deleted, and not yet removed. */
export interface DeadRows {
  table: string;
  dead: number;
  live: number;
  /** From this many dead rows on, autovacuum vacuums the table. */
  bound: number;
  /** Whether autovacuum is enabled for the table. */
  autovacuum: boolean;
}

/** Reads the dead rows of every table of the schema. */
export async function readDeadRows(sql: Tag): Promise<DeadRows[]> {
  const rows = await sql`
    SELECT pg_class.relname AS table, n_dead_tup AS dead, n_live_tup AS live,
      COALESCE(threshold, current_setting('autovacuum_vacuum_threshold')::double precision)
        + COALESCE(scale, current_setting('autovacuum_vacuum_scale_factor')::double precision)
        * GREATEST(reltuples, 0) AS bound,
      COALESCE(enabled, true) AS autovacuum
    FROM pg_stat_user_tables
    JOIN pg_class ON pg_class.oid = relid
    CROSS JOIN LATERAL (
      SELECT max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_threshold')::double precision AS threshold,
        max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_scale_factor')::double precision AS scale,
        bool_and(option_value::boolean) FILTER (WHERE option_name = 'autovacuum_enabled') AS enabled
      FROM pg_options_to_table(reloptions)
    ) AS own
    WHERE schemaname = ${sql.schemaName}
    ORDER BY n_dead_tup DESC, pg_class.relname
  `;
  return rows.map((row) => ({ ...row, dead: toNumber(row.dead), live: toNumber(row.live) })) as DeadRows[];
}
