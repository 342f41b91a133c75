import { resolveConnection } from "../../src/database/settings.ts";
import { Session } from "../../src/database/session.ts";
import { Sessions } from "../../src/database/sessions.ts";
import { BEGIN_WRITING } from "../../src/database/session_settings.ts";
import { endBackend } from "../../src/store/consumers.ts";
import { runTransaction, Transaction } from "../../src/database/transaction.ts";
import { type TestDatabase, testDatabase } from "./database.ts";
import type { TcpProxy } from "./tcp_proxy.ts";

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

/**
 * Guards the session of a bench that has one: its next transaction sends BEGIN together with its first statement. Resolves
 * to the server's process.
 */
export async function guardSession(at: Bench): Promise<number> {
  // The first learns from the server that the session may be guarded, the second guards it by its COMMIT.
  await runTransaction(at.begin(), pidOf);
  return await runTransaction(at.begin(), pidOf);
}

/** Puts a statement that takes 30 s in the place of BEGIN, as a stand-in for a BEGIN that takes as long. */
export function slowDownBegin(proxy: TcpProxy): void {
  const slow = "SELECT pg_sleep(30);".padEnd(BEGIN_WRITING.length);
  proxy.tamper = (text) => text.replace(BEGIN_WRITING, slow);
}

export async function pidOf({ sql }: Transaction): Promise<number> {
  const [row] = await sql`SELECT pg_backend_pid() AS pid`;
  return row.pid;
}

export async function terminate({ db }: Bench, pid: number): Promise<void> {
  await db.sql`SELECT pg_terminate_backend(${pid})`;
}
