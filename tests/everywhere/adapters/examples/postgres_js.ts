import { task } from "@firefly/tasks";
import postgres from "postgres";
import process from "node:process";

const welcome = task({ name: "mail.welcome" }, (mail: string) => `Welcome, ${mail}`);
const sql = postgres(process.env.FIREFLY_DATABASE_URL!);

await sql.begin(async (tx) => {
  await tx`INSERT INTO users (mail) VALUES (${"ada@example.org"})`;
  await welcome.with({ tx }).schedule("ada@example.org");
});
await sql.end();
