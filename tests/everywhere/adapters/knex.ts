import { fromKnex } from "@firefly/tasks/adapters";
import knex, { type Knex } from "knex";
import { checkLibrary, type Open, url } from "./support/suite.ts";

const db = knex({ client: "pg", connection: url, pool: { min: 0, max: 3 } });

function openOn(trx: Knex.Transaction): Open {
  return {
    tx: fromKnex(trx),
    insert: (mail) => trx("users").insert({ mail }),
    savepoint: (body) => trx.transaction((trx) => body({ tx: fromKnex(trx) })),
  };
}

await checkLibrary({
  packages: ["knex", "pg"],
  example: "knex",
  transaction: (body) => db.transaction((trx) => body(openOn(trx))),
  misuses: {
    "Knex without a transaction": [
      () => fromKnex(db as never),
      /fromKnex\(\) as it was given Knex outside of a transaction: pass the trx of knex.transaction\(/,
    ],
    "a trx itself": [() => db as never, /looks like Knex: pass fromKnex\(trx\) of/],
  },
  close: () => db.destroy(),
});
