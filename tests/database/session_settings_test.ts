import { assertEquals, assertRejects } from "@std/assert";
import { setTimeout as delay } from "node:timers/promises";
import { Firefly } from "../../mod.ts";
import { BEGIN, setupFor } from "../../src/database/session_settings.ts";
import { testDatabase } from "../support/database.ts";
import { LIMITED, limited, live, writing } from "../support/hostile_life.ts";
import { HOSTILE, HOSTILE_17, setForDatabase } from "../support/session_settings.ts";

const [{ version }] = await (async () => {
  await using db = await testDatabase({ migrated: false });
  return await db.sql`SELECT current_setting('server_version_num')::int AS version`;
})() as unknown as [{ version: number }];

for (const settings of [...HOSTILE, ...(version >= 170000 ? HOSTILE_17 : [])]) {
  Deno.test(`a task lives as usual in a database with ${JSON.stringify(settings)}`, async () => {
    await using db = await testDatabase({ migrated: false });
    await setForDatabase(db, settings);

    await live(db);
  });
}

Deno.test("transaction() reads committed rows, unless its first statement sets another isolation", async () => {
  await using db = await testDatabase();
  await setForDatabase(db, { default_transaction_isolation: "serializable" });
  await using ff = new Firefly({ database: db.url });
  const seen: string[] = [];

  for (const level of ["", "REPEATABLE READ", "SERIALIZABLE"]) {
    const record = await ff.run(() =>
      ff.transaction(async (sql) => {
        if (level) await sql.unsafe(`SET TRANSACTION ISOLATION LEVEL ${level}`);
        const [row] = await sql`SELECT current_setting('transaction_isolation') AS isolation`;
        seen.push(row!.isolation as string);
        await limited.schedule(100 + seen.length);
        return await writing.schedule(seen.length);
      })
    );
    assertEquals((await ff.tasks.get(record.id)).status, "created");
  }

  assertEquals(seen, ["read committed", "repeatable read", "serializable"]);
});

Deno.test("schedule() in a serializable transaction of a user's fails with 40001 where a duplicate was committed meanwhile", async () => {
  await using db = await testDatabase();
  await using ff = new Firefly({ database: db.url });

  const error = await assertRejects(() =>
    ff.transaction(async (sql) => {
      await sql.unsafe("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE");
      await sql`SELECT count(*) FROM firefly.task`;
      await db.sql`SELECT firefly.schedule(${LIMITED}, '[1]', unique_key => 'n 1')`;
      await limited.schedule(1);
    })
  );

  assertEquals((error as { code?: string }).code, "40001");
});

Deno.test("ff.sql keeps its connection past an idle_session_timeout", async () => {
  await using db = await testDatabase({ migrated: false });
  await setForDatabase(db, { idle_session_timeout: "100ms" });
  await using ff = new Firefly({ database: db.url });
  await ff.transaction((sql) => sql`SELECT 1`);
  await delay(300);

  assertEquals((await ff.transaction((sql) => sql`SELECT 1 AS one`))[0], { one: 1 });
});

Deno.test("setupFor() sets only what differs, and nothing else needs a transaction of its own", () => {
  const right = { DateStyle: "ISO, DMY", extra_float_digits: "3", default_transaction_isolation: "read committed" };
  assertEquals(setupFor({ ...right, statement_timeout: "0" }, 15_000), { own: undefined, transactions: "" });
  assertEquals(setupFor({ ...right, statement_timeout: "20000" }, 15_000), { own: undefined, transactions: "" });
  assertEquals(setupFor({ ...right, statement_timeout: "100" }, 15_000), {
    own: `${BEGIN} SET LOCAL statement_timeout = '15000';`,
    transactions: "",
  });
  assertEquals(setupFor({ ...right, default_transaction_isolation: "serializable" }, 15_000), {
    own: BEGIN,
    transactions: "",
  });
  assertEquals(setupFor({ DateStyle: "German, DMY", array_nulls: "off", lock_timeout: "5" }, 15_000), {
    own: `${BEGIN} SET LOCAL DateStyle = 'ISO'; SET LOCAL array_nulls = 'on'; SET LOCAL lock_timeout = '0';`,
    transactions: " SET LOCAL DateStyle = 'ISO'; SET LOCAL array_nulls = 'on';",
  });
});
