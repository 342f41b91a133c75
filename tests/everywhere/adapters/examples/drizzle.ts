import { task } from "@firefly/tasks";
import { fromDrizzle } from "@firefly/tasks/adapters";
import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { pgTable, serial, text } from "drizzle-orm/pg-core";
import process from "node:process";

const welcome = task({ name: "mail.welcome" }, (mail: string) => `Welcome, ${mail}`);
const users = pgTable("users", { id: serial().primaryKey(), mail: text().notNull() });
const db = drizzle(process.env.FIREFLY_DATABASE_URL!); // of drizzle-orm/postgres-js, it works the same

await db.transaction(async (tx) => {
  await tx.insert(users).values({ mail: "ada@example.org" });
  await welcome.with({ tx: fromDrizzle(tx, sql) }).schedule("ada@example.org");
});
await db.$client.end();
