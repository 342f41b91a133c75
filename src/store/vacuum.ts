import type { Tag } from "../driver.ts";

/**
 * Takes the dead rows out of `ready` and its indexes. Each claim reads the index from its beginning, and so passes all
 * that was claimed before and is still there. It does nothing where somebody is at it, or where the role does not own
 * the table: the server only warns then.
 */
export async function vacuumReady(sql: Tag): Promise<void> {
  // Without TRUNCATE, for which everybody would have to wait.
  await sql`VACUUM (SKIP_LOCKED, TRUNCATE FALSE, INDEX_CLEANUP ON) ${sql.schema}.ready`;
}
