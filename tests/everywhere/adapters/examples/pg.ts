import { task } from "@firefly/tasks";
import { fromPg } from "@firefly/tasks/adapters";
import pg from "pg";
import process from "node:process";

const welcome = task({ name: "mail.welcome" }, (mail: string) => `Welcome, ${mail}`);
const pool = new pg.Pool({ connectionString: process.env.FIREFLY_DATABASE_URL });

const client = await pool.connect();
try {
  await client.query("BEGIN");
  await client.query("INSERT INTO users (mail) VALUES ($1)", ["ada@example.org"]);
  await welcome.with({ tx: fromPg(client) }).schedule("ada@example.org");
  await client.query("COMMIT");
} catch (error) {
  await client.query("ROLLBACK");
  throw error;
} finally {
  client.release();
}
await pool.end();
