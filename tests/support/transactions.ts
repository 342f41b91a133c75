import { resolveConnection } from "../../src/database/settings.ts";
import { Session } from "../../src/database/session.ts";
import { Sessions } from "../../src/database/sessions.ts";
import { endBackend } from "../../src/store/consumers.ts";
import { Transaction } from "../../src/database/transaction.ts";
import { type TestDatabase, testDatabase } from "./database.ts";

/** A database with a table `ledger (i integer)`, and what transactions on it need. */
export interface Bench extends AsyncDisposable {
  db: TestDatabase;
  sessions: Sessions;
  /** A transaction, not begun yet. */
  begin(options?: { setup?: string; deadline?: number }): Transaction;
  /** What the ledger holds. */
  ledger(): Promise<number[]>;
}

export async function bench(
  { max = 4, url }: { max?: number; url?: (db: TestDatabase) => string } = {},
): Promise<Bench> {
  const db = await testDatabase({ migrated: false });
  await db.sql`CREATE TABLE ledger (i integer UNIQUE DEFERRABLE)`;
  const settings = await resolveConnection(url?.(db) ?? db.url);
  const terminate = (pid: number) => void endBackend(db.store, pid).catch(() => {});
  const sessions = new Sessions(() => new Session(settings, { terminate }), max);
  return {
    db,
    sessions,
    begin: (options = {}) => Transaction.on(sessions, { schema: "firefly", ...options }),
    ledger: async () => (await db.sql`SELECT i FROM ledger ORDER BY i`).map(({ i }) => i),
    async [Symbol.asyncDispose]() {
      sessions.end();
      await db[Symbol.asyncDispose]();
    },
  };
}

export async function pidOf({ sql }: Transaction): Promise<number> {
  const [row] = await sql`SELECT pg_backend_pid() AS pid`;
  return row.pid;
}

export async function terminate({ db }: Bench, pid: number): Promise<void> {
  await db.sql`SELECT pg_terminate_backend(${pid})`;
}
