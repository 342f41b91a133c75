import type { Tag } from "../database/driver.ts";
import { quoteLiteral } from "../database/identifiers.ts";

/** The start of the names of databases that tests make. */
const PREFIX = "firefly_testing";
/** The start of the names of the templates that they are copied from. */
export const TEMPLATE_PREFIX = "firefly_template_";
/** The comment of a template, with when it was used. */
const USED = String.raw`^Used by tests at (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d(?::\d\d)?)$`;

/** How the server copies a template: `file_copy` is the faster one only where no disk is waited for. */
export type CopyStrategy = "wal_log" | "file_copy";

/** What the server says to a connection that makes databases. */
export interface TestServerState {
  /** The start of the names of databases that belong to this connection: its process, and when that began. */
  owner: string;
  /** Whether its role may create databases. */
  creates: boolean;
  /** The role. */
  role: string;
}

/** Reads how databases of this connection are called, and whether it may make any. */
export async function readTestServer(sql: Tag): Promise<TestServerState> {
  const [row] = await sql<TestServerState>`
    SELECT ${PREFIX} || '_' || pg_backend_pid() || '_' || (
        SELECT (EXTRACT(epoch FROM backend_start) * 1000000)::bigint FROM pg_stat_activity WHERE pid = pg_backend_pid()
      ) AS owner, rolcreatedb OR rolsuper AS creates, current_user::text AS role
    FROM pg_roles
    WHERE rolname = current_user
  `;
  return row!;
}

/**
 * Finds databases of tests that were killed, up to `limit`: those that this role may drop, that have no connection, and
 * whose owner's connection is gone. A process id that was used again has another start.
 */
export async function findLeftDatabases(sql: Tag, limit: number): Promise<string[]> {
  const rows = await sql<{ name: string }>`
    SELECT datname AS name
    FROM pg_database, regexp_match(datname, '^' || ${PREFIX}::text || '_(\\d+)_(\\d+)_') AS owner (parts)
    WHERE parts IS NOT NULL AND pg_has_role(datdba, 'USAGE')
      AND NOT EXISTS (
        SELECT FROM pg_stat_activity AS session
        WHERE session.datid = pg_database.oid
          OR session.pid = parts[1]::bigint
            -- NULL for sessions of other users.
            AND COALESCE((EXTRACT(epoch FROM session.backend_start) * 1000000)::bigint = parts[2]::bigint, true)
      )
    ORDER BY datname
    LIMIT ${limit}
  `;
  return rows.map(({ name }) => name);
}

/** Whether there is a template of this name, and whether its use was noted within the hour. */
export async function readTemplate(sql: Tag, name: string): Promise<{ exists: boolean; isNoted: boolean }> {
  const [row] = await sql<{ noted: boolean }>`
    SELECT COALESCE(substring(shobj_description(oid, 'pg_database') FROM ${USED}::text)::timestamptz
      > now() - interval '1 hour', false) AS noted
    FROM pg_database
    WHERE datname = ${name}
  `;
  return { exists: row !== undefined, isNoted: row?.noted ?? false };
}

/** Notes in the comment of a template that it is used now. Those of one server note it one after another. */
export async function noteTemplate(sql: Tag, name: string): Promise<void> {
  const [row] = await sql<{ now: string }>`SELECT to_char(now(), 'YYYY-MM-DD HH24:MI:SSOF') AS now`;
  await sql`COMMENT ON DATABASE ${sql.identifier(name)} IS ${sql.raw(quoteLiteral(`Used by tests at ${row!.now}`))}`;
}

/** Finds templates that this role may drop and no test has used for a day: those of other releases. */
export async function findOldTemplates(sql: Tag): Promise<string[]> {
  const rows = await sql<{ name: string }>`
    SELECT datname AS name
    FROM pg_database
    WHERE datname ~ ${`^${TEMPLATE_PREFIX}[0-9a-f]{12}$`} AND pg_has_role(datdba, 'USAGE')
      AND substring(shobj_description(oid, 'pg_database') FROM ${USED}::text)::timestamptz < now() - interval '1 day'
    ORDER BY datname
  `;
  return rows.map(({ name }) => name);
}

/** Waits for other connections to the same database that make a template, until this one is closed or unlocks. */
export async function lockTemplates(sql: Tag): Promise<void> {
  await sql`SELECT pg_advisory_lock(hashtextextended('firefly:test template', 0))`;
}

/** Lets others make a template. */
export async function unlockTemplates(sql: Tag): Promise<void> {
  await sql`SELECT pg_advisory_unlock(hashtextextended('firefly:test template', 0))`;
}

/** Makes a database, as a copy of `template`. */
export async function createDatabase(
  sql: Tag,
  name: string,
  { template, strategy = "wal_log" }: { template: string; strategy?: CopyStrategy | undefined },
): Promise<void> {
  await sql`
    CREATE DATABASE ${sql.identifier(name)} TEMPLATE ${sql.identifier(template)} STRATEGY ${sql.raw(strategy)}
  `;
}

/** Lets commits of later connections to a database go on before they are on disk: what a test writes need not survive. */
export async function commitInMemory(sql: Tag, name: string): Promise<void> {
  await sql`ALTER DATABASE ${sql.identifier(name)} SET synchronous_commit = off`;
}

/** Makes a database one to copy: it refuses connections, as a copy waits for those to end. */
export async function closeDatabase(sql: Tag, name: string): Promise<void> {
  await sql`ALTER DATABASE ${sql.identifier(name)} ALLOW_CONNECTIONS false`;
}

/** Gives a database another name. */
export async function renameDatabase(sql: Tag, name: string, to: string): Promise<void> {
  await sql`ALTER DATABASE ${sql.identifier(name)} RENAME TO ${sql.identifier(to)}`;
}

/** Drops a database, if there is one: with `force`, connections to it end, else it must have none. */
export async function dropDatabase(sql: Tag, name: string, { force }: { force: boolean }): Promise<void> {
  await sql`DROP DATABASE IF EXISTS ${sql.identifier(name)} ${sql.raw(force ? "WITH (FORCE)" : "")}`;
}

/** Sets a setting of the server, once and for all databases. */
export async function setServerSetting(sql: Tag, name: string, value: string): Promise<void> {
  await sql`ALTER SYSTEM SET ${sql.identifier(name)} = ${sql.raw(quoteLiteral(value))}`;
}

/** Makes the server read its settings again. */
export async function reloadSettings(sql: Tag): Promise<void> {
  await sql`SELECT pg_reload_conf()`;
}
