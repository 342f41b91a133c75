import type { Tag } from "../database/driver.ts";

/** Whether the role behind `sql` may vacuum `ready`: its owner may. Who tries without leaves a warning in the server's log. */
export async function mayVacuumReady(sql: Tag): Promise<boolean> {
  const [row] = await sql`
    SELECT pg_has_role(relowner, 'USAGE') AS may
    FROM pg_class
    WHERE oid = to_regclass(format('%I.ready', ${sql.schemaName}::text))
  `;
  return row?.may ?? false;
}

/**
 * Takes the dead rows out of `ready` and its indexes. Each claim reads the index from its beginning, and so passes all
 * that was claimed before and is still there. It does nothing while somebody else is at it.
 */
export async function vacuumReady(sql: Tag): Promise<void> {
  // Without TRUNCATE, for which everybody would have to wait.
  await sql`VACUUM (SKIP_LOCKED, TRUNCATE FALSE, INDEX_CLEANUP ON) ${sql.schema}.ready`;
}
