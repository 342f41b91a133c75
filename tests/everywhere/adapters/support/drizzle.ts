import { type DrizzleTransaction, fromDrizzle } from "@firefly/tasks/adapters";
import { sql } from "drizzle-orm";
import type { ExtractTablesWithRelations } from "drizzle-orm";
import { type PgDatabase, type PgQueryResultHKT, pgTable, type PgTransaction, serial, text } from "drizzle-orm/pg-core";
import type { Library, Open } from "./suite.ts";

type None = Record<string, never>;
type NoTables = ExtractTablesWithRelations<None>;

const users = pgTable("users", {
  id: serial().primaryKey(),
  mail: text().notNull(),
});

function openOn<T extends PgQueryResultHKT>(tx: PgTransaction<T, None, NoTables>): Open {
  return {
    tx: fromDrizzle(tx, sql),
    insert: (mail) => tx.insert(users).values({ mail }),
    savepoint: (body) => tx.transaction((tx) => body({ tx: fromDrizzle(tx, sql) })),
  };
}

/** How to use Drizzle, whichever its driver. */
export function drizzleOn<T extends PgQueryResultHKT>(
  db: PgDatabase<T, None, NoTables>,
): Pick<Library, "transaction" | "misuses"> {
  return {
    transaction: (body) => db.transaction((tx) => body(openOn(tx))),
    misuses: {
      "the outer db": [
        () => fromDrizzle(db as never as DrizzleTransaction, sql),
        /fromDrizzle\(\) as it was given a database of Drizzle and not a transaction: pass the tx of db.transaction\(/,
      ],
      "without sql": [() => fromDrizzle({ execute: db.execute, rollback() {} } as never, undefined as never), /sql of/],
      "a tx itself": [
        () => db.transaction((tx) => Promise.resolve(tx)) as never,
        /like Drizzle: pass fromDrizzle\(tx, sql\) of/,
      ],
    },
  };
}
