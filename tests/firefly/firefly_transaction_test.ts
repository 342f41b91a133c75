import { assertEquals, assertRejects } from "@std/assert";
import { current, Firefly, FireflyError, task, transaction } from "../../mod.ts";
import { taskName, testInstance } from "../support/instance.ts";
import { countTasks } from "../support/records.ts";

const ping = task(taskName(), (value?: number) => value);

Deno.test("transaction() commits its tasks and rows together, and rolls both back when it throws", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  await db.sql`CREATE TABLE note (n int)`;
  const act = (n: number) => async (sql: Firefly["sql"]) => {
    await sql`INSERT INTO note VALUES (${n})`;
    const row = await ping.schedule(n);
    assertEquals(await countTasks(db), 0, "no other connection sees it yet");
    if (n === 1) throw new RangeError("no");
    return row.id;
  };

  await assertRejects(() => ff.transaction(act(1)), RangeError, "no");
  const id = await ff.transaction(act(2));

  assertEquals((await db.sql`SELECT n FROM note`).map(({ n }) => n), [2]);
  assertEquals((await db.sql`SELECT id::int, xmin = (SELECT xmin FROM note) AS same FROM firefly.task`)[0], {
    id,
    same: true,
  });
});

Deno.test("transaction() inside another is a savepoint, and concurrent ones queue", async () => {
  await using test = await testInstance();
  const { db, ff } = test;

  await ff.transaction(async () => {
    await ping.schedule(1);
    await assertRejects(
      () =>
        ff.transaction(async () => {
          await ping.schedule(2);
          await ff.transaction(() => ping.schedule(3));
          throw new Error("undone");
        }),
      Error,
      "undone",
    );
    const settled = await Promise.allSettled([4, 5, 6, 7].map((n) =>
      ff.transaction(async (sql) => {
        await ping.schedule(n);
        if (n === 5) await sql`SELECT 1 / 0`;
        await ping.schedule(n * 10);
      })
    ));
    assertEquals(settled.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled", "fulfilled"]);
  });

  const rows = await db.sql`SELECT firefly.decode(params) AS params FROM firefly.task ORDER BY id`;
  assertEquals(rows.map(({ params }) => params[0]), [1, 4, 40, 6, 60, 7, 70]);
});

Deno.test("schedule() joins only a transaction of its own instance, and none with tx: null", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  await using other = new Firefly({ database: db.url });

  await assertRejects(
    () =>
      ff.transaction(async () => {
        await ping.schedule(1);
        await ping.scheduleMany([[2], [3]]);
        await other.run(() => ping.schedule(4));
        await ping.with({ tx: null }).schedule(5);
        await other.transaction(() => ping.schedule(6));
        await ff.run(() => ping.schedule(7)); // the same instance: still inside
        throw new Error("undone");
      }),
    Error,
    "undone",
  );

  const rows = await db.sql`SELECT firefly.decode(params) AS params FROM firefly.task ORDER BY id`;
  assertEquals(rows.map(({ params }) => params[0]), [4, 5, 6]);
});

Deno.test("schedule() after the end of the transaction it was started in is outside of it", async () => {
  await using test = await testInstance();
  const after = Promise.withResolvers<void>();
  let late: Promise<unknown> | undefined;

  await test.ff.transaction(async (sql) => {
    await sql`SELECT 1`;
    late = after.promise.then(() => ping.schedule(1));
  });
  after.resolve();
  await late;

  assertEquals(await countTasks(test.db), 1);
});

Deno.test("result() throws for a task that is not committed yet, also in a savepoint", async () => {
  await using test = await testInstance();
  const { ff } = test;

  const row = await ff.transaction(async () => {
    const direct = await ping.schedule(1);
    const nested = await ff.transaction(() => ping.schedule(2));
    for (const { result } of [direct, nested].map((row) => ({ result: () => row.result({ timeout: "5s" }) }))) {
      await assertRejects(result, FireflyError, "has not committed yet");
    }
    return nested;
  });

  await test.drain({ tasks: [ping] });
  assertEquals(await row.result({ timeout: "10s" }), 2);
});

Deno.test("transaction() of a handler is a savepoint of its attempt", async () => {
  await using test = await testInstance();
  const { db, ff } = test;
  await db.sql`CREATE TABLE note (n int)`;
  const write = task(taskName(), async () => {
    await current().sql`INSERT INTO note VALUES (1)`;
    await transaction(async (sql) => void await sql`INSERT INTO note VALUES (2)`);
    await assertRejects(() => transaction((sql) => sql`INSERT INTO note VALUES (3, 3)`));
    return (await current().sql`SELECT n FROM note ORDER BY n`).map(({ n }) => n);
  });
  const fail = task(taskName(), async () => {
    await transaction(async (sql) => void await sql`INSERT INTO note VALUES (9)`);
    throw new Error("undone");
  });
  const row = await ff.run(() => write.schedule());
  await ff.run(() => fail.schedule());

  assertEquals(await test.drain({ tasks: [write, fail] }), { completed: 1, failed: 1 });

  assertEquals((await row.refresh()).returned, [1, 2]);
  assertEquals((await db.sql`SELECT n FROM note ORDER BY n`).map(({ n }) => n), [1, 2]);
});
