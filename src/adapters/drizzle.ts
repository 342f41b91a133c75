import type { Queryable } from "../sql.ts";
import { hasMethods, refuseArgument } from "./refusal.ts";
import { cutAtParameters } from "./statement.ts";

/** The part of a transaction of [Drizzle](https://orm.drizzle.team) on Postgres that Firefly needs. */
export interface DrizzleTransaction {
  /** Runs a statement; resolves to rows, or to an object with rows, as the driver does. */
  execute(query: unknown): PromiseLike<unknown>;
  /** Rolls back. A database does not have it. */
  rollback(): never;
}

/** The part of `sql` of `drizzle-orm` that Firefly needs. */
export interface DrizzleSql {
  /** Makes a part of a statement of a text. */
  raw(text: string): unknown;
  /** Makes a parameter. */
  param(value: unknown): unknown;
  /** Joins parts. */
  join(parts: unknown[]): unknown;
}

/**
 * Adapts a transaction of Drizzle, whichever of its drivers for Postgres runs it.
 *
 * @example
 * ```ts ignore
 * await db.transaction(async (tx) => {
 *   await welcome.with({ tx: fromDrizzle(tx, sql) }).schedule("a@b.c");
 * });
 * ```
 *
 * @param sql The `sql` that `drizzle-orm` exports.
 * @throws {TypeError} If it is given a database and not a transaction, or anything else.
 */
export function fromDrizzle(tx: DrizzleTransaction, sql: DrizzleSql): Queryable {
  const instead = "the tx of db.transaction(async (tx) => …)";
  if (!hasMethods(tx, "execute", "rollback")) {
    const isDatabase = hasMethods(tx, "execute", "transaction", "select");
    const given = isDatabase ? { given: "a database of Drizzle and not a transaction" } : {};
    throw refuseArgument(tx, { adapter: "fromDrizzle", instead, ...given });
  }
  if (!hasMethods(sql, "raw", "param", "join")) {
    throw refuseArgument(sql, { adapter: "fromDrizzle", instead: `${instead}, and sql of drizzle-orm` });
  }
  return {
    async query(text, params) {
      const { texts, values } = cutAtParameters(text, params);
      const parts = texts.flatMap((part, i) => i === 0 ? [sql.raw(part)] : [sql.param(values[i - 1]), sql.raw(part)]);
      const result = await tx.execute(sql.join(parts));
      return Array.isArray(result) ? result : (result as { rows: unknown[] }).rows;
    },
  };
}
