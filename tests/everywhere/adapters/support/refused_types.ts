/** What the compiler refuses: it is checked, and never run. */
import {
  fromDrizzle,
  fromKnex,
  fromKysely,
  fromMikroORM,
  fromPg,
  fromPrisma,
  fromSequelize,
} from "@firefly/tasks/adapters";
import { task } from "@firefly/tasks";
import type { EntityManager as CoreEntityManager } from "@mikro-orm/core";
import { sql } from "drizzle-orm";
import type { NodePgDatabase } from "drizzle-orm/node-postgres";
import type { Knex } from "knex";
import type { Kysely } from "kysely";
import type { Client, Pool } from "pg";
import type { Sequelize, Transaction } from "sequelize";
import type { PrismaClient } from "../examples/client/client.ts";

const hello = task({ name: "hello" }, (n: number) => n);

export function refused({
  pool,
  client,
  db,
  kysely,
  knex,
  em,
  sequelize,
  transaction,
  prisma,
}: {
  pool: Pool;
  client: Client;
  db: NodePgDatabase;
  kysely: Kysely<object>;
  knex: Knex;
  em: CoreEntityManager;
  sequelize: Sequelize;
  transaction: Transaction;
  prisma: PrismaClient;
}): void {
  // @ts-expect-error a pool has no transaction
  fromPg(pool);
  // @ts-expect-error a database is no transaction
  fromDrizzle(db, sql);
  // @ts-expect-error a database is no transaction
  fromKysely(kysely);
  // @ts-expect-error Knex itself is no transaction
  fromKnex(knex);
  // @ts-expect-error the core's manager knows no SQL
  fromMikroORM(em);
  // @ts-expect-error the transaction is missing
  fromSequelize(sequelize);
  // @ts-expect-error a client is no transaction
  fromPrisma(prisma);
  for (const tx of [client, db, kysely, knex, prisma, transaction]) {
    // @ts-expect-error these need an adapter
    hello.with({ tx });
  }
}
