import { fromMikroORM } from "@firefly/tasks/adapters";
import { type EntityManager, EntitySchema, MikroORM } from "@mikro-orm/postgresql";
import { checkLibrary, type Open, url } from "./support/suite.ts";

const User = new EntitySchema<{ id: number; mail: string }>({
  name: "User",
  tableName: "users",
  properties: {
    id: { type: "number", primary: true },
    mail: { type: "string" },
  },
});
const orm = await MikroORM.init({
  clientUrl: url,
  entities: [User],
  pool: { max: 3 },
});

function openOn(em: EntityManager): Open {
  return {
    tx: fromMikroORM(em),
    insert: (mail) => em.insert(User, { mail }),
    savepoint: (body) => em.transactional((em) => body({ tx: fromMikroORM(em) })),
  };
}

let turn = 0;
await checkLibrary({
  packages: ["@mikro-orm/postgresql", "pg"],
  example: "mikro_orm",
  async transaction(body) {
    const em = orm.em.fork();
    if (turn++ % 2 === 0) {
      return await em.transactional((em) => body(openOn(em)));
    }
    await em.begin();
    try {
      await body(openOn(em));
      await em.commit();
    } catch (error) {
      await em.rollback();
      throw error;
    }
  },
  misuses: {
    "an em outside of a transaction": [
      () => fromMikroORM(orm.em.fork()),
      /fromMikroORM\(\) as it was given an EntityManager outside of a transaction: pass the em of em.transactional\(/,
    ],
    "a fork inside of a transaction": [
      () => orm.em.fork().transactional((em) => Promise.resolve(fromMikroORM(em.fork()))),
      /an EntityManager outside of a transaction/,
    ],
    "an em whose transaction has ended": [
      async () => {
        const em = orm.em.fork();
        await em.begin();
        const tx = fromMikroORM(em);
        await em.commit();
        return tx;
      },
      /an EntityManager outside of a transaction/,
    ],
    "an em itself": [() => orm.em.fork() as never, /looks like MikroORM: pass fromMikroORM\(em\) of/],
  },
  close: () => orm.close(),
});
