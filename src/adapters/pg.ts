import type { Queryable } from "../sql.ts";
import { hasMethods, refuseArgument } from "./refusal.ts";

/** The part of a client of [pg](https://node-postgres.com) that Firefly needs: of a `Client`, or of a `PoolClient`. */
export interface PgClient {
  /** Runs a statement. */
  query(text: string, values: unknown[]): Promise<{ rows: unknown[] }>;
  /** Returns the state of its transaction: "I" outside of one. Versions of pg before 8.21 do not have it. */
  getTransactionStatus?(): string | null;
  /** Only pools have it; they run each statement on some other connection. */
  readonly totalCount?: never;
}

const INSTEAD = "a client of pool.connect() on which BEGIN has run";

/**
 * Adapts a client of pg on which a transaction is open. A pool is refused, and so is a client without a transaction,
 * by the first call that schedules through it and before it inserts anything.
 *
 * @example
 * ```ts ignore
 * const client = await pool.connect();
 * await client.query("BEGIN");
 * await welcome.with({ tx: fromPg(client) }).schedule("a@b.c");
 * await client.query("COMMIT");
 * ```
 *
 * @throws {TypeError} If it is given a pool, or anything else that is no client of pg. Scheduling rejects with it if no
 * transaction is open, which pg tells from version 8.21 on.
 */
export function fromPg(client: PgClient): Queryable {
  const refuse = (given?: string) =>
    refuseArgument(client, { adapter: "fromPg", instead: INSTEAD, ...(given ? { given } : {}) });
  if (!hasMethods(client, "query")) throw refuse();
  if ("totalCount" in client) throw refuse("a Pool of pg, which has no transaction of its own");
  return {
    async query(text, params) {
      const { rows } = await client.query(text, params);
      // Asked after the first statement, which only reads: a BEGIN that was not awaited has run by now.
      if (client.getTransactionStatus?.() === "I") throw refuse("a client of pg without an open transaction");
      return rows;
    },
  };
}
