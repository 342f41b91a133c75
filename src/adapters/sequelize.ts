import type { Queryable } from "../sql.ts";
import { hasMethods, refuseArgument } from "./refusal.ts";

/** The part of a `Sequelize` that Firefly needs. */
export interface SequelizeInstance {
  /** Runs a statement; its options are its parameters, transaction and type. */
  query(sql: string, options: object): Promise<unknown>;
}

/** The part of a `Transaction` of [Sequelize](https://sequelize.org) that tells it from others. */
export interface SequelizeTransaction {
  /** Commits it. */
  commit(): Promise<void>;
  /** Rolls it back. */
  rollback(): Promise<void>;
}

/**
 * Adapts a transaction of Sequelize, which runs statements through the instance that it was begun on.
 *
 * @example
 * ```ts ignore
 * await sequelize.transaction(async (transaction) => {
 *   await welcome.with({ tx: fromSequelize(sequelize, transaction) }).schedule("a@b.c");
 * });
 * ```
 *
 * @throws {TypeError} If it is given no transaction, or anything else.
 */
export function fromSequelize(sequelize: SequelizeInstance, transaction: SequelizeTransaction): Queryable {
  const adapter = "fromSequelize";
  const instead = "sequelize, and the transaction of sequelize.transaction(async (transaction) => …)";
  if (!hasMethods(sequelize, "query", "transaction")) throw refuseArgument(sequelize, { adapter, instead });
  if (!hasMethods(transaction, "commit", "rollback")) {
    const given = transaction ? {} : { given: "a Sequelize without a transaction" };
    throw refuseArgument(transaction, { adapter, instead, ...given });
  }
  return {
    // Of any other type, an INSERT resolves to more than its rows.
    query: async (text, params) =>
      await sequelize.query(text, { bind: params, transaction, type: "SELECT" }) as unknown[],
  };
}
