import type { Queryable } from "../sql.ts";
import { hasMethods, refuseArgument } from "./refusal.ts";
import { withQuestionMarks } from "./statement.ts";

/** The part of an `EntityManager` of [MikroORM](https://mikro-orm.io) on Postgres that Firefly needs. */
export interface MikroORMEntityManager {
  /** Runs a statement with `?` for the parameters, in the transaction that is open. */
  execute(sql: string, params: unknown[]): Promise<unknown>;
  /** Whether a transaction is open. */
  isInTransaction(): boolean;
}

/**
 * Adapts an entity manager of MikroORM that has a transaction: the one that `em.transactional()` passes, or one after
 * `em.begin()`. The task is inserted at once; MikroORM writes what you persist when it flushes.
 *
 * @example
 * ```ts ignore
 * await orm.em.fork().transactional(async (em) => {
 *   await welcome.with({ tx: fromMikroORM(em) }).schedule("a@b.c");
 * });
 * ```
 *
 * @throws {TypeError} If it is given an entity manager outside of a transaction, or anything else. Scheduling rejects
 * with it if the transaction has ended by then.
 */
export function fromMikroORM(em: MikroORMEntityManager): Queryable {
  function check() {
    const isManager = hasMethods(em, "execute", "isInTransaction");
    if (isManager && em.isInTransaction()) return;
    throw refuseArgument(em, {
      adapter: "fromMikroORM",
      ...(isManager ? { given: "an EntityManager outside of a transaction" } : {}),
      instead: "the em of em.transactional(async (em) => …)",
    });
  }
  check();
  return {
    async query(text, params) {
      check();
      const statement = withQuestionMarks(text, params);
      return await em.execute(statement.text, statement.values) as unknown[];
    },
  };
}
