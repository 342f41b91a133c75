import type { Queryable } from "../sql.ts";
import { hasMethods, refuseArgument } from "./refusal.ts";

/** A statement as Kysely takes it, its `CompiledQuery`. */
export interface KyselyQuery {
  /** The statement, with `$1`, `$2`, … for the parameters. */
  readonly sql: string;
  /** The parameters. */
  readonly parameters: readonly unknown[];
  /** The statement as a node of Kysely's tree. */
  readonly query: {
    /** The kind of node. */
    readonly kind: "RawNode";
    /** The statement. */
    readonly sqlFragments: readonly string[];
    /** None: they are in the text. */
    readonly parameters: readonly never[];
  };
  /** What plugins know the statement by. */
  readonly queryId: {
    /** A name of its own. */
    readonly queryId: string;
  };
}

/** The part of a transaction of [Kysely](https://kysely.dev) that Firefly needs: of a `Transaction`, controlled or not. */
export interface KyselyTransaction {
  /** True for transactions, and false for a database. */
  readonly isTransaction: true;
  /** Runs a statement. */
  executeQuery(query: KyselyQuery): Promise<{ rows: unknown[] }>;
}

let statements = 0;

/**
 * Adapts a transaction of Kysely, one of `startTransaction()` as well.
 *
 * @example
 * ```ts ignore
 * await db.transaction().execute(async (trx) => {
 *   await welcome.with({ tx: fromKysely(trx) }).schedule("a@b.c");
 * });
 * ```
 *
 * @throws {TypeError} If it is given a database and not a transaction, or anything else.
 */
export function fromKysely(trx: KyselyTransaction): Queryable {
  if (!hasMethods(trx, "executeQuery") || trx.isTransaction !== true) {
    const isDatabase = hasMethods(trx, "executeQuery", "selectFrom");
    throw refuseArgument(trx, {
      adapter: "fromKysely",
      ...(isDatabase ? { given: "a database of Kysely and not a transaction" } : {}),
      instead: "the trx of db.transaction().execute(async (trx) => …)",
    });
  }
  return {
    async query(text, params) {
      const { rows } = await trx.executeQuery({
        sql: text,
        parameters: params,
        query: { kind: "RawNode", sqlFragments: [text], parameters: [] },
        queryId: { queryId: `firefly-${++statements}` },
      });
      return rows;
    },
  };
}
