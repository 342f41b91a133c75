import { task } from "@firefly/tasks";
import { fromMikroORM } from "@firefly/tasks/adapters";
import { EntitySchema, MikroORM } from "@mikro-orm/postgresql";
import process from "node:process";

const welcome = task({ name: "mail.welcome" }, (mail: string) => `Welcome, ${mail}`);
const User = new EntitySchema<{ id: number; mail: string }>({
  name: "User",
  tableName: "users",
  properties: { id: { type: "number", primary: true }, mail: { type: "string" } },
});
const orm = await MikroORM.init({ clientUrl: process.env.FIREFLY_DATABASE_URL!, entities: [User] });

await orm.em.fork().transactional(async (em) => {
  em.create(User, { mail: "ada@example.org" });
  await welcome.with({ tx: fromMikroORM(em) }).schedule("ada@example.org");
});
await orm.close();
