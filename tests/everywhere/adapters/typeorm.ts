import { DataSource, type EntityManager, EntitySchema } from "typeorm";
import { checkLibrary, type Open, url } from "./support/suite.ts";

const User = new EntitySchema<{ id: number; mail: string }>({
  name: "users",
  columns: {
    id: { type: "int", primary: true, generated: true },
    mail: { type: "text" },
  },
});
const dataSource = new DataSource({
  type: "postgres",
  url,
  entities: [User],
  poolSize: 3,
});
await dataSource.initialize();
const queryRunner = dataSource.createQueryRunner();

function openOn(manager: EntityManager): Open {
  return {
    tx: manager,
    insert: (mail) => manager.insert(User, { mail }),
    savepoint: (body) => manager.transaction((manager) => body({ tx: manager })),
  };
}

let turn = 0;
await checkLibrary({
  packages: ["typeorm", "pg"],
  example: "typeorm",
  async transaction(body) {
    if (turn++ % 2 === 0) {
      return await dataSource.transaction((manager) => body(openOn(manager)));
    }
    await queryRunner.startTransaction();
    try {
      await body({ ...openOn(queryRunner.manager), tx: queryRunner });
      await queryRunner.commitTransaction();
    } catch (error) {
      await queryRunner.rollbackTransaction();
      throw error;
    }
  },
  misuses: {
    "the manager of the DataSource": [
      () => dataSource.manager,
      /an EntityManager of TypeORM without a transaction: pass the manager of dataSource.transaction\(/,
    ],
    "a manager whose transaction has ended": [
      () => dataSource.transaction((manager) => Promise.resolve(manager)),
      /an EntityManager of TypeORM without a transaction/,
    ],
    "a DataSource": [() => dataSource, /a DataSource of TypeORM without a transaction/],
    "a QueryRunner without a transaction": [() => queryRunner, /a QueryRunner of TypeORM without a transaction/],
  },
  close: async () => {
    await queryRunner.release();
    await dataSource.destroy();
  },
});
