import { task } from "@firefly/tasks";
import { DataSource, EntitySchema } from "typeorm";
import process from "node:process";

const welcome = task({ name: "mail.welcome" }, (mail: string) => `Welcome, ${mail}`);
const User = new EntitySchema<{ id: number; mail: string }>({
  name: "users",
  columns: { id: { type: "int", primary: true, generated: true }, mail: { type: "text" } },
});
const dataSource = new DataSource({ type: "postgres", url: process.env.FIREFLY_DATABASE_URL!, entities: [User] });
await dataSource.initialize();

await dataSource.transaction(async (manager) => {
  await manager.insert(User, { mail: "ada@example.org" });
  await welcome.with({ tx: manager }).schedule("ada@example.org");
});
await dataSource.destroy();
