import type { TestDatabase } from "./database.ts";

/** Ends every other connection to the database, as a restart of the server would. */
export async function terminateAll(db: TestDatabase, condition = "true"): Promise<void> {
  await db.sql.unsafe(`
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'firefly' AND ${condition}
  `);
}
