import type { Queryable } from "../sql.ts";
import { hasMethods, refuseArgument } from "./refusal.ts";
import { withQuestionMarks } from "./statement.ts";

/** The part of a transaction of [Knex](https://knexjs.org) that Firefly needs. */
export interface KnexTransaction {
  /** Runs a statement with `?` for the parameters. */
  raw(sql: string, bindings: readonly unknown[]): PromiseLike<unknown>;
  /** Whether it has ended. Knex outside of a transaction does not have it. */
  isCompleted(): boolean;
}

/**
 * Adapts a transaction of Knex, a nested one as well.
 *
 * @example
 * ```ts ignore
 * await knex.transaction(async (trx) => {
 *   await welcome.with({ tx: fromKnex(trx) }).schedule("a@b.c");
 * });
 * ```
 *
 * @throws {TypeError} If it is given Knex outside of a transaction, or anything else.
 */
export function fromKnex(trx: KnexTransaction): Queryable {
  if (!hasMethods(trx, "raw", "isCompleted")) {
    const isKnex = hasMethods(trx, "raw", "transaction");
    throw refuseArgument(trx, {
      adapter: "fromKnex",
      ...(isKnex ? { given: "Knex outside of a transaction" } : {}),
      instead: "the trx of knex.transaction(async (trx) => …)",
    });
  }
  return {
    async query(text, params) {
      const statement = withQuestionMarks(text, params);
      const result = await trx.raw(statement.text, statement.values);
      return (result as { rows: unknown[] }).rows;
    },
  };
}
