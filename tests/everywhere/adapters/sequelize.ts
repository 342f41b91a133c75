import { fromSequelize } from "@firefly/tasks/adapters";
import { DataTypes, Sequelize, type Transaction } from "sequelize";
import { checkLibrary, type Open, url } from "./support/suite.ts";

const sequelize = new Sequelize(url, { logging: false, pool: { max: 3 } });
const User = sequelize.define(
  "users",
  { mail: DataTypes.TEXT },
  {
    timestamps: false,
  },
);

function openOn(transaction: Transaction): Open {
  return {
    tx: fromSequelize(sequelize, transaction),
    insert: (mail) => User.create({ mail }, { transaction }),
    savepoint: (body) =>
      sequelize.transaction({ transaction }, (nested) => body({ tx: fromSequelize(sequelize, nested) })),
  };
}

await checkLibrary({
  packages: ["sequelize", "pg"],
  example: "sequelize",
  transaction: (body) => sequelize.transaction((transaction) => body(openOn(transaction))),
  misuses: {
    "Sequelize without a transaction": [
      () => fromSequelize(sequelize, undefined as never),
      /fromSequelize\(\) as it was given a Sequelize without a transaction: pass sequelize, and the transaction of/,
    ],
    "a transaction alone": [
      () => sequelize.transaction((transaction) => Promise.resolve(fromSequelize(transaction as never, transaction))),
      /an object that looks like a transaction of Sequelize: pass sequelize, and/,
    ],
    "Sequelize itself": [
      () => sequelize as never,
      /as it is Sequelize without a transaction: pass fromSequelize\(sequelize, transaction\) of/,
    ],
    "a transaction itself": [
      () => sequelize.transaction((transaction) => Promise.resolve(transaction)) as never,
      /looks like a transaction of Sequelize: pass fromSequelize\(sequelize, transaction\) of/,
    ],
  },
  close: () => sequelize.close(),
});
