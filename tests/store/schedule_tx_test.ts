import { assertEquals, assertRejects } from "@std/assert";
import postgres from "postgres";
import { Firefly, type Queryable, task, type TaskRecord } from "../../mod.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { rolesDatabase } from "../support/roles.ts";
import { placesOf } from "../support/records.ts";

/** Schedules through a client of the user's in a transaction that is rolled back, and in one that commits. */
async function assertJoins(
  test: Awaited<ReturnType<typeof testInstance>>,
  inTransaction: <T>(act: (tx: postgres.TransactionSql | Queryable) => Promise<T>) => Promise<T>,
): Promise<void> {
  const work = task(taskName(), (n: number) => n);
  const at = new Date(Date.now() + 3_600_000);
  const { db, ff } = test;
  const before = await placesOf(db);
  await assertRejects(() =>
    inTransaction(async (tx) => {
      await ff.run(() => work.with({ tx }).schedule(0));
      throw new RangeError("undone");
    }), RangeError);

  const rows = await inTransaction(async (tx) => {
    const rows: TaskRecord[] = [
      await ff.run(() => work.with({ tx, delay: "1h", tags: ["a'b"] }).schedule(1)),
      ...await ff.run(() => work.with({ tx, notBefore: at }).scheduleMany([[2], [3]])),
      // So many that they share a statement with one text for all.
      ...await ff.run(() =>
        work.with({ tx, tags: ["a'b", '{"'] }).scheduleMany(Array.from({ length: 9 }, (_, i) => [i + 4]))
      ),
    ];
    assertEquals(await placesOf(db), before);
    return rows;
  });

  for (const [i, row] of rows.entries()) {
    const read = await row.refresh();
    assertEquals([read.params, read.notBefore, read.created], [[i + 1], row.notBefore, row.created]);
    assertEquals(JSON.stringify(read), JSON.stringify(row));
  }
}

Deno.test("with({ tx }) schedules in a transaction of postgres.js, however it names its columns", async () => {
  await using test = await testInstance();
  await using client = disposable(postgres(test.db.url, { max: 1 }));
  await using camel = disposable(postgres(test.db.url, { max: 1, transform: postgres.camel }));
  await using untyped = disposable(postgres(test.db.url, { max: 1, fetch_types: false, prepare: false }));

  await assertJoins(test, (act) => client.sql.begin((tx) => act(tx)) as never);
  await assertJoins(test, (act) => camel.sql.begin((tx) => act(tx)) as never);
  await assertJoins(test, (act) => untyped.sql.begin((tx) => act(tx)) as never);
});

Deno.test("with({ tx }) schedules through any client that can query, however it parses times", async () => {
  await using test = await testInstance();
  // Times as the server writes them: as some clients are told to leave them.
  const types = { time: { to: 1184, from: [1184], serialize: String, parse: (text: string) => text } };
  await using client = disposable(postgres(test.db.url, { max: 1, types }));

  await assertJoins(test, (act) =>
    client.sql.begin((tx) =>
      act({
        async query(text, params) {
          return [...await tx.unsafe(text, params as string[])];
        },
      })
    ) as never);
});

Deno.test("with({ tx }) schedules into another schema", async () => {
  await using test = await testInstance();
  await using jobs = new Firefly({ database: test.db.url, schema: 'Jo"bs' });
  await jobs.migrate();
  const work = task(taskName(), () => {});

  await test.db.sql.begin(async (tx) => {
    await jobs.run(async () => await work.with({ tx }).schedule());
  });

  assertEquals((await test.db.sql`SELECT FROM ${test.db.sql('Jo"bs')}.ready`).length, 1);
  assertEquals((await placesOf(test.db)).ready, 0);
});

Deno.test("with({ tx }) rejects when the client does not return what it inserted", async () => {
  await using test = await testInstance();
  const work = task(taskName(), () => {});
  const tx: Queryable = {
    query: (text) => Promise.resolve(text.includes("has_any_column_privilege") ? [{ text: "false" }] : []),
  };

  await assertRejects(
    async () => await test.ff.run(() => work.with({ tx }).schedule()),
    Error,
    "the client returned 0 rows for 1 tasks",
  );
});

function disposable(sql: postgres.Sql): AsyncDisposable & { sql: postgres.Sql } {
  return { sql, [Symbol.asyncDispose]: () => sql.end() };
}

/** How pg, Drizzle, Knex and Kysely look and answer, as far as they are asked. */
const nothing = () => {};
const result = () => Promise.resolve({ rows: [], rowCount: 0 });
const CLIENTS: Record<string, [client: unknown, message: string]> = {
  "a Pool of pg": [
    { query: result, connect: nothing, totalCount: 0 },
    "looks like a Pool of pg, which has no transaction of its own: take a client",
  ],
  "a client of pg": [
    { query: result, escapeIdentifier: nothing },
    "looks like a client of pg: pass fromPg(client) of @firefly/tasks/adapters",
  ],
  "Drizzle": [{ query: {}, execute: result, select: nothing }, "looks like Drizzle: pass fromDrizzle(tx, sql) of"],
  "Drizzle without relations": [
    { execute: result, select: nothing },
    "looks like Drizzle: pass fromDrizzle(tx, sql) of",
  ],
  "Kysely": [{ executeQuery: result, selectFrom: nothing }, "looks like Kysely: pass fromKysely(trx) of"],
  "Knex": [Object.assign(() => {}, { raw: result, select: nothing }), "looks like Knex: pass fromKnex(trx) of"],
  "Prisma": [{ $queryRawUnsafe: result }, "looks like Prisma: pass fromPrisma(tx) of"],
  "MikroORM": [{ execute: result, isInTransaction: nothing, transactional: nothing }, "pass fromMikroORM(em) of"],
  "Sequelize": [
    { query: result, authenticate: nothing },
    "as it is Sequelize without a transaction: pass fromSequelize(",
  ],
  "a transaction of Sequelize": [
    { commit: nothing, afterCommit: nothing },
    "transaction of Sequelize: pass fromSequelize(",
  ],
  "an object with rows": [{ query: result }, "resolved to an object with rows and not to an array of rows: pass"],
  "nothing": [{ query: () => Promise.resolve() }, "resolved to undefined and not to an array of rows: pass"],
  "no rows": [{ query: () => Promise.resolve([]) }, "resolved to 0 rows of 1: pass"],
  "rows and their metadata": [{ query: () => Promise.resolve([[{ text: "false" }], {}]) }, "an array of other values"],
  "values": [{ query: () => Promise.resolve([1]) }, "an array of other values"],
  "a string": ["tx", "it is a string without a method query()"],
  "an empty string": ["", "it is a string without a method query()"],
  "false": [false, "it is a boolean without a method query()"],
  "an object": [{}, "it is an object without a method query()"],
};

