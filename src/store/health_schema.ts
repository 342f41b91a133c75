import type { Tag } from "../database/driver.ts";

/** Reads the encoding of the database, as the server calls it: `UTF8`. */
export async function readEncoding(sql: Tag): Promise<string> {
  const [row] = await sql`SELECT current_setting('server_encoding') AS encoding`;
  return row!.encoding;
}

/** A setting that the database or the role has. */
export interface GivenSetting {
  name: string;
  value: string;
  /** The statement that takes it back. */
  reset: string;
}

/** Reads those of the settings `names` that `ALTER DATABASE` or `ALTER ROLE` gives to sessions of this role. */
export async function readGivenSettings(sql: Tag, names: readonly string[]): Promise<GivenSetting[]> {
  return await sql<GivenSetting>`
    SELECT split_part(entry, '=', 1) AS name, substr(entry, strpos(entry, '=') + 1) AS value,
      concat_ws(' ', 'ALTER',
        CASE WHEN setrole = 0 THEN 'DATABASE' WHEN rolname IS NULL THEN 'ROLE ALL' ELSE format('ROLE %I', rolname) END,
        CASE WHEN setrole = 0 THEN format('%I', current_database())
          WHEN setdatabase <> 0 THEN format('IN DATABASE %I', current_database()) END,
        'RESET', split_part(entry, '=', 1)
      ) AS reset
    FROM pg_db_role_setting
    LEFT JOIN pg_roles ON pg_roles.oid = setrole
    CROSS JOIN unnest(setconfig) AS entry
    WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
      AND (setrole = 0 OR rolname = session_user)
      AND lower(split_part(entry, '=', 1)) = ANY (${names.map((name) => name.toLowerCase())}::text[])
    ORDER BY name, setrole
  `;
}

/** A table with row-level security. */
export interface SecuredTable {
  name: string;
  /** Whether it holds for the role behind the connection. */
  active: boolean;
  /** Whether a policy for that role, or for all roles, exists. */
  policies: boolean;
}

/** Reads the tables of the schema with row-level security, also if it hides the rows of all of them. */
export async function readSecuredTables(sql: Tag): Promise<SecuredTable[]> {
  return await sql<SecuredTable>`
    SELECT relname::text AS name, row_security_active(pg_class.oid) AS active, EXISTS (
      SELECT FROM pg_policy
      WHERE polrelid = pg_class.oid AND polpermissive AND EXISTS (
        SELECT FROM unnest(polroles) AS role
        WHERE role = 0 OR pg_has_role(current_user, role, 'USAGE')
      )
    ) AS policies
    FROM pg_class
    WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = ${sql.schemaName}::text)
      AND relkind IN ('r', 'p') AND relrowsecurity
    ORDER BY 1
  `;
}

/** A table that a publication has. */
export interface PublishedTable {
  publication: string;
  name: string;
  /** Whether the server accepts UPDATE and DELETE of its rows. */
  changeable: boolean;
}

/** Reads the tables of the schema whose updates or deletes are published. */
export async function readPublishedTables(sql: Tag): Promise<PublishedTable[]> {
  return await sql<PublishedTable>`
    SELECT pg_publication.pubname::text AS publication, pg_class.relname::text AS name,
      relreplident = 'f' OR EXISTS (
        SELECT FROM pg_index
        WHERE indrelid = pg_class.oid AND indisvalid
          AND (relreplident = 'd' AND indisprimary OR relreplident = 'i' AND indisreplident)
      ) AS changeable
    FROM pg_publication_tables
    JOIN pg_publication USING (pubname)
    JOIN pg_class ON pg_class.oid = format('%I.%I', schemaname, tablename)::regclass
    WHERE schemaname = ${sql.schemaName}::text AND (pubupdate OR pubdelete)
    ORDER BY 1, 2
  `;
}

/** Reads the schemas, other than this one, that have Firefly's tables. */
export async function readOtherSchemas(sql: Tag): Promise<string[]> {
  const rows = await sql`
    SELECT nspname::text AS name
    FROM pg_namespace
    WHERE nspname <> ${sql.schemaName}::text AND 3 = (
      SELECT count(*) FROM pg_class
      WHERE relnamespace = pg_namespace.oid AND relname IN ('task', 'ready', 'claim_batch') AND relkind = 'r'
    )
    ORDER BY 1
  `;
  return rows.map(({ name }) => name);
}

/** Reads the source of the function that names the tables of its schema; undefined if it does not exist. */
export async function readPlacingSource(sql: Tag): Promise<string | undefined> {
  const [row] = await sql`
    SELECT prosrc AS source
    FROM pg_proc
    WHERE proname = '_place_inserted'
      AND pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = ${sql.schemaName}::text)
  `;
  return row?.source;
}
