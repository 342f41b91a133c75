import type { Tag } from "../../database/driver.ts";

/** A table of another package. */
export interface ForeignTable {
  readonly schema: string;
  readonly table: string;
}

/** The database's name, the columns of a table in it, and whether row-level security hides rows of it from this role. */
export interface FoundTable {
  readonly database: string;
  readonly role: string;
  /** None if there is no such table. */
  readonly columns: readonly string[];
  readonly isFiltered: boolean;
}

/** Looks for a table of another package. */
export async function findTable(sql: Tag, { schema, table }: ForeignTable): Promise<FoundTable> {
  const [row] = await sql`
    SELECT current_database() AS database, current_user::text AS role,
      ARRAY(
        SELECT attname::text FROM pg_attribute WHERE attrelid = found.id AND attnum > 0 AND NOT attisdropped
      ) AS columns,
      COALESCE(row_security_active(found.id), false) AS is_filtered
    FROM (SELECT to_regclass(format('%I.%I', ${schema}::text, ${table}::text)) AS id) AS found
  `;
  return { database: row!.database, role: row!.role, columns: row!.columns, isFiltered: row!.is_filtered };
}

/** How many rows one FETCH takes. */
const BATCH = 1_000;

/** Takes the next rows of a cursor. It locks them, if its query does, at this moment and not before. */
export async function fetchNext<T>(sql: Tag, cursor: string): Promise<T[]> {
  return await sql<T>`FETCH ${sql.raw(String(BATCH))} FROM ${sql.identifier(cursor)}`;
}

/** Finds those of the keys that a task holds now. */
export async function findHeldKeys(
  sql: Tag,
  wanted: readonly { funcName: string; key: string }[],
): Promise<{ funcName: string; key: string; taskId: string }[]> {
  const rows = await sql`
    SELECT held.func_name, held.key, held.task_id::text AS task_id
    FROM unnest(${wanted.map(({ funcName }) => funcName)}::text[], ${wanted.map(({ key }) => key)}::text[])
      AS wanted (func_name, key)
    JOIN ${sql.schema}.unique_key AS held ON held.func_name = wanted.func_name AND held.key = wanted.key
    WHERE held.until IS NULL OR held.until > now()
  `;
  return rows.map(({ func_name, key, task_id }) => ({ funcName: func_name, key, taskId: task_id }));
}
