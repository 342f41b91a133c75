import { task } from "@firefly/tasks";
import { fromSequelize } from "@firefly/tasks/adapters";
import { DataTypes, Sequelize } from "sequelize";
import process from "node:process";

const welcome = task({ name: "mail.welcome" }, (mail: string) => `Welcome, ${mail}`);
const sequelize = new Sequelize(process.env.FIREFLY_DATABASE_URL!, { logging: false });
const User = sequelize.define("users", { mail: DataTypes.TEXT }, { timestamps: false });

await sequelize.transaction(async (transaction) => {
  await User.create({ mail: "ada@example.org" }, { transaction });
  await welcome.with({ tx: fromSequelize(sequelize, transaction) }).schedule("ada@example.org");
});
await sequelize.close();
