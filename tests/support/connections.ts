import { Database } from "../../src/database/pools.ts";
import type { Session } from "../../src/database/session.ts";
import type { ConnectionSettings } from "../../src/database/settings.ts";
import type { TestDatabase } from "./database.ts";

export async function pidOf(session: Session): Promise<number> {
  const [row] = await session.run<{ pid: number }>((client) => client`SELECT pg_backend_pid() AS pid`);
  return row!.pid;
}

export async function terminate(db: TestDatabase, pid: number): Promise<void> {
  await db.sql`SELECT pg_terminate_backend(${pid})`;
}

/** How many connections of Firefly the server has. */
export async function connections(db: TestDatabase): Promise<number> {
  const rows = await db.sql`
    SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'firefly'
  `;
  return rows.length;
}

/** A database of Firefly's, closed at the end. */
export function open(settings: ConnectionSettings): Database & AsyncDisposable {
  const database = new Database(settings, "firefly");
  return Object.assign(database, { [Symbol.asyncDispose]: () => database.end() });
}
