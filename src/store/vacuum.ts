import type { Tag } from "../database/driver.ts";
import { quoteIdentifier } from "../database/identifiers.ts";
import { toNumber } from "./rows.ts";

/** What a table has on disk, and whether the role behind `sql` may vacuum it. */
export interface TableUpkeep {
  readonly table: string;
  /** Rows that were deleted or replaced and are still there, as the server counts them. */
  readonly dead: number;
  /** With its indexes. */
  readonly bytes: number;
  readonly may: boolean;
}

/** Reads the tables of the schema, those with the most dead rows first. */
export async function readUpkeep(sql: Tag): Promise<TableUpkeep[]> {
  const rows = await sql`
    SELECT relname::text AS table, COALESCE(pg_stat_get_dead_tuples(oid), 0) AS dead,
      pg_total_relation_size(oid) AS bytes, pg_has_role(relowner, 'USAGE') AS may
    FROM pg_class
    WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = ${sql.schemaName}::text) AND relkind = 'r'
    ORDER BY 2 DESC, 1
  `;
  return rows.map(({ table, dead, bytes, may }) => ({ table, dead: toNumber(dead), bytes: Number(bytes), may }));
}

/** The statement that vacuums a table and counts its rows for the planner. */
export function vacuumText(schema: string, table: string): string {
  // Without TRUNCATE, which every other session would have to wait for.
  return `VACUUM (ANALYZE, TRUNCATE FALSE) ${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;
}

/** Whether the role behind `sql` may vacuum `ready`, as its owner may: an attempt by another role logs a warning at the server. */
export async function mayVacuumReady(sql: Tag): Promise<boolean> {
  const [row] = await sql`
    SELECT pg_has_role(relowner, 'USAGE') AS may
    FROM pg_class
    WHERE oid = to_regclass(format('%I.ready', ${sql.schemaName}::text))
  `;
  return row?.may ?? false;
}

/**
 * Removes the dead rows of `ready` from the table and its indexes: each claim reads the index from its beginning, and so
 * passes every claimed row that is still there. Does nothing while another session vacuums the table.
 */
export async function vacuumReady(sql: Tag): Promise<void> {
  // Without TRUNCATE, which every other session would have to wait for.
  await sql`VACUUM (SKIP_LOCKED, TRUNCATE FALSE, INDEX_CLEANUP ON) ${sql.schema}.ready`;
}
