import { assertEquals, assertRejects } from "@std/assert";
import postgres from "postgres";
import { Firefly, type Queryable, task, type TaskRecord } from "../../mod.ts";
import { taskName, testInstance } from "../support/instance.ts";
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
  const tx: Queryable = { query: () => Promise.resolve([]) };

  await assertRejects(
    async () => await test.ff.run(() => work.with({ tx }).schedule()),
    Error,
    "the client returned 0 rows for 1 tasks",
  );
});

function disposable(sql: postgres.Sql): AsyncDisposable & { sql: postgres.Sql } {
  return { sql, [Symbol.asyncDispose]: () => sql.end() };
}