Deno.test("with({ tx }) refuses a client that returns no rows, before anything is inserted, and says how to wrap it", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const work = task(taskName(), (_: number) => {});
  const good: Queryable = { query: async (text, params) => [...await db.sql.unsafe(text, params as string[])] };
  await ff.run(() => work.with({ tx: good }).schedule(0)); // from now on the instance knows its own role

  for (const [name, [client, message]] of Object.entries(CLIENTS)) {
    // One that would insert, as a Pool of pg does.
    const inserts = client instanceof Object && "query" in client && client.query === result;
    const query = async (text: string, params: unknown[]) => ({ rows: await good.query(text, params) });
    const tx = (inserts ? { ...client, query } : client) as Queryable;
    await assertRejects(() => ff.run(() => work.with({ tx }).schedule(1)), TypeError, message, name);
    await assertRejects(() => ff.run(() => work.with({ tx }).scheduleMany([[1], [2]])), TypeError, message, name);
    await assertRejects(() => ff.run(() => work.with({ tx, unique: "a" }).schedule(1)), TypeError, message, name);
    await assertRejects(() => ff.transaction(() => work.with({ tx }).schedule(1)), TypeError, message, name);
  }

  assertEquals((await db.sql`SELECT FROM firefly.task`).length, 1);
});

Deno.test("with({ tx }) asks each client whether its role is a producer, also one that has changed its role", async () => {
  await using roles = await rolesDatabase();
  const work = task(taskName(), (_: number) => {});
  await using ff = new Firefly({ database: roles.urlOf("owner"), schema: roles.schema });
  const schedule = (tx: postgres.TransactionSql | Queryable) =>
    ff.run(() => work.with({ tx }).scheduleMany([[1], [2]]));
  for (const order of [["owner", "producer"], ["producer", "owner"]] as const) {
    for (const who of order) await roles.as(who).begin(async (tx) => void await schedule(tx));
  }
  await roles.db.sql.begin(async (tx) => {
    const client: Queryable = { query: async (text, params) => [...await tx.unsafe(text, params as string[])] };
    for (const who of ["owner", "producer", "owner"] as const) {
      await tx.unsafe(`SET LOCAL ROLE ${roles.login(who)}`);
      await schedule(client);
    }
  });

  const [row] = await roles.db.sql`SELECT count(*)::integer AS count FROM ${roles.db.sql(roles.schema)}.task`;
  assertEquals(row!.count, 14);
});

/** How clients look that can query but have no transaction, as far as they are asked. */
const OUTSIDE: Record<string, [client: (query: Queryable["query"]) => unknown, message: string]> = {
  "postgres.js": [
    (query) => Object.assign(() => {}, { unsafe: query, begin: nothing }),
    "a client of postgres.js without a transaction: pass the tx of sql.begin(",
  ],
  "a DataSource of TypeORM": [
    (query) => ({ query, createQueryRunner: nothing }),
    "a DataSource of TypeORM without a transaction: pass the manager of dataSource.transaction(",
  ],
  "a manager of TypeORM": [
    (query) => ({ query, getRepository: nothing }),
    "an EntityManager of TypeORM without a transaction: pass the manager of",
  ],
  "a manager of TypeORM whose transaction has ended": [
    (query) => ({ query, getRepository: nothing, queryRunner: { isTransactionActive: false } }),
    "an EntityManager of TypeORM without a transaction: pass the manager of",
  ],
  "a QueryRunner of TypeORM": [
    (query) => ({ query, isTransactionActive: false }),
    "a QueryRunner of TypeORM without a transaction: pass the manager of",
  ],
};

Deno.test("with({ tx }) refuses a client that can query but has no transaction, before it is asked anything", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  const work = task(taskName(), (_: number) => {});
  const query = async (text: string, params: unknown[]) => [...await db.sql.unsafe(text, params as string[])];

  for (const [name, [make, message]] of Object.entries(OUTSIDE)) {
    const tx = make(query) as Queryable;
    await assertRejects(() => ff.run(() => work.with({ tx }).schedule(1)), TypeError, message, name);
    await assertRejects(() => ff.run(() => work.with({ tx }).scheduleMany([[1], [2]])), TypeError, message, name);
  }
  const transaction = { query, getRepository: nothing, queryRunner: { isTransactionActive: true } };
  await ff.run(() => work.with({ tx: transaction }).schedule(2));

  assertEquals((await db.sql`SELECT FROM firefly.task`).length, 1);
});
