import { task } from "@firefly/tasks";
import { fromKysely } from "@firefly/tasks/adapters";
import { type Generated, Kysely, PostgresDialect } from "kysely";
import pg from "pg";
import process from "node:process";

interface Tables {
  users: { id: Generated<number>; mail: string };
}

const welcome = task({ name: "mail.welcome" }, (mail: string) => `Welcome, ${mail}`);
const pool = new pg.Pool({ connectionString: process.env.FIREFLY_DATABASE_URL });
const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });

await db.transaction().execute(async (trx) => {
  await trx.insertInto("users").values({ mail: "ada@example.org" }).execute();
  await welcome.with({ tx: fromKysely(trx) }).schedule("ada@example.org");
});
await db.destroy();
