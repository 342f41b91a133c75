import postgres from "postgres";
import { checkLibrary, type Open, url } from "./support/suite.ts";

const sql = postgres(url, { max: 3 });

function openOn(tx: postgres.TransactionSql): Open {
  return {
    tx,
    insert: (mail) => tx`INSERT INTO users (mail) VALUES (${mail})`,
    savepoint: (body) => tx.savepoint((tx) => body({ tx })),
  };
}

await checkLibrary({
  packages: ["postgres"],
  example: "postgres_js",
  transaction: (body) => sql.begin((tx) => body(openOn(tx))),
  misuses: {
    "the outer sql": [() => sql, /a client of postgres.js without a transaction: pass the tx of sql.begin\(/],
  },
  refusesEnded: false,
  close: () => sql.end(),
});
