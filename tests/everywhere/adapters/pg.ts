import { fromPg } from "@firefly/tasks/adapters";
import pg from "pg";
import { checkLibrary, type Open, url } from "./support/suite.ts";

const pool = new pg.Pool({ connectionString: url, max: 3 });

function openOn(client: pg.PoolClient): Open {
  return {
    tx: fromPg(client),
    insert: (mail) => client.query("INSERT INTO users (mail) VALUES ($1)", [mail]),
    async savepoint(body) {
      await client.query("SAVEPOINT nested");
      try {
        await body({ tx: fromPg(client) });
      } catch (error) {
        await client.query("ROLLBACK TO nested");
        throw error;
      }
    },
  };
}

const outside = await pool.connect();
await checkLibrary({
  packages: ["pg"],
  example: "pg",
  async transaction(body) {
    const client = await pool.connect();
    try {
      client.query("BEGIN"); // not awaited: it comes before what is scheduled all the same
      await body(openOn(client));
      await client.query("COMMIT");
    } catch (error) {
      await client.query("ROLLBACK");
      throw error;
    } finally {
      client.release();
    }
  },
  misuses: {
    "a Pool": [() => fromPg(pool as never), /a Pool of pg, which has no transaction of its own: pass a client/],
    "a Pool itself": [() => pool as never, /looks like a Pool of pg.*fromPg\(client\) of @firefly\/tasks\/adapters/],
    "a client without a transaction": [() => fromPg(outside), /a client of pg without an open transaction: pass/],
    "a client itself": [() => outside as never, /looks like a client of pg: pass fromPg\(client\) of/],
    undefined: [() => fromPg(undefined as never), /fromPg\(\) as it was given undefined: pass a client/],
  },
  close: () => (outside.release(), pool.end()),
});
