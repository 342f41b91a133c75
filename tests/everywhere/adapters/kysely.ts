import { fromKysely } from "@firefly/tasks/adapters";
import { CamelCasePlugin, type Generated, Kysely, PostgresDialect, sql, type Transaction } from "kysely";
import pg from "pg";
import { checkLibrary, type Open, url } from "./support/suite.ts";

interface Tables {
  users: { id: Generated<number>; mail: string };
}

const db = new Kysely<Tables>({
  dialect: new PostgresDialect({
    pool: new pg.Pool({ connectionString: url, max: 3 }),
  }),
  plugins: [new CamelCasePlugin()],
});

function openOn(trx: Transaction<Tables>): Open {
  return {
    tx: fromKysely(trx),
    insert: (mail) => trx.insertInto("users").values({ mail }).execute(),
    async savepoint(body) {
      await sql`SAVEPOINT nested`.execute(trx);
      try {
        await body({ tx: fromKysely(trx) });
      } catch (error) {
        await sql`ROLLBACK TO nested`.execute(trx);
        throw error;
      }
    },
  };
}

let turn = 0;
await checkLibrary({
  packages: ["kysely", "pg"],
  example: "kysely",
  async transaction(body) {
    if (turn++ % 2 === 0) {
      return await db.transaction().execute((trx) => body(openOn(trx)));
    }
    const trx = await db.startTransaction().execute();
    try {
      await body(openOn(trx));
      await trx.commit().execute();
    } catch (error) {
      await trx.rollback().execute();
      throw error;
    }
  },
  misuses: {
    "the outer db": [
      () => fromKysely(db as never),
      /fromKysely\(\) as it was given a database of Kysely and not a transaction: pass the trx of db.transaction\(\)/,
    ],
    "a trx itself": [
      () => db.transaction().execute((trx) => Promise.resolve(trx)) as never,
      /like Kysely: pass fromKysely\(trx\) of/,
    ],
  },
  close: () => db.destroy(),
});
