import type { Tag } from "../database/driver.ts";

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
