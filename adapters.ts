/**
 * Adapters for `with({ tx })`: each makes the open transaction of another library one that Firefly can schedule in.
 * They import none of the libraries. Transactions of postgres.js and TypeORM need no adapter.
 *
 * @example Schedule in a transaction of Drizzle
 * ```ts ignore
 * import { fromDrizzle } from "@firefly/tasks/adapters";
 * import { sql } from "drizzle-orm";
 *
 * await db.transaction(async (tx) => {
 *   await tx.insert(users).values({ mail: "a@b.c" });
 *   await welcome.with({ tx: fromDrizzle(tx, sql) }).schedule("a@b.c");
 * });
 * ```
 *
 * @module
 */
export { type DrizzleSql, type DrizzleTransaction, fromDrizzle } from "./src/adapters/drizzle.ts";
export { fromKnex, type KnexTransaction } from "./src/adapters/knex.ts";
export { fromKysely, type KyselyQuery, type KyselyTransaction } from "./src/adapters/kysely.ts";
export { fromMikroORM, type MikroORMEntityManager } from "./src/adapters/mikro_orm.ts";
export { fromPg, type PgClient } from "./src/adapters/pg.ts";
export { fromPrisma, type PrismaTransaction } from "./src/adapters/prisma.ts";
export { fromSequelize, type SequelizeInstance, type SequelizeTransaction } from "./src/adapters/sequelize.ts";
export type { Queryable } from "./src/sql.ts";
