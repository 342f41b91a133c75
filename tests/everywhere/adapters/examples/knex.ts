import { task } from "@firefly/tasks";
import { fromKnex } from "@firefly/tasks/adapters";
import knex from "knex";
import process from "node:process";

const welcome = task({ name: "mail.welcome" }, (mail: string) => `Welcome, ${mail}`);
const db = knex({ client: "pg", connection: process.env.FIREFLY_DATABASE_URL! });

await db.transaction(async (trx) => {
  await trx("users").insert({ mail: "ada@example.org" });
  await welcome.with({ tx: fromKnex(trx) }).schedule("ada@example.org");
});
await db.destroy();
